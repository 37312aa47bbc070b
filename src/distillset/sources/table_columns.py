"""Which columns of a table of text are the labels and the splits, and what their cells mean."""

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from distillset.errors import InputError
from distillset.sources import roles
from distillset.sources.splits import few
from distillset.sources.tables import NUMBER, Cell, Table

LABEL_NAMES = (
    "label", "labels", "fine_label", "class", "target", "cls", "category", "class_name", "label_name", "category_name",
    "breed", "species", "diagnosis", "dx", "finding", "emotion", "class_id", "label_id", "category_id", "classes",
    "variety", "y",
)  # fmt: skip
"""Columns that hold labels, by name; the first that is there."""

SPLIT_NAMES = ("split", "set", "subset", "usage", "partition", "phase", "dataset", "data_set", "data set", "fold")
TRAIN_FLAGS = ("is_train", "is_training", "is_training_img", "train")
NO_LABELS = ("caption", "text", "description", "prompt", "comment", "note", "notes", "url", "md5", "sha256", "license")
IDS = ("id", "idx", "index", "row", "unnamed: 0", "uid", "uuid")
MASKED = ("mask", "mask_path", "bbox", "width", "height", "size", "age", "sex", "gender", "date")


def split_column(table: Table) -> tuple[str, list[str]] | None:
    """(the column that says which split each row is of, the splits), None where there is none."""
    for name, cells in table.columns.items():
        word = name.strip().lower()
        if word in SPLIT_NAMES:
            names = [None if cell is None else roles.role_of(cell) for cell in cells]
            if names and all(role is not None for role in names):
                return name, [role[0] for role in names if role is not None]
        if (
            word in TRAIN_FLAGS
            and {cell.lower() for cell in cells if cell} <= {"0", "1", "true", "false"}
            and all(cells)
        ):
            return name, [roles.TRAIN if str(cell).lower() in ("1", "true") else roles.TEST for cell in cells]
    return None


def unheeded_split(table: Table) -> str | None:
    """A column that is called like one of splits, but says other things."""
    return next((name for name in table.columns if name.strip().lower() in SPLIT_NAMES), None)


def label_column(table: Table, used: Sequence[str], guess: bool) -> str | Mapping[str, Sequence[Cell]] | None:
    """The column of labels, or one-hot columns, or None where it is not clear.

    Args:
        table: the table.
        used: columns that are something else.
        guess: whether a single other column may be meant, whatever it is called.

    Raises:
        InputError: ``guess``, and there is none, or several.
    """
    rest = {name: cells for name, cells in table.columns.items() if name not in used}
    for wanted in LABEL_NAMES:
        for name in rest:
            if wanted == name.strip().lower().rsplit(".", 1)[-1]:
                return name
    flags = {name: cells for name, cells in rest.items() if _flags(cells)}
    if len(flags) > 1 and all(sum(map(_is_one, row)) == 1 for row in zip(*flags.values(), strict=True)):
        return flags
    if not guess:
        return None
    left_out = (*IDS, *NO_LABELS, *MASKED)
    likely = [
        name
        for name, cells in rest.items()
        if name.strip().lower() not in left_out and 2 <= len(set(cells) - {None}) <= max(2, len(cells) // 2)
    ]
    if len(likely) == 1:
        return likely[0]
    which = f"several columns could be the labels: {few(likely)}; " if likely else "no column of labels; "
    raise InputError.about(
        table.path, f"{which}its columns are {few(list(table.columns))}; call the labels' column label"
    )


def _flags(cells: Sequence[Cell]) -> bool:
    return bool(cells) and set(cells) <= {"0", "1", "0.0", "1.0"}


def _is_one(cell: Cell) -> bool:
    return cell in ("1", "1.0")


def labels_of(table: Table, column: str | Mapping[str, Sequence[Cell]]) -> tuple[Tensor, tuple[str, ...] | None]:
    """(labels int64 [N], -1 where a cell is empty; class names, None where the cells are numbers from 0 on).

    Whole numbers are class numbers where 0 is among them, and names otherwise: classes called 1 to 5 are five classes.
    """
    if not isinstance(column, str):
        names = tuple(column)
        return torch.tensor([list(map(_is_one, row)).index(True) for row in zip(*column.values(), strict=True)]), names
    cells = [None if cell is None else roles.plain(cell) for cell in table.columns[column]]
    values = {cell for cell in cells if cell is not None}
    whole = {cell.removesuffix(".0") if "." in cell else cell for cell in values}
    if whole and all(map(NUMBER.fullmatch, whole)):
        numbers = [-1 if cell is None else int(float(cell)) for cell in cells]
        known = sorted(set(numbers) - {-1})
        if known[0] != 1 or known[-1] != len(known):
            return torch.tensor(numbers, dtype=torch.int64), None
        return torch.tensor([max(number - 1, -1) for number in numbers]), tuple(map(str, known))
    if values and all(map(_FLOAT.fullmatch, values)) and not all(map(_WHOLE.fullmatch, values)):
        row = next(row for row, cell in enumerate(cells) if cell is not None and not _WHOLE.fullmatch(cell))
        raise InputError.about(
            f"{table.path}, row {row}", f"label {cells[row]} (column {column}); whole numbers or names are needed"
        )
    one_hot = _one_hot(values)
    if one_hot is not None:
        return torch.tensor([-1 if cell is None else one_hot[cell] for cell in cells]), None
    order = {name: number for number, name in enumerate(sorted(values))}
    return torch.tensor([-1 if cell is None else order[cell] for cell in cells], dtype=torch.int64), tuple(order)


_WHOLE = re.compile(r"[-+]?\d+(\.0*)?")
_FLOAT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)


def _one_hot(values: set[str]) -> dict[str, int] | None:
    """Lists such as ``[0, 1]`` as numbers; None where a cell is none, or not one-hot."""
    numbers: dict[str, int] = {}
    for cell in values:
        if not (cell.startswith("[") and cell.endswith("]")):
            return None
        items = [item.strip().removesuffix(".0") for item in cell[1:-1].split(",")]
        if len(items) < 2 or sorted(items) != ["0"] * (len(items) - 1) + ["1"]:
            return None
        numbers[cell] = items.index("1")
    return numbers or None
