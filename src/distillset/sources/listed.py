"""Images that a table lists: which column names them, which holds the labels, which rows are of which split."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import torch

from distillset.errors import InputError
from distillset.sources import roles, table_columns
from distillset.sources.kinds import suffix_of, suffixes
from distillset.sources.named_files import NamedFiles
from distillset.sources.splits import Split, few, of_files
from distillset.sources.tables import Table, read_table
from distillset.sources.tree import Account, Folder

PATH_NAMES = (
    "file_name", "filename", "path", "file", "filepath", "image_path", "img_path", "image", "img", "image_id",
    "image_name", "img_name", "image_file", "images", "name", "id_code", "id", "isic_id",
)  # fmt: skip
"""Columns that name images; of several in which all cells are images the first."""

SUBMISSION = "submission"
"""In the name of a table that a competition gives as a form to fill in: its labels are none."""

NAMED = 5
"""Rows without an image that are named in full."""

HALF = 0.5
"""The share of its cells that a column must find among the images to be the one that names them."""


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
class Listing:
    """What tables list.

    Args:
        splits: name to split; empty where they list nothing.
        used: the tables that list them.
        why: of other tables, why they list none; may be empty text.
    """

    splits: dict[str, Split] = field(default_factory=dict)
    used: set[Path] = field(default_factory=set)
    why: dict[Path, str] = field(default_factory=dict)

    def single(self) -> bool:
        """Whether all rows with a label are of one class."""
        return len({label for split in self.splits.values() for label in split.labels.unique().tolist()} - {-1}) < 2


class _Unclear(InputError):
    """A table lists images, but it is not clear which."""


def open_listed(tree: Folder, tables: Sequence[Path], account: Account, allow_outside: bool, guess: bool) -> Listing:
    """The splits that tables list.

    Args:
        tree: the folder with the images.
        tables: which tables to look at.
        account: takes what is left.
        allow_outside: whether tables may name files outside the folder.
        guess: whether a column of labels need not be called like one.

    Raises:
        InputError: a table lists images, but some are not there, or have no label; or tables contradict each other.
    """
    why: dict[Path, str] = {}
    usable: dict[Path, tuple[Listed, NamedFiles]] = {}
    for path in tables:
        if SUBMISSION in path.stem.lower():
            why[path] = "a form to fill in"
            continue
        files = NamedFiles(tree, path.parent, allow_outside)
        try:
            listed = _listed(path, files, guess)
        except _Unclear:
            raise
        except InputError as error:
            why[path] = str(error).removeprefix(str(path)).lstrip(":, ")
            continue
        if isinstance(listed, str):
            why[path] = listed
        else:
            usable[path] = (listed, files)
    parts: list[_Part] = []
    for path, (listed, files) in usable.items():
        found = _parts(listed, files, len(usable) > 1, guess)
        parts += found
        if not found:
            why[path] = f"no column of labels; its columns are {few(list(listed.table.columns))}"
    if all(bool((part.labels < 0).all()) for part in parts):
        return Listing(why=why)
    names = Counter(part.role for part in parts)
    if (role := next((role for role, count in names.items() if count > 1), None)) is not None:
        same = [part.table.path.name for part in parts if part.role == role]
        raise InputError(
            f"{tree.path}: several tables list images to {role} on: {few(same)}; give one of them as --data"
        )
    _leave_unlisted(tree, parts, account)
    return Listing(_splits(parts), {part.table.path for part in parts}, why)


def _listed(path: Path, files: NamedFiles, guess: bool) -> Listed | str:
    """How a table lists images; text that says why it lists none."""
    table = read_table(path, files.has)
    if table is None:
        return ""
    if not len(table):
        return "" if path.suffix.lower() == ".txt" else "it has no rows"
    role = roles.role_of(path.stem)
    best: tuple[float, int, Listed] | None = None
    tied: InputError | None = None
    for name, cells in table.columns.items():
        filled = [cell for cell in cells if cell is not None]
        if not filled:
            continue
        try:
            base, share = files.base_of(filled, None if role is None else role[0])
            found: Sequence[str | None] = cells
        except InputError as error:
            tied, share = error, 0.0
        if share < 1 and (joined := _joined(table, name, files, guess)) is not None:
            (base, found), share = joined, 1.0
        if share < HALF:
            continue
        rank = -PATH_NAMES.index(name.lower()) if name.lower() in PATH_NAMES else -len(PATH_NAMES)
        if best is None or (share, rank) > best[:2]:
            best = (share, rank, Listed(table, name, found, base))
    if best is not None:
        return best[2]
    if tied is not None:
        if table_columns.label_column(table, (), guess=False) is not None:
            raise _Unclear(f"{path}: {tied}; write the folder in front of the names")
        return str(tied)
    return _unfound(table, files)


def _joined(table: Table, name: str, files: NamedFiles, guess: bool) -> tuple[str, list[str | None]] | None:
    """(base, cells) where images lie in folders called as their label or split, and the table leaves that."""
    split, label = table_columns.split_column(table), None
    with suppress(InputError):
        label = table_columns.label_column(table, [name] if split is None else [name, split[0]], guess)
    prefixes = [[label] if isinstance(label, str) else [], [split[0]] if split else []]
    for columns in (prefixes[0], prefixes[1], [*prefixes[1], *prefixes[0]]):
        if not columns or name in columns:
            continue
        rows = zip(*(table.columns[column] for column in (*columns, name)), strict=True)
        cells = ["/".join(map(str, row)) if all(row) else None for row in rows]
        try:
            base, share = files.base_of([cell for cell in cells if cell is not None], None)
        except (InputError, ValueError):
            continue
        if share == 1 and base is not None:
            return base, cells
    return None


def _unfound(table: Table, files: NamedFiles) -> str:
    """Why none of a table's columns names images that are there; empty where none is meant to."""
    for name, cells in table.columns.items():
        first = next((row for row, cell in enumerate(cells) if cell is not None), None)
        if first is None:
            continue
        cell = str(cells[first])
        if suffix_of(cell) in suffixes() or name.lower() in PATH_NAMES:
            try:
                files.path(cell, "")
            except InputError as error:
                return f"row {first}, column {name}: {error}"
    return ""


@dataclass
class _Part:
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


def _parts(listed: Listed, files: NamedFiles, several: bool, guess: bool) -> list[_Part]:
    """The splits of one table.

    Raises:
        InputError: an image is not there, or it is not clear which column holds the labels.
    """
    table = listed.table
    paths = _paths(listed, files)
    split = table_columns.split_column(table)
    named = roles.role_of(table.path.stem)
    of_rows = split[1] if split else _roles_of(paths, files.top, several and named is not None)
    own = roles.TRAIN if named is None else named[0]
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
        raise InputError(
            f"{table.path}, row {int(missing[0])}: no label ({of}); {len(missing)} of {len(labels)} rows have none"
        )
    notes = [f"{table.path}: {table.note}"] if table.note else []
    notes += _twice(table.path, paths, labels)
    notes += _unlike_folders(table.path, paths, labels, names)
    if split is None and (unheeded := table_columns.unheeded_split(table)) is not None:
        notes.append(f"{table.path}: column {unheeded} names no splits that are known; it is not heeded")
    parts = []
    for role in dict.fromkeys(of_rows or [own]):
        rows = [row for row in range(len(paths)) if not of_rows or of_rows[row] == role]
        part = [paths[row] for row in rows]
        parts.append(_Part(table, role, rows, part, labels[rows], names, notes))
    return parts


def _paths(listed: Listed, files: NamedFiles) -> list[Path]:
    """The images of all rows.

    Raises:
        InputError: some are not there, or not to be read; the first ones are named.
    """
    paths: list[Path] = []
    wrong: list[str] = []
    for row, cell in enumerate(listed.cells):
        try:
            paths.append(files.path(cell, listed.base))
        except InputError as error:
            wrong.append(f"row {row}: {error}")
    if len(wrong) > 1:
        more = f"; and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
        raise InputError(f"{listed.table.path}: {len(wrong)} rows cannot be used: {'; '.join(wrong[:NAMED])}{more}")
    if wrong:
        raise InputError(f"{listed.table.path}, {wrong[0]}")
    return paths


def _roles_of(paths: Sequence[Path], top: Path, named: bool) -> list[str] | None:
    """The split of every image by the folders it lies in; None where they do not say."""
    if named:
        return None
    inside = [path.relative_to(top).parts[:-1] if path.is_relative_to(top) else () for path in paths]
    for depth in range(max(map(len, inside), default=0)):
        found = roles.splits_among({parts[depth] for parts in inside if len(parts) > depth})
        if len(set(found.values())) > 1:
            of_rows = [found.get(parts[depth]) if len(parts) > depth else None for parts in inside]
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
    other = [image for image, found in seen.items() if len(found) > 1]
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


def _leave_unlisted(tree: Folder, parts: Sequence[_Part], account: Account) -> None:
    listed = {path for part in parts for path in part.paths}
    for path in tree.files():
        if path not in listed:
            account.leave("images", path, "in no table")


def _splits(parts: Sequence[_Part]) -> dict[str, Split]:
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
