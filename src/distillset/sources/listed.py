"""Images that a table lists: which column names them, which holds the labels, which rows are of which split."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from distillset.errors import InputError
from distillset.sources import roles, table_columns
from distillset.sources.kinds import suffix_of, suffixes
from distillset.sources.listed_rows import Listed, Part, parts_of, splits_of
from distillset.sources.named_files import NamedFiles
from distillset.sources.splits import Split, few
from distillset.sources.tables import Table, read_table
from distillset.sources.tree import Account, Folder

PATH_NAMES = (
    "file_name", "filename", "path", "file", "filepath", "image_path", "img_path", "image", "img", "image_id",
    "image_name", "img_name", "image_file", "images", "name", "id_code", "id", "isic_id",
)  # fmt: skip
"""Columns that name images; of several in which all cells are images the first."""

SUBMISSION = "submission"
"""In the name of a table that a competition gives as a form to fill in: its labels are none."""

HALF = 0.5
"""The share of its cells that a column must find among the images to be the one that names them."""


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
    parts: list[Part] = []
    for path, (listed, files) in usable.items():
        of_table = parts_of(listed, files, len(usable) > 1, guess)
        parts += of_table
        if not of_table:
            why[path] = f"no column of labels; its columns are {few(list(listed.table.columns))}"
    if all(bool((part.labels < 0).all()) for part in parts):
        return Listing(why=why)
    names = Counter(part.role for part in parts)
    if (role := next((role for role, count in names.items() if count > 1), None)) is not None:
        same = [part.table.path.name for part in parts if part.role == role]
        raise InputError.about(
            tree.path, f"several tables list images to {role} on: {few(same)}; give one of them as `data`"
        )
    _leave_unlisted(tree, parts, account)
    return Listing(splits_of(parts), {part.table.path for part in parts}, why)


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
            paths: Sequence[str | None] = cells
        except InputError as error:
            tied, share = error, 0.0
        if share < 1 and (joined := _joined(table, name, files, guess)) is not None:
            (base, paths), share = joined, 1.0
        if share < HALF:
            continue
        rank = -PATH_NAMES.index(name.lower()) if name.lower() in PATH_NAMES else -len(PATH_NAMES)
        if best is None or (share, rank) > best[:2]:
            best = (share, rank, Listed(table, name, paths, base))
    if best is not None:
        return best[2]
    if tied is not None:
        if table_columns.label_column(table, (), guess=False) is not None:
            raise _Unclear.about(path, f"{tied}; write the folder in front of the names")
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


def _leave_unlisted(tree: Folder, parts: Sequence[Part], account: Account) -> None:
    listed = {path for part in parts for path in part.paths}
    for path in tree.files():
        if path not in listed:
            account.leave("images", path, "in no table")
