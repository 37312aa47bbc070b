"""Rows of a real set, drawn for all classes at once, where the labels live."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from distillset.keys import Sizes, permutation


@dataclass(frozen=True)
class Rows:
    """What was drawn of each class.

    Args:
        rows: int64 ``[classes, n]``. Of a class smaller than n its own come first, each once, and then any.
        weights: float64 ``[classes, n]``: one over the number of the class's own rows, zero for others.
        most: own rows of each class, known to the host.
    """

    rows: Tensor
    weights: Tensor
    most: tuple[int, ...]

    def of(self, classes: slice) -> "Rows":
        """Those of a run of classes, no wider than the widest of them needs."""
        most = self.most[classes]
        return Rows(self.rows[classes, : max(most)], self.weights[classes, : max(most)], most)


class Sampler:
    """Draws ``n`` rows per class without replacement; a class that has fewer is taken whole.

    Args:
        order: all rows sorted by class, int64 ``[N]``.
        counts: images of each class, at least 1.
        n: rows wanted of each.
        device: where they are drawn.
    """

    def __init__(self, order: Tensor, counts: Sequence[int], n: int, device: torch.device | str = "cpu") -> None:
        self.n = min(n, max(counts))
        self.most = tuple(min(count, self.n) for count in counts)
        sizes = torch.tensor(counts)
        self._order = order.to(device)
        self._starts = (sizes.cumsum(0) - sizes).to(device)[:, None]
        self._whole = (sizes < self.n).to(device)[:, None] if min(counts) < self.n else None
        self._sizes = Sizes([max(count, self.n) for count in counts], device)
        inside = torch.arange(self.n) < torch.tensor(self.most)[:, None]
        self._weights = (inside.double() / torch.tensor(self.most)[:, None]).to(device)

    def __call__(self, words: Tensor) -> Rows:
        """The rows that streams of random words ``[classes, 2]`` give.

        Tensor operations only, as many for any number of classes.
        """
        return self.several(words[None])[0]

    def several(self, words: Tensor) -> list[Rows]:
        """Those of streams ``[draws, classes, 2]``, all drawn at once."""
        drawn = permutation(words, self.n, self._sizes)
        if self._whole is not None:
            drawn = torch.where(self._whole, torch.arange(self.n, device=drawn.device), drawn)
        at = self._starts + drawn
        rows = self._order[at if self._whole is None else at.clamp(max=len(self._order) - 1)]
        return [Rows(drawn, self._weights, self.most) for drawn in rows.unbind()]
