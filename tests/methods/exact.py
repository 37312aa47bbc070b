"""A method beside its equation: real sets drawn in float64, and the terms of an update added up."""

from collections.abc import Sequence

import torch
from torch import Tensor

from distillset.data.real import RealSet
from distillset.keys import Key
from distillset.methods import Term

KEY = Key(7)("step", 4)


class Exact(RealSet):
    """A real set drawn in float64."""

    def rows(self, rows: Tensor, device: torch.device | str = "cpu") -> Tensor:
        return super().rows(rows, device).double()


def added(terms: Sequence[Term], images: Tensor) -> tuple[Tensor, Tensor]:
    """Loss and pixel gradient of an update of images alone."""
    loss, gradients = added_to_all(terms, {"images": images})
    return loss, gradients["images"]


def added_to_all(terms: Sequence[Term], leaves: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of an update, and its gradient in every leaf."""
    loss = torch.zeros((), dtype=leaves["images"].dtype)
    gradients = {name: torch.zeros_like(leaf) for name, leaf in leaves.items()}
    for term in terms:
        piece = term()
        loss = loss + piece.loss
        for name, (rows, part) in piece.gradients.items():
            gradients[name][rows] += part
    return loss, gradients
