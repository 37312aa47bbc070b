"""Random numbers of the kernel: the bits of `distillset.keys.uniform`, whose known answers are tested with it."""

import pytest
import torch

from distillset.engine import compiler
from distillset.engine.kernels import available, random
from distillset.keys import uniform
from distillset.nets import Fill, build
from tests import toys


@pytest.mark.skipif(compiler() is None, reason="no C++ compiler")
@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 130, 5000])
def test_the_bits_are_those_of_the_keys(count: int) -> None:
    words = torch.tensor([[0, 0], [2**32 - 1, 7], [123456789, 2**31]])
    assert torch.equal(random.uniform(words, count), uniform(words, (count,)))
    assert torch.equal(random.uniform(words.t().contiguous().t(), count), uniform(words, (count,)))


def test_an_engine_with_kernels_gives_the_same_network() -> None:
    module, words = build("ConvNetD2W16", toys.toy().spec), torch.tensor([[1, 2], [3, 4]])
    engine = toys.engine(compiled=True)
    assert engine.compute.kernels == available()
    for state, plain in zip(Fill(module, engine.uniform).several(words), Fill(module).several(words), strict=True):
        assert all(torch.equal(state[name], value) for name, value in plain.items())
