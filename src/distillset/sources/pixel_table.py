"""Tables of pixels: a row for each image, a column for each pixel and one for the label, as MNIST circulates.

Or, as in FER-2013, a column ``pixels`` of numbers between spaces, and a column ``Usage`` that says the split. Images
are square and grey. The first line may be missing: then the label comes first, and a note says so.
"""

import re
from collections.abc import Mapping
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distillset.data import labels
from distillset.errors import InputError, reason, shown
from distillset.sources import roles
from distillset.sources.array_roles import LABELS
from distillset.sources.raw_arrays import array_split, names_under
from distillset.sources.splits import Split, few
from distillset.sources.tables import LARGEST, WIDE, header
from distillset.sources.tree import regular

SUFFIXES = (".csv", ".tsv")
LABEL_NAMES = (*LABELS, "class", "emotion", "category", "digit", "letter")
PIXEL = re.compile(r"(pixel|pix|px|p|x|v|f|feature|attr|col|column)?[ _.-]*\d+([ _.x-]\d+)?", re.IGNORECASE)
IN_ONE = "pixels"
IDS = ("", "id", "idx", "index", "imageid", "image_id")
USAGE = ("usage", "split", "set")
BLOCK_BYTES = 2**25
"""What is parsed at a time; a row is shorter."""


def is_pixel_table(path: Path) -> bool:
    """Whether a file is such a table, by its first line, or a folder holds some and no folders."""
    if path.is_dir():
        return bool(_tables(path))
    if path.suffix.lower() not in SUFFIXES or not regular(path):
        return False
    cells = header(path)
    wide = sum(_is_number(cell) or PIXEL.fullmatch(cell) is not None for cell in cells) >= WIDE
    return wide or (IN_ONE in map(str.lower, cells) and _label(cells) is not None)


def _tables(folder: Path) -> list[Path]:
    names = {name: path for name, path in names_under(folder).items() if not name.startswith((".", "__"))}
    if any(path.is_dir() for path in names.values()):
        return []
    return [path for name, path in names.items() if name.endswith(SUFFIXES) and is_pixel_table(path)]


def open_pixel_table(path: Path) -> dict[str, Split]:
    """The splits of such a table or folder.

    Raises:
        InputError: rows are of different lengths, a pixel is no number up to 255, or the pixels are no square.
    """
    if path.is_file():
        return _open(path, "train")
    splits: dict[str, Split] = {}
    for table in _tables(path):
        role = roles.role_of(table.stem)
        for name, split in _open(table, role[0] if role else "train").items():
            if name in splits:
                raise InputError.about(
                    path, f"{splits[name].name} and {table.name} are both {name}; name one of them itself"
                )
            splits[name] = split
    return splits


def _open(path: Path, split: str) -> dict[str, Split]:
    cells = header(path)
    named = not all(_is_number(cell) for cell in cells)
    columns = _read(path, named, len(cells))
    if named and IN_ONE in map(str.lower, columns):
        return _in_one(path, columns, split)
    label = _label(list(columns)) if named else next(iter(columns))
    wide = [name for name in columns if name != label and (not named or PIXEL.fullmatch(name))]
    others = [name for name in columns if name not in wide and name.lower() not in IDS]
    if label is None and (others or not _side(len(wide))):
        raise InputError.about(path, f"no column of labels (beside pixels: {few(others) or 'none'}); call it label")
    notes = () if named else (f"{path}: it has no line of names; the first column is taken as the label",)
    pixels = _pixels(path, np.stack([_numbers(path, columns[name], name) for name in wide], axis=1))
    numbers, names = (np.full(len(pixels), -1), None) if label is None else _labels(path, columns[label], label)
    return {split: array_split(str(path), pixels, numbers, names, notes=notes)}


def _in_one(path: Path, columns: Mapping[str, Any], split: str) -> dict[str, Split]:
    """A table with all pixels of an image in one cell."""
    lower = {name.lower(): name for name in columns}
    label = _label(list(columns)) or ""
    try:
        rows = [np.array(cell.split(), dtype=np.float64) for cell in columns[lower[IN_ONE]].to_pylist()]
    except (ValueError, AttributeError, TypeError):
        raise InputError.about(
            path, f"column {lower[IN_ONE]}: numbers between spaces are needed in every row"
        ) from None
    if len({len(row) for row in rows}) != 1:
        raise InputError.about(path, f"column {lower[IN_ONE]}: the rows have different numbers of pixels")
    pixels = _pixels(path, np.stack(rows))
    numbers, names = _labels(path, columns[label], label)
    usage = next((lower[name] for name in USAGE if name in lower), None)
    if usage is None:
        return {split: array_split(str(path), pixels, numbers, names)}
    said = np.array([str(cell) for cell in columns[usage].to_pylist()])
    splits: dict[str, Split] = {}
    for value in dict.fromkeys(said.tolist()):
        role, which = roles.role_of(value), said == value
        key = role[0] if role else value
        if key in splits:
            raise InputError.about(path, f"column {usage}: {shown(value)} and another value both say {key}")
        splits[key] = array_split(f"{path}, {usage} {value}", pixels[which], numbers[which], names)
    return splits


def _read(path: Path, named: bool, width: int) -> dict[str, Any]:
    """The columns of a table by name, in their order."""
    from pyarrow import csv

    if path.stat().st_size > LARGEST:
        raise InputError.about(path, f"{path.stat().st_size:,} bytes; allowed are {LARGEST:,} for a table")
    delimiter = "\t" if path.suffix.lower() == ".tsv" else _delimiter(path)
    options = csv.ReadOptions(
        block_size=BLOCK_BYTES,
        use_threads=False,
        column_names=None if named else [f"c{number}" for number in range(width)],
    )
    try:
        table = csv.read_csv(path, read_options=options, parse_options=csv.ParseOptions(delimiter=delimiter))
        return {name.strip(): table.column(place) for place, name in enumerate(table.column_names)}
    except (OSError, ValueError) as error:
        raise InputError.about(path, f"it is no table ({reason(error, 160)})") from None


def _delimiter(path: Path) -> str:
    with path.open("rb") as file:
        line = file.readline(2**20).decode("utf-8", "replace")
    return max((",", ";", "\t"), key=line.count)


def _label(names: list[str]) -> str | None:
    lower = {name.strip().lower(): name for name in names}
    return next((lower[name] for name in LABEL_NAMES if name in lower), None)


def _numbers(path: Path, column: Any, name: str) -> NDArray[Any]:
    values = column.to_numpy()
    if column.null_count or values.dtype.kind not in "iuf":
        raise InputError.about(path, f"column {shown(name)}: a number is needed in every row")
    return np.asarray(values, dtype=np.float32)


def _pixels(path: Path, values: NDArray[Any]) -> NDArray[np.uint8]:
    """Grey values as bytes [N, 1, H, W]: whole numbers up to 255, or floats up to 1."""
    side = _side(values.shape[1])
    if not side:
        raise InputError.about(
            path,
            f"{values.shape[1]} pixels per row, which is no square; save images that are not square, or in "
            "colour, as an .npz with images [N, H, W, C] and labels",
        )
    if not len(values):
        raise InputError.about(path, "it has no rows")
    inside = np.isfinite(values).all() and values.min() >= 0
    if inside and values.max() <= 1 and (values != np.floor(values)).any():
        values = np.round(values * 255)
    if not inside or values.max() > 255 or (values != np.floor(values)).any():
        raise InputError.about(path, "its pixels are not whole numbers from 0 to 255, or floats from 0 to 1")
    return values.astype(np.uint8).reshape(-1, 1, side, side)


def _side(pixels: int) -> int:
    """The side of a square of so many pixels; 0 where they are none."""
    side = isqrt(pixels)
    return side if side * side == pixels and side > 1 else 0


def _labels(path: Path, column: Any, name: str) -> tuple[NDArray[Any], tuple[str, ...] | None]:
    values = [int(value) if isinstance(value, float) and value.is_integer() else value for value in column.to_pylist()]
    numbers, names = labels.from_values(values, None, lambda row: f"{path}, row {row}", name)
    return numbers.numpy(), names


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
