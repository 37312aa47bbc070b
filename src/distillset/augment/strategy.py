"""Differentiable siamese augmentation: what is drawn, and for whom.

From Zhao and Bilen, "Dataset Condensation with Differentiable Siamese Augmentation" (ICML 2021). Each random stream
draws one operation of a strategy: for a class, whose real and synthetic images share it (siamese), for an image, or for
a batch whose images have parameters of their own (training a network).

    >>> from distillset.keys import Key, fold
    >>> augmentation = Augmentation.parse("color_crop_cutout_flip_scale_rotate")
    >>> classes = fold(Key(0)("augment", 3).words(), torch.arange(10))
    >>> table = augmentation.draw(classes, (3, 32, 32))
    >>> len(table), table.repeat(256).apply(torch.zeros(2560, 3, 32, 32)).shape
    (10, torch.Size([2560, 3, 32, 32]))

Deviations from the published code: random numbers come from named streams, never from the global state or the clock.
Those of the operations are in `distillset.augment.operations`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from distillset.augment.operations import (
    NEUTRAL,
    NONE,
    OPERATIONS,
    PUBLISHED,
    UNIFORMS,
    Columns,
    Size,
    numbers_of,
)
from distillset.augment.table import Shape, Table
from distillset.errors import InputError
from distillset.keys import uniform


@dataclass(frozen=True)
class Augmentation:
    """A strategy: the operations of which each draw takes one, with equal probability.

    Args:
        strategy: names in `OPERATIONS`; empty for no augmentation.

    Raises:
        InputError: an unknown or repeated operation.
    """

    strategy: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in self.strategy:
            if name not in OPERATIONS:
                allowed = f"{', '.join(OPERATIONS)} (joined by _), or {NONE}"
                raise InputError.about("augmentation", f"unknown operation {name!r}; allowed are {allowed}")
            if self.strategy.count(name) > 1:
                raise InputError.about("augmentation", f"operation {name!r} is given more than once")

    @classmethod
    def parse(cls, text: str) -> "Augmentation":
        """The strategy written as in the papers: names joined by ``_``, or ``none``.

        Raises:
            InputError: an unknown or repeated operation.
        """
        return cls(() if text == NONE else tuple(text.split("_")))

    def __str__(self) -> str:
        return "_".join(self.strategy) or NONE

    def draw(self, words: Tensor, shape: Shape, count: int | None = None, on_host: bool = False) -> Table:
        """Draw an operation and its parameters from each stream.

        Number 0 of a stream chooses the operation; numbers ``1 + 3 i`` to ``3 + 3 i`` are the parameters of image i.

        Args:
            words: int64 ``[2]`` or ``[k, 2]``, the streams: of classes (siamese), of images, or of batches.
            shape: (C, H, W) of the images.
            count: images of a batch, of one operation with parameters of their own; None for one row per stream.
            on_host: let the host read which operations were drawn, so that only those are made, here and (for words on
                a CPU) in `Table.apply`; for words of a GPU the host would wait. Without, nothing asks the host, and
                the number of tensor operations depends on the strategy alone. The table is the same.

        Returns:
            ``k`` rows, or ``k * count``, on the device of the words; the same on every device to rounding, and the
            operations and whole numbers exactly.

        Raises:
            InputError: a shape or count that is not positive.
        """
        if min(shape) < 1:
            raise InputError("shape", tuple(shape), "(C, H, W) must each be at least 1")
        if count is not None and count < 1:
            raise InputError("count", count, "must be at least 1, or None for a shared draw")
        each, streams = count or 1, words.reshape(-1, 2)
        if not self.strategy:
            return Table.neutral(len(streams) * each, shape, words.device)
        drawn = uniform(streams, (1 + UNIFORMS * each,), dtype=torch.float64)
        chosen = (drawn[:, 0] * len(self.strategy)).long()
        kinds = tuple(self.strategy[number] for number in chosen.tolist() for _ in range(each)) if on_host else None
        operations = chosen[:, None].expand(-1, each).flatten()
        parameters = drawn[:, 1:].reshape(-1, UNIFORMS).unbind(1)
        columns = self._columns(parameters, operations, (shape[1], shape[2]), kinds)
        return Table(numbers_of(columns, parameters[0]), operations, self.strategy, shape, kinds)

    def _columns(
        self, uniforms: Sequence[Tensor], operations: Tensor, size: Size, kinds: tuple[str, ...] | None
    ) -> Columns:
        """The columns that some operation sets; of all operations, or of those that the host knows to be there."""
        wanted = set(self.strategy if kinds is None else kinds)
        columns: Columns = {}
        for number, name in enumerate(self.strategy):
            if name not in wanted:
                continue
            operation = OPERATIONS[name]
            for column, value in operation.columns(operation.sample(uniforms, size), size).items():
                if len(wanted) > 1:
                    value = torch.where(operations == number, value, columns.get(column, NEUTRAL[column]))
                columns[column] = value
        return columns


def packages(strategy: str) -> dict[str, str]:
    """The operations of a strategy that other packages bring, to these with their versions."""
    named = ((name, OPERATIONS.package(name)) for name in strategy.split("_") if name in OPERATIONS)
    return {name: package for name, package in named if package is not None}


def default_strategy(flip: bool) -> str:
    """The strategy of the DSA, DM and MTT papers.

    Args:
        flip: whether a mirrored image keeps its class (digits do not).
    """
    return "_".join(name for name in PUBLISHED if flip or name != "flip")
