"""The rows of a table that lists images: their files, their labels, and which split each is of."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from distillset.errors import InputError
from distillset.sources import roles, table_columns
from distillset.sources.named_files import NamedFiles
from distillset.sources.splits import Split, of_files
from distillset.sources.tables import Table

NAMED = 5
"""Rows without an image that are named in full."""


@dataclass
class Listed:
    """A table that lists images.

    Args:
        table: the table.
        image: the column that names them.
        cells: what it says, in full.
        base: the folder that this is relative to, see `NamedFiles`.
    """

    table: Table
    image: str
    cells: Sequence[str | None]
    base: str | None


@dataclass
class Part:
    """The rows of a table that are of one split."""

    table: Table
    role: str
    rows: list[int]
    paths: list[Path]
    labels: torch.Tensor
    class_names: tuple[str, ...] | None
    notes: list[str]

    def row(self, number: int) -> str:
        """How messages name a row."""
        return f"{self.table.path}, row {self.rows[number]} ({self.paths[number].name})"


def parts_of(listed: Listed, files: NamedFiles, several: bool, guess: bool) -> list[Part]:
    """The splits of one table.

    Raises:
        InputError: an image is not there, or it is not clear which column holds the labels.
    """
    table = listed.table
    paths = _paths(listed, files)
    split = table_columns.split_column(table)
    named = roles.role_of(table.path.stem)
    of_rows = split[1] if split else _roles_of(paths, files.top, several and named is not None)
    default = roles.TRAIN if named is None else named[0]
    used = [listed.image] if split is None else [listed.image, split[0]]
    try:
        column = table_columns.label_column(table, used, guess)
    except InputError:
        if named is None or named[0] == roles.TRAIN:
            raise
        column = None  # a test set whose labels are not given away
    if column is None and (named is None or named[0] == roles.TRAIN):
        return []
    labels, names = (torch.full((len(paths),), -1), None) if column is None else table_columns.labels_of(table, column)
    missing = (labels == -1).nonzero()
    if 0 < len(missing) < len(labels):
        of = f"column {column}" if isinstance(column, str) else "its columns of classes"
        raise InputError.about(
            f"{table.path}, row {int(missing[0])}", f"no label ({of}); {len(missing)} of {len(labels)} rows have none"
        )
    notes = [f"{table.path}: {table.note}"] if table.note else []
    notes += _twice(table.path, paths, labels)
    notes += _unlike_folders(table.path, paths, labels, names)
    if split is None and (unheeded := table_columns.unheeded_split(table)) is not None:
        notes.append(f"{table.path}: column {unheeded} names no splits that are known; it is not heeded")
    parts = []
    for role in dict.fromkeys(of_rows or [default]):
        rows = [row for row in range(len(paths)) if not of_rows or of_rows[row] == role]
        part = [paths[row] for row in rows]
        parts.append(Part(table, role, rows, part, labels[rows], names, notes))
    return parts


def _paths(listed: Listed, files: NamedFiles) -> list[Path]:
    """The images of all rows.

    Raises:
        InputError: some are not there, or not to be read; the first ones are named.
    """
    paths: list[Path] = []
    wrong: list[tuple[int, str]] = []
    for row, cell in enumerate(listed.cells):
        try:
            paths.append(files.path(cell, listed.base))
        except InputError as error:
            wrong.append((row, str(error)))
    if len(wrong) > 1:
        more = f"; and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
        first = "; ".join(f"row {row}: {fault}" for row, fault in wrong[:NAMED])
        raise InputError.about(listed.table.path, f"{len(wrong)} rows cannot be used: {first}{more}")
    for row, fault in wrong:
        raise InputError.about(f"{listed.table.path}, row {row}", fault)
    return paths


def _roles_of(paths: Sequence[Path], top: Path, named: bool) -> list[str] | None:
    """The split of every image by the folders it lies in; None where they do not say."""
    if named:
        return None
    inside = [path.relative_to(top).parts[:-1] if path.is_relative_to(top) else () for path in paths]
    for depth in range(max(map(len, inside), default=0)):
        names = roles.splits_among({parts[depth] for parts in inside if len(parts) > depth})
        if len(set(names.values())) > 1:
            of_rows = [names.get(parts[depth]) if len(parts) > depth else None for parts in inside]
            return [role for role in of_rows if role is not None] if all(of_rows) else None
    return None


def _twice(path: Path, paths: Sequence[Path], labels: torch.Tensor) -> list[str]:
    """What is said of images that a table lists more than once."""
    seen: dict[Path, set[int]] = {}
    for image, label in zip(paths, labels.tolist(), strict=True):
        seen.setdefault(image, set()).add(label)
    again = len(paths) - len(seen)
    if not again:
        return []
    other = [image for image, rows in seen.items() if len(rows) > 1]
    more = f", {len(other)} of them with different labels ({other[0].name})" if other else ""
    return [f"{path}: {again} rows name an image of another row again{more}; each row counts as an image"]


def _unlike_folders(
    path: Path, paths: Sequence[Path], labels: torch.Tensor, names: tuple[str, ...] | None
) -> list[str]:
    """What is said where images lie in folders that are called like other classes of the table."""
    known = {roles.plain(name).casefold(): label for label, name in enumerate(names or ())}
    other = [
        image
        for image, label in zip(paths, labels.tolist(), strict=True)
        if known.get(roles.plain(image.parent.name).casefold(), label) != label
    ]
    if not other:
        return []
    return [f"{path}: {len(other)} images lie in folders called like another class ({other[0]}); the table is believed"]


def splits_of(parts: Sequence[Part]) -> dict[str, Split]:
    """Name to split."""
    return {
        part.role: of_files(
            f"{part.table.path}, split {part.role}" if len(parts) > 1 else str(part.table.path),
            part.paths,
            part.labels,
            part.class_names,
            row=part.row,
            notes=tuple(part.notes),
        )
        for part in parts
    }
