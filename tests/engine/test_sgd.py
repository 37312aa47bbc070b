"""Stochastic gradient descent, beside PyTorch's own."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from distillset.engine import SGD


def drawn(seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for shape in ((5,), (3, 4), (2, 3, 3, 3))]


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("weight_decay", [0.0, 0.0005])
def test_it_is_pytorchs_to_the_bit(momentum: float, weight_decay: float) -> None:
    found, wanted = drawn(0), drawn(0)
    own = SGD(found, 0.1, momentum, weight_decay)
    theirs = torch.optim.SGD(wanted, 0.1, momentum=momentum, weight_decay=weight_decay)
    for step in range(1, 5):
        gradients: Sequence[Tensor] = drawn(step)
        own.step(gradients)
        assert all(torch.equal(a, b) for a, b in zip(gradients, drawn(step), strict=True))
        for parameter, gradient in zip(wanted, drawn(step), strict=True):
            parameter.grad = gradient
        theirs.step()
        assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
    assert len(own.momentum_buffers) == (3 if momentum else 0)
