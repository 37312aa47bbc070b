"""Measurements over all pixels of a set, in chunks: mean, standard deviation, fingerprint."""

import hashlib
import json
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

CHUNK = 1024
"""Images looked at together, so that a memory-mapped set is never held in memory as a whole, and never as floats."""


class Statistics:
    """Mean and standard deviation per channel, from exact integer sums over chunks of uint8 [n, C, H, W]."""

    def __init__(self) -> None:
        self._count = 0
        self._totals: list[int] = []
        self._squares: list[int] = []

    def add(self, chunk: Tensor) -> None:
        """Count the pixels of ``chunk`` in."""
        # numpy: torch wakes all its threads for every such sum, which costs more than the sum where cores are busy.
        pixels = chunk.transpose(0, 1).flatten(1).numpy()
        totals = pixels.sum(1, dtype=np.int64).tolist()
        squares = np.square(pixels, dtype=np.uint16).sum(1, dtype=np.int64).tolist()
        self._totals = [a + b for a, b in zip(self._totals or [0] * len(totals), totals, strict=True)]
        self._squares = [a + b for a, b in zip(self._squares or [0] * len(squares), squares, strict=True)]
        self._count += pixels.shape[1]

    def result(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """(mean, std) of the pixels in [0, 1]. A constant channel has std 1, so that it normalises to zero."""
        n = self._count
        mean = tuple(total / (255 * n) for total in self._totals)
        # Python's integers make n times the squares minus the squared total exact, so that constant means exactly 0.
        spread = (n * square - total * total for total, square in zip(self._totals, self._squares, strict=True))
        return mean, tuple(math.sqrt(value) / (255 * n) if value else 1.0 for value in spread)


def statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(mean, std) per channel of uint8 [N, C, H, W], in units of [0, 1]."""
    measured = Statistics()
    for chunk in torch.split(images, CHUNK):
        measured.add(chunk)
    return measured.result()


class Fingerprint:
    """SHA-256 over shape, class names and labels, then over the pixels as they are added, in their order.

    Args:
        shape: of all the images, [N, C, H, W].
        labels: int64 [N].
        class_names: one per class.
    """

    def __init__(self, shape: Sequence[int], labels: Tensor, class_names: Sequence[str]) -> None:
        self._digest = hashlib.sha256(json.dumps([list(shape), list(class_names)]).encode())
        self._digest.update(labels.contiguous().numpy().data)

    def add(self, chunk: Tensor) -> None:
        """The next images, uint8 [n, C, H, W]."""
        self._digest.update(chunk.contiguous().numpy().data)

    def hex(self) -> str:
        """The fingerprint of what was added."""
        return self._digest.hexdigest()


def content_fingerprint(images: Tensor, labels: Tensor, class_names: Sequence[str]) -> str:
    """The `Fingerprint` of a whole set: uint8 [N, C, H, W] and int64 [N]."""
    fingerprint = Fingerprint(images.shape, labels, class_names)
    for chunk in torch.split(images, CHUNK):
        fingerprint.add(chunk)
    return fingerprint.hex()
