"""Images of a block of classes, as a method's loss is given them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

Part = tuple[slice, Tensor, Tensor]
"""Which of the classes, images ``[j, m, C, H, W]``, and their weights ``[j, m]``."""


@dataclass(frozen=True)
class Images:
    """``n`` images of each of ``k`` classes, as the network sees them: normalised and augmented.

    Of a class smaller than ``n`` the last rows are filler of weight 0: use `mean`, or `weights`.

    Args:
        classes: int64 ``[k]``.
        weights: ``[k, n]``, of each class adding up to 1; float64 of real images, whatever the features are.
        usual: images of a class in most blocks, so that a small class needs no shape of its own.
        parts: gives them in portions of bounded memory. They are read anew at every call, and are the same.
    """

    classes: Tensor
    weights: Tensor
    usual: int
    parts: Callable[[], Iterable[Part]]

    @classmethod
    def of(cls, pixels: Tensor, classes: Tensor) -> "Images":
        """Those of a tensor ``[k, n, C, H, W]``, each counting the same."""
        count, n = pixels.shape[:2]
        weights = torch.full((count, n), 1 / n, device=pixels.device, dtype=pixels.dtype)
        return cls(classes, weights, n, lambda: [(slice(0, count), pixels, weights)])

    @property
    def pixels(self) -> Tensor:
        """All of them at once, ``[k, n, C, H, W]``; filler rows as in `apply`."""
        (pixels,) = self.apply(lambda images, usual: (images,))
        return pixels

    def mean(self, features: Tensor) -> Tensor:
        """The mean over the images of each class, of features ``[k, n, ...]``: ``[k, ...]``, of the features' type."""
        weights = self.weights.to(features.dtype)
        return (features * weights.reshape(*weights.shape, *[1] * (features.dim() - 2))).sum(1)

    def each(self) -> Iterator["Images"]:
        """The classes one by one, as images of one class."""
        if len(self.classes) == 1:
            yield self
            return
        parts = list(self.parts())
        for at in range(len(self.classes)):
            one_class = slice(at, at + 1)
            yield Images(self.classes[one_class], self.weights[one_class], self.usual, partial(_of_class, parts, at))

    def labelled(self) -> Iterator[tuple[Tensor, Tensor, Tensor, int]]:
        """In portions: images ``[i, C, H, W]``, their labels and weights ``[i]``, and how many there usually are."""
        for run, images, weights in self.parts():
            labels = self.classes[run].repeat_interleave(images.shape[1])
            yield images.flatten(0, 1), labels, weights.flatten(), self.usual * (run.stop - run.start)

    def apply(self, function: Callable[[Tensor, int], Iterable[Tensor]]) -> tuple[Tensor, ...]:
        """``function(images [i, C, H, W], usual)``, whose results have one row per image; ``usual`` as in `labelled`.

        Returns:
            The results of all images, each ``[k, n, ...]``. Filler rows, whose weight is 0, hold the results of some
            other images, or zeros.
        """
        of_class: dict[int, list[tuple[Tensor, ...]]] = {}
        for run, images, _ in self.parts():
            results = function(images.flatten(0, 1), self.usual * (run.stop - run.start))
            of_class.setdefault(run.start, []).append(tuple(one.unflatten(0, images.shape[:2]) for one in results))
        # Of every run of classes its portions side by side; then the runs, as wide as the widest.
        rows = [[torch.cat(portions, 1) for portions in zip(*parts, strict=True)] for parts in of_class.values()]
        return tuple(torch.cat([self._wide(one) for one in column]) for column in zip(*rows, strict=True))

    def _wide(self, rows: Tensor) -> Tensor:
        short = self.weights.shape[1] - rows.shape[1]
        return F.pad(rows, (*[0] * (2 * (rows.dim() - 2)), 0, short)) if short else rows


def _of_class(parts: Iterable[Part], at: int) -> Iterator[Part]:
    """What of the parts of a block belongs to one of its classes."""
    for run, images, weights in parts:
        if run.start <= at < run.stop:
            one_class = slice(at - run.start, at - run.start + 1)
            yield slice(0, 1), images[one_class], weights[one_class]
