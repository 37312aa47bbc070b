"""Labels in the forms in which users have them: numbers, names, one-hot rows, and lists that hold a single one."""

from collections.abc import Callable, Sequence
from math import isnan
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distillset.errors import InputError, shown

TRUTHS = ("False", "True")
"""The class names of truth values."""

MISSING = -1
"""The number of a row without a label; a split of which no row has one cannot be trained or tested on."""


def from_values(
    values: Sequence[Any], names: Sequence[str] | None, row: Callable[[int], str], column: str = ""
) -> tuple[Tensor, tuple[str, ...] | None]:
    """(labels int64 [N], class names if there are any) of one value per row.

    A value is a whole number (as a float, too), a name (as bytes, too), a truth value, a list of one of these, or a
    one-hot list as long as there are classes; all of a kind. Truth values alone are the classes ``False`` and ``True``.

    Args:
        values: one per row.
        names: what the numbers stand for, where the source says so.
        row: names a row in messages.
        column: named in messages.

    Raises:
        InputError: a label is missing in some rows, or of another kind; the message names the row.
    """
    of = f" (column {column})" if column else ""
    try:
        values = [value.tolist() if isinstance(value, Tensor | np.ndarray | np.generic) else value for value in values]
    except (RuntimeError, NotImplementedError) as error:  # tensors without data
        raise InputError.about(row(0), f"{type(error).__name__}, a label cannot be read{of}") from None
    if values and all(_is_missing(value) for value in values):
        return torch.full((len(values),), MISSING), None if names is None else tuple(names)
    widths = {len(value) for value in values if isinstance(value, list | tuple)}
    one_hot = len(widths) == 1 and min(widths) > 1
    truths = bool(values) and isinstance(values[0], bool)
    if names is None and truths:
        names = TRUTHS
    plain: list[int | str] = []
    for number, value in enumerate(values):
        try:
            plain.append(_one(value, one_hot))
        except InputError as error:
            raise InputError.about(row(number), f"{error}{of}") from None
        if isinstance(plain[-1], str) != isinstance(plain[0], str) or isinstance(value, bool) != truths:
            fault = f"label {shown(value)}, but row 0 has {shown(values[0])}"
            raise InputError.about(row(number), f"{fault}; all must be of one kind{of}")
    if plain and isinstance(plain[0], str):
        present = {str(value) for value in plain}
        names = names if names is not None and present <= set(names) else sorted(present)
        numbers = {name: number for number, name in enumerate(names)}
        plain = [numbers[str(value)] for value in plain]
    return torch.tensor(plain, dtype=torch.int64), None if names is None else tuple(names)


def from_array(array: Tensor, what: str) -> Tensor:
    """Labels int64 [N] of an array: numbers [N] or [N, 1], or one-hot rows [N, classes] of any type.

    Raises:
        InputError: another shape or type, a negative number, or a row that is not one-hot; the message names it.
    """
    name = str(array.dtype).removeprefix("torch.")
    if array.ndim == 2 and array.shape[1] > 1 and not array.dtype.is_complex:
        inside = ((array == 0) | (array == 1)).all(1) & ((array == 1).sum(1) == 1)
        if not bool(inside.all()):
            row = int((~inside).nonzero()[0])
            first = ", ".join(f"{value:g}" for value in array[row, :8].tolist())
            more = ", ..." if array.shape[1] > 8 else ""
            raise InputError.about(
                what,
                f"row {row} is [{first}{more}]; allowed are class numbers [N], or one-hot rows: a single 1 among zeros",
            )
        return array.to(torch.float32).argmax(1)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array.squeeze(1)
    if array.ndim != 1:
        raise InputError.about(
            what,
            f"their shape is {list(array.shape)}; allowed are [N], one class number per image, or one-hot [N, classes]",
        )
    if array.dtype.is_complex:
        raise InputError.about(what, f"their type is {name}; allowed are whole numbers from 0 on")
    if array.dtype.is_floating_point:
        whole = array == array.round()  # false for NaN; what is too large for int64 is no class either
        if not bool((whole & (array.abs() < 2**53)).all()):
            row = int((~(whole & (array.abs() < 2**53))).nonzero()[0])
            if bool(array[row].isnan()):
                raise InputError.about(what, f"row {row}: no label")
            raise InputError.about(what, f"row {row} is {float(array[row]):g}; allowed are whole numbers from 0 on")
    array = array.to(torch.int64)
    if len(array) and int(array.min()) < 0:
        row = int((array < 0).nonzero()[0])
        raise InputError.about(what, f"row {row} is {int(array[row])}; allowed are whole numbers from 0 on")
    return array.contiguous()


def _one(value: Any, one_hot: bool) -> int | str:
    """The single label of a row.

    Raises:
        InputError: there is none, or it is not one.
    """
    if _is_missing(value):
        raise InputError.about("", "no label")
    if isinstance(value, list | tuple):
        if len(value) == 1:
            return _one(value[0], one_hot)
        if one_hot and sorted(map(_number, value)) == [0] * (len(value) - 1) + [1]:
            return [_number(item) for item in value].index(1)
        said = f"{len(value)} labels" if value else "no label"
        raise InputError.about(
            "", f"{said} ({shown(value)}); needed is one per image, or a one-hot list with a single 1 among zeros"
        )
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise InputError.about("", f"label {shown(value)}; bytes are names only as UTF-8") from None
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or abs(value) >= 2**63:
        raise InputError.about("", f"label {shown(value)}; a whole number or a name is needed")
    return int(value)


def _is_missing(value: Any) -> bool:
    """Whether it stands for no label: None, NaN, and what pandas has for them."""
    return value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and isnan(value))


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")
