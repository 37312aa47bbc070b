"""Tables as columns of text: .csv, .tsv, .txt, .jsonl, .json and .parquet without images inside.

Every cell stays the text that it is in the file: ``001`` is no 1, and ``NA`` and ``None`` are names like others. Only
an empty cell is missing.
"""

import csv
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from distillset.errors import InputError
from distillset.sources.parquet_pages import check_parquet

LARGEST = 2**31
"""Bytes of a table of text."""

MOST_ROWS = 20_000_000
"""Rows of a table of text in parquet, which takes little room there."""

WIDE = 100
"""Columns from which a table is one of pixels, and not read as text."""

Cell = str | None


@dataclass(frozen=True)
class Table:
    """A table of text.

    Args:
        path: of its file.
        columns: name to cells, all of a length; None where a cell is empty.
        note: what has to be said of how it was read.
    """

    path: Path
    columns: Mapping[str, Sequence[Cell]]
    note: str | None = None

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))


def read_table(path: Path, is_image: Callable[[str], bool] = lambda text: False) -> Table | None:
    """The table in a file; None where there is none, or one of pixels.

    Args:
        path: the file.
        is_image: whether a cell names an image that is there; a first line with such a cell is no header.

    Raises:
        InputError: the file cannot be read.
    """
    suffix = path.suffix.lower()
    try:
        if path.stat().st_size > LARGEST:
            raise InputError.about(path, f"{path.stat().st_size:,} bytes; allowed are {LARGEST:,} for a table of text")
        if suffix == ".parquet":
            return _from_parquet(path)
        text, note = decoded(path.read_bytes())
    except OSError as error:
        raise InputError.about(path, f"cannot be read ({error.strerror or error})") from None
    if suffix in (".jsonl", ".json"):
        return _from_objects(path, text, note, suffix)
    return _from_text(path, text, note, is_image)


def header(path: Path) -> list[str]:
    """The first line of a table of text, by cells; empty where it cannot be read."""
    try:
        with path.open("rb") as file:
            line = file.readline(2**20)
    except OSError:
        return []
    text = decoded(line)[0].rstrip("\r\n")
    return [cell.strip() for cell in next(csv.reader([text], delimiter=_delimiter([text])), [])] if text else []


def decoded(data: bytes) -> tuple[str, str | None]:
    """(text, a note where its encoding had to be guessed): UTF-8, UTF-16 with its mark, else Windows-1252."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", errors="replace"), None
    try:
        return data.decode("utf-8-sig"), None
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace"), "not UTF-8; read as Windows-1252"


def _delimiter(lines: Sequence[str]) -> str:
    """The separator that gives the most columns, alike in all lines."""
    best, most = ",", 1
    for candidate in (",", ";", "\t", "|"):
        try:
            widths = {len(row) for row in csv.reader(lines, delimiter=candidate, skipinitialspace=True) if row}
        except csv.Error:
            continue
        if len(widths) == 1 and (width := widths.pop()) > most:
            best, most = candidate, width
    return best


def _from_text(path: Path, text: str, note: str | None, is_image: Callable[[str], bool]) -> Table | None:
    lines = [line for line in text.splitlines(keepends=True) if line.strip()]
    if not lines:
        return None
    sample = [line.rstrip("\r\n") for line in lines[:20]]
    delimiter = _delimiter(sample)
    try:
        rows = [row for row in csv.reader(lines, delimiter=delimiter, skipinitialspace=delimiter != "\t") if any(row)]
    except csv.Error as error:
        raise InputError.about(path, f"cannot be read as a table ({error})") from None
    if path.suffix.lower() == ".txt" and len(rows[0]) == 1:
        rows = [line.rsplit(maxsplit=1) for line in lines]  # a path may have spaces in it, a class seldom has
    width = len(rows[0])
    if width > WIDE or (width < 2 and path.suffix.lower() == ".txt"):
        return None
    names = [cell.strip() for cell in rows[0]]
    if any(is_image(name) for name in names):
        names = [f"column {number}" for number in range(1, width + 1)]
    else:
        rows = rows[1:]
    for number, row in enumerate(rows):
        if len(row) != width:
            if path.suffix.lower() == ".txt":
                return None  # prose
            raise InputError.about(
                f"{path}, row {number}", f"{len(row)} cells; the first line has {width} ({_short(names)})"
            )
    cells = [[cell.strip() or None for cell in column] for column in zip(*rows, strict=True)] or [[] for _ in names]
    return Table(path, _named(names, cells), note)


def _short(names: Sequence[str]) -> str:
    """The first few names of columns, cut short, for a message."""
    return ", ".join(name[:30] for name in names[:4]) + (", ..." if len(names) > 4 else "")


def _from_objects(path: Path, text: str, note: str | None, suffix: str) -> Table | None:
    """One object a line, or one list of objects; fields of inner objects are called ``outer.inner``."""
    try:
        if suffix == ".json":
            objects = json.loads(text)
            if not isinstance(objects, list):
                return None
        else:
            objects = [json.loads(line) for line in text.splitlines() if line.strip()]
    except (ValueError, RecursionError) as error:
        if suffix == ".json":
            return None
        raise InputError.about(path, f"not one JSON object a line ({error})") from None
    if not objects or not all(isinstance(row, dict) for row in objects):
        return None
    flat = [_flattened(row) for row in objects]
    names = list(dict.fromkeys(name for row in flat for name in row))
    if not 2 <= len(names) <= WIDE:
        return None
    return Table(path, {name: [_text(row.get(name)) for row in flat] for name in names}, note)


def _from_parquet(path: Path) -> Table | None:
    from pyarrow import ArrowException, parquet, types

    check_parquet(path)
    try:
        schema = parquet.read_schema(path)
        if any(
            types.is_binary(field.type) or types.is_large_binary(field.type) or types.is_nested(field.type)
            for field in schema
        ) or not any(types.is_string(field.type) or types.is_large_string(field.type) for field in schema):
            return None
        if parquet.read_metadata(path).num_rows > MOST_ROWS:
            raise InputError.about(path, f"{parquet.read_metadata(path).num_rows:,} rows; allowed are {MOST_ROWS:,}")
        rows = parquet.read_table(path)
    except InputError:
        raise
    except (OSError, ValueError, ArrowException):
        return None  # what reads images in parquet says it better
    if not 2 <= len(schema.names) <= WIDE:
        return None
    return Table(path, _named(schema.names, [[_text(cell) for cell in column.to_pylist()] for column in rows.columns]))


def _named(names: Sequence[str], columns: Sequence[Sequence[Cell]]) -> dict[str, Sequence[Cell]]:
    """Columns by name; those without one, which pandas writes for its index, are left."""
    return {name: column for name, column in zip(names, columns, strict=True) if name and name != "__index_level_0__"}


def _flattened(row: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{inner}": item for inner, item in value.items()}
        else:
            flat[name] = value
    return flat


def _text(value: Any) -> Cell:
    """A value as a cell of text; a list of a single value as that value, other lists as they are written."""
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    if value is None or value != value:  # NaN stands for an empty cell
        return None
    return str(value).strip() or None


def first_rows(table: Table, count: int) -> list[tuple[Cell, ...]]:
    """The first rows of a table."""
    return list(islice(zip(*table.columns.values(), strict=True), count))


NUMBER = re.compile(r"0|[1-9]\d{0,8}")
"""A whole number as text, without leading zeros."""
