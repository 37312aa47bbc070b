"""A table of numbers, one row per image, and the one function that augments by it.

`augment` is made of tensor operations only, as many whatever the number of images, classes and operations: it runs
eager, compiled, under ``torch.func`` and in a CUDA graph, never asks the host, and differentiates in the images. A
`Table` holds the rows of a draw. Where the host knows which operation each row is, and has the numbers, `Table.apply`
does only what is not neutral, which is faster where nothing is compiled, and equal to rounding.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from distillset.augment.by_operation import by_operation
from distillset.augment.color import blanked, colored
from distillset.augment.operations import BOX, COLOR, GRID, GROUPS, OPERATIONS, numbers_of
from distillset.augment.sampling import REACH, sample, within_reach
from distillset.errors import InputError

Shape = tuple[int, int, int]


def augment(images: Tensor, numbers: Tensor, groups: Sequence[slice] = GROUPS) -> Tensor:
    """The augmented images: sampled on the row's grid, then colored, then the box blanked.

    Args:
        images: ``[n, C, H, W]``, any float type; half precision is computed in float32. Never written to.
        numbers: ``[n, 13]`` or ``[1, 13]`` for all, `COLUMNS`, on the images' device.
        groups: groups of columns that may not be neutral; the others are not looked at.
    """
    exact = images if images.dtype in (torch.float32, torch.float64) else images.float()
    numbers = numbers.to(exact.dtype)
    if GRID in groups:
        exact = sample(exact, numbers[:, GRID])
    if COLOR in groups:
        exact = colored(exact, numbers[:, COLOR])
    if BOX in groups:
        exact = blanked(exact, numbers[:, BOX])
    return exact.to(images.dtype)


def check_images(images: Tensor, shape: Shape, rows: int | None) -> None:
    """Whether ``rows`` that were drawn for images of ``shape`` fit ``images``; None is one row for any number of them.

    Raises:
        InputError: the images' shape, number or type is another.
    """
    if images.dim() != 4 or tuple(images.shape[1:]) != tuple(shape):
        raise InputError.about(
            "images", f"shape {list(images.shape)}, but this draw was made for [n, {', '.join(map(str, shape))}]"
        )
    if rows not in (None, images.shape[0]):
        raise InputError.about("images", f"{images.shape[0]} of them, but this draw has parameters for {rows}")
    if not images.is_floating_point():
        raise InputError.about(
            "images", f"type {images.dtype}, but augmentation needs floats (normalise the pixels first)"
        )


@dataclass(frozen=True, eq=False)
class Table:
    """The rows of a draw.

    Attributes:
        numbers: float64 ``[k, 13]``, `distillset.augment.operations.COLUMNS`.
        operations: which operation of ``strategy`` each row is, int64 ``[k]``, on the same device.
        strategy: names in `OPERATIONS`; empty changes nothing.
        shape: (C, H, W) of the images it was drawn for.
        kinds: the operations' names ``[k]``, where the host knows them.
    """

    numbers: Tensor
    operations: Tensor
    strategy: tuple[str, ...]
    shape: Shape
    kinds: tuple[str, ...] | None = None

    @classmethod
    def neutral(cls, rows: int, shape: Shape, device: torch.device | None = None) -> "Table":
        """Rows that change nothing."""
        like = torch.zeros(rows, dtype=torch.float64, device=device)
        return cls(numbers_of({}, like), torch.zeros_like(like, dtype=torch.int64), (), shape)

    @classmethod
    def of(cls, operation: str, parameters: Sequence[float], shape: Shape) -> "Table":
        """One row with parameters of one's own.

        color: the brightness offset, the factors of saturation and contrast. crop: the shifts in rows and columns.
        cutout: the centre's row and column. flip: 1 or 0. scale: the factors of the sampling grid in rows and columns,
        above 2/3. rotate: radians.

        Raises:
            InputError: no such operation, other parameters than it has, or a scale that is too small for `sample`.
        """
        if operation not in OPERATIONS:
            raise InputError("operation", operation, f"choose one of {', '.join(OPERATIONS)}")
        names = OPERATIONS[operation].parameters
        if len(parameters) != len(names):
            raise InputError("parameters", parameters, f"{operation} takes {', '.join(names)}")
        values = torch.tensor([parameters], dtype=torch.float64)
        columns = OPERATIONS[operation].columns(values.unbind(1), (shape[1], shape[2]))
        numbers = numbers_of(columns, values[:, 0])
        if not bool(within_reach(numbers[:, GRID])):
            raise InputError("parameters", parameters, f"a scale must be above {1 / REACH:.4g}")
        return cls(numbers, torch.zeros(1, dtype=torch.int64), (operation,), shape, (operation,))

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, rows: int | slice | Tensor) -> "Table":
        """Some rows: a number, a slice, or int64 ``[n]`` on the table's device (which forgets what the host knows)."""
        if isinstance(rows, int):
            if not -len(self) <= rows < len(self):
                raise IndexError(f"row {rows} of a table of {len(self)} rows")
            rows = slice(rows, rows + 1 or None)
        kinds = None if self.kinds is None or isinstance(rows, Tensor) else self.kinds[rows]
        return replace(self, numbers=self.numbers[rows], operations=self.operations[rows], kinds=kinds)

    def repeat(self, count: int) -> "Table":
        """Every row ``count`` times on end: the rows of images that lie class by class."""
        numbers = self.numbers[:, None].expand(-1, count, -1).flatten(0, 1)
        operations = self.operations[:, None].expand(-1, count).flatten()
        kinds = None if self.kinds is None else tuple(kind for kind in self.kinds for _ in range(count))
        return replace(self, numbers=numbers, operations=operations, kinds=kinds)

    def apply(self, images: Tensor) -> Tensor:
        """The augmented images, differentiable in the images; the input is never written to.

        Args:
            images: ``[n, C, H, W]``, any float type, on any device; one row for each, or one for all. Half precision
                is computed in float32.

        Raises:
            InputError: the images' shape, number or type is not what this table was drawn for.
        """
        check_images(images, self.shape, None if len(self) == 1 else len(self))
        if not self.strategy or len(images) == 0:
            return images
        if self.kinds is not None and self.numbers.device.type == "cpu":
            return by_operation(images, self.numbers, self.kinds)
        groups = [OPERATIONS[name].group for name in self.strategy]
        # The type first: some devices have no float64.
        numbers = self.numbers.to(images.dtype if images.dtype == torch.float64 else torch.float32)
        return augment(images, numbers.to(images.device, non_blocking=True), groups)
