"""The operations of the differentiable siamese augmentation as rows of numbers, in the papers' order and ratios.

A row has a number for everything that any operation can do to an image (`COLUMNS`). An operation sets some of them and
leaves the others neutral, so that one function serves images of which each has an operation of its own
(`distillset.augment.table`). Everything here is tensor operations on the device of the random numbers; how many there
are depends on nothing. The constants are those of the DSA paper's published code.

Deviations from that code: the sampling grid is that of ``align_corners=True``, as in torch 1.2, for which it was
written (later versions mean False); images that are not square rotate in pixel units (no shear).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor

from distillset.augment.sampling import REACH, within_reach
from distillset.errors import reason
from distillset.tables import PluginTable

BRIGHTNESS = 1.0
SATURATION = 2.0
CONTRAST = 0.5
CROP_PAD = 0.125
CUTOUT = 0.5
FLIP = 0.5
SCALE = 1.2
ROTATE = 15.0
"""The published ratios (degrees for ROTATE, a probability for FLIP)."""

NEUTRAL: dict[str, float] = {
    "row_by_row": 1.0, "row_by_column": 0.0, "row_shift": 0.0,
    "column_by_row": 0.0, "column_by_column": 1.0, "column_shift": 0.0,
    "brightness": 0.0, "saturation": 1.0, "contrast": 1.0,
    "top": 0.0, "bottom": 0.0, "left": 0.0, "right": 0.0,
}  # fmt: skip
"""The columns of a row, and the values that change nothing.

The first six are the sampling grid: pixel (row, column), counted from the image's centre, becomes the value at
``row_by_row * row + row_by_column * column + row_shift`` and likewise for its column. Then what is added to the pixels
and the factors of saturation and contrast; and the box to blank: rows top to bottom, columns left to right, without the
last.
"""

COLUMNS = tuple(NEUTRAL)
GRID, COLOR, BOX = slice(0, 6), slice(6, 9), slice(9, 13)
GROUPS = (GRID, COLOR, BOX)
"""The three groups of columns."""

NONE = "none"
"""The strategy without any operation."""

UNIFORMS = 3
"""Random numbers that the parameters of an image take, whichever the operation."""

Size = tuple[int, int]
Columns = dict[str, Tensor]


@dataclass(frozen=True)
class Operation:
    """How one augmentation makes its parameters of random numbers, and the columns of the parameters.

    Attributes:
        group: the columns it sets: `GRID`, `COLOR` or `BOX`.
        parameters: what they are called.
        sample: (uniform numbers in [0, 1), `UNIFORMS` tensors of one shape; height and width) -> parameters.
        columns: (parameters, height and width) -> the columns that are not neutral.
    """

    group: slice
    parameters: tuple[str, ...]
    sample: Callable[[Sequence[Tensor], Size], tuple[Tensor, ...]]
    columns: Callable[[Sequence[Tensor], Size], Columns]


def _integer(uniform: Tensor, low: int, high: int) -> Tensor:
    """A uniform integer in low..high, both ends included, exact to the resolution of ``uniform``."""
    return (uniform * (high - low + 1)).floor() + low


def _sample_color(u: Sequence[Tensor], size: Size) -> tuple[Tensor, ...]:
    """The brightness offset in [-0.5, 0.5), the factors of saturation in [0, 2) and contrast in [0.5, 1.5)."""
    return (u[0] - 0.5) * BRIGHTNESS, u[1] * SATURATION, u[2] * (2 * CONTRAST) + (1 - CONTRAST)


def _color(parameters: Sequence[Tensor], size: Size) -> Columns:
    return dict(zip(COLUMNS[COLOR], parameters, strict=True))


def _sample_crop(u: Sequence[Tensor], size: Size) -> tuple[Tensor, ...]:
    """The shifts in rows and columns: whole numbers up to an eighth of the side, rounded."""
    reach = [int(CROP_PAD * length + 0.5) for length in size]
    return _integer(u[0], -reach[0], reach[0]), _integer(u[1], -reach[1], reach[1])


def _crop(parameters: Sequence[Tensor], size: Size) -> Columns:
    """Pixel (i, j) becomes pixel (i + row shift, j + column shift), zero beyond the border."""
    return {"row_shift": parameters[0], "column_shift": parameters[1]}


def _box(length: int) -> int:
    return int(CUTOUT * length + 0.5)


def _sample_cutout(u: Sequence[Tensor], size: Size) -> tuple[Tensor, ...]:
    """The row and column of the centre."""
    # The centre of an odd box is a pixel; that of an even box is a corner between pixels, of which there is one more.
    last = [length - _box(length) % 2 for length in size]
    return _integer(u[0], 0, last[0]), _integer(u[1], 0, last[1])


def _cutout(parameters: Sequence[Tensor], size: Size) -> Columns:
    """Blank a box of half the height and half the width around the centre, clipped at the borders."""
    row, column = parameters
    top, left = row - _box(size[0]) // 2, column - _box(size[1]) // 2
    return {"top": top, "bottom": top + _box(size[0]), "left": left, "right": left + _box(size[1])}


def _sample_flip(u: Sequence[Tensor], size: Size) -> tuple[Tensor, ...]:
    """1 with probability `FLIP`, or 0."""
    return ((u[0] < FLIP).to(u[0].dtype),)


def _flip(parameters: Sequence[Tensor], size: Size) -> Columns:
    """Mirror left and right where the parameter is 1."""
    return {"column_by_column": 1 - 2 * parameters[0]}


def _sample_scale(u: Sequence[Tensor], size: Size) -> tuple[Tensor, ...]:
    """The factors of the sampling grid in rows and columns, in [1 / 1.2, 1.2)."""
    low, span = 1 / SCALE, SCALE - 1 / SCALE
    return u[0] * span + low, u[1] * span + low


def _scale(parameters: Sequence[Tensor], size: Size) -> Columns:
    """Multiply the sampling grid per axis: a factor above 1 shrinks the content."""
    return {"row_by_row": parameters[0], "column_by_column": parameters[1]}


def _sample_rotate(u: Sequence[Tensor], size: Size) -> tuple[Tensor, ...]:
    """The angle in radians, up to 15 degrees to either side."""
    return ((u[0] * 2 - 1) * math.radians(ROTATE),)


def _rotate(parameters: Sequence[Tensor], size: Size) -> Columns:
    """Rotate the sampling grid about the image's centre, in pixel units; x points right, y down."""
    cosine, sine = parameters[0].cos(), parameters[0].sin()
    return {"row_by_row": cosine, "row_by_column": sine, "column_by_row": -sine, "column_by_column": cosine}


def check_operation(name: str, operation: Any) -> str | None:
    """What is wrong with an operation of another package, to be called ``name``; None where nothing is.

    It is tried on two images' sizes with the least, middle and largest random numbers.
    """
    if not isinstance(operation, Operation):
        return "needed is a distillset.augment.Operation"
    if "_" in name or name == NONE:
        return f"its name may not be {NONE} or hold _, which joins the operations of a strategy"
    if operation.group not in GROUPS:
        return "its group must be GRID, COLOR or BOX"
    corners = torch.tensor(list(product((0.0, 0.5, 1 - 2**-24), repeat=UNIFORMS)), dtype=torch.float64)
    for size in ((32, 32), (5, 8)):
        try:
            parameters = operation.sample(corners.unbind(1), size)
            columns = operation.columns(parameters, size)
            rows = numbers_of(columns, corners[:, 0])
        except Exception as error:  # whatever the package's code raises
            return f"it fails on images of {size[0]}x{size[1]}: {type(error).__name__}: {reason(error)}"
        if len(parameters) != len(operation.parameters):
            return f"it gives {len(parameters)} parameters, and names {', '.join(operation.parameters)}"
        if other := set(columns) - set(COLUMNS[operation.group]):
            return f"it sets {', '.join(sorted(other))}; its group has {', '.join(COLUMNS[operation.group])}"
        if not bool(torch.isfinite(rows).all()):
            return "its columns must be finite numbers"
        if operation.group == GRID and not bool(within_reach(rows[:, GRID]).all()):
            return f"its grid must be such that the rows of its inverse have absolute sums below {REACH}"
    return None


def numbers_of(columns: Columns, like: Tensor) -> Tensor:
    """``[k, 13]`` of some columns, each ``[k]`` as ``like`` is, with the others neutral."""
    zeros, ones = torch.zeros_like(like), torch.ones_like(like)
    every = [columns.get(name, ones if neutral else zeros) for name, neutral in NEUTRAL.items()]
    return torch.stack(every, -1)


PUBLISHED = ("color", "crop", "cutout", "flip", "scale", "rotate")
"""The papers' operations, in their order."""

OPERATIONS: PluginTable[Operation] = PluginTable(
    "augmentation",
    "distillset.augmentations",
    {
        "color": Operation(COLOR, ("brightness", "saturation", "contrast"), _sample_color, _color),
        "crop": Operation(GRID, ("down", "right"), _sample_crop, _crop),
        "cutout": Operation(BOX, ("row", "column"), _sample_cutout, _cutout),
        "flip": Operation(GRID, ("mirrored",), _sample_flip, _flip),
        "scale": Operation(GRID, ("rows", "columns"), _sample_scale, _scale),
        "rotate": Operation(GRID, ("radians",), _sample_rotate, _rotate),
    },
    check_operation,
)
"""The operations by name."""
