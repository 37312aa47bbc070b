"""Splits whose pixels lie in one array, in memory or mapped from a file."""

import os
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distillset.errors import InputError
from distillset.sources.splits import Split

MOST_NAMES = 5_000


def array_split(
    name: str,
    pixels: NDArray[np.uint8],
    labels: NDArray[Any],
    class_names: tuple[str, ...] | None,
    row: Callable[[int], str] | None = None,
    notes: tuple[str, ...] = (),
) -> Split:
    """A split of an array.

    Args:
        name: what messages call it.
        pixels: uint8 [N, C, H, W] in any order in memory; it is copied when it is read.
        labels: whole numbers [N].
        class_names: one per class, or None for numbers.
        row: names a row; by default its number.
        notes: what has to be said of how it was read.

    Raises:
        InputError: there are not as many labels as images.
    """
    if len(pixels) != len(labels):
        raise InputError.about(
            name, f"{len(pixels)} images but {len(labels)} labels; there must be one label per image"
        )

    def read(rows: Sequence[int]) -> Tensor:
        if isinstance(rows, range) and rows.step == 1:
            return torch.from_numpy(np.array(pixels[rows.start : rows.stop], order="C"))
        return torch.from_numpy(np.ascontiguousarray(pixels[np.asarray(rows, dtype=np.int64)]))

    numbers = torch.from_numpy(np.asarray(labels).astype(np.int64))
    rows = row or (lambda number: f"{name}, row {number}")
    return Split(name, numbers, class_names, read, rows, notes=notes, numbered=True)


def names_under(folder: Path) -> dict[str, Path]:
    """What lies directly in a folder: names in lower case to paths, ascending.

    Nothing where it cannot be read, or where there are more than `MOST_NAMES`: the forms that are known by the names of
    their files have few, and a folder of a million images is not to be gone through for them.
    """
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in islice(entries, MOST_NAMES + 1)]
    except OSError:
        return {}
    return {} if len(names) > MOST_NAMES else {name.lower(): folder / name for name in sorted(names)}


def whole_file(path: Path, most: int) -> bytes:
    """The bytes of a regular file of at most ``most``.

    Raises:
        InputError: it cannot be read, is no regular file, or is larger.
    """
    try:
        if not path.is_file():
            raise InputError.about(path, "not a regular file")
        size = path.stat().st_size
        if size > most:
            raise InputError.about(path, f"{size:,} bytes; a file of this kind has at most {most:,}")
        return path.read_bytes()
    except OSError as error:
        raise InputError.about(path, f"cannot be read ({error.strerror})") from None
