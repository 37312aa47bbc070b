"""Arguments of Python calls: whole numbers, numbers and paths in whatever form a program has them."""

import operator
import os
from pathlib import Path
from typing import Any

from distillset.errors import InputError, shown


def whole(flag: str, value: Any, least: int | None = None) -> int:
    """A whole number as Python's own: an int, one of NumPy, or a tensor that holds a single one.

    Args:
        flag: what messages call it, such as ``--ipc``.
        value: what was given.
        least: the smallest that is allowed.

    Raises:
        InputError: it is none (a truth value is none, and neither is 1.0), or too small.
    """
    allowed = "must be a whole number" if least is None else f"must be at least {least}"
    try:
        if isinstance(value, bool) or str(getattr(value, "dtype", "")).endswith("bool"):
            raise TypeError
        found = operator.index(value)
    except (TypeError, ValueError, RuntimeError, NotImplementedError):
        raise InputError(f"{flag} {shown(value)}: must be a whole number") from None
    if least is not None and found < least:
        raise InputError(f"{flag} {found}: {allowed}")
    return found


def number(flag: str, value: Any) -> float:
    """A number as Python's own; whole ones stay whole.

    Raises:
        InputError: it is none, such as text, or a truth value.
    """
    if type(value) in (int, float):
        return float(value) if isinstance(value, float) else value
    try:
        if isinstance(value, str | bytes | bool) or str(getattr(value, "dtype", "")).endswith("bool"):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, RuntimeError, NotImplementedError, OverflowError):
        raise InputError(f"{flag} {shown(value)}: must be a number") from None


def path_of(flag: str, value: Any) -> Path:
    """A path, with ``~`` replaced by the home it stands for, where there is one.

    Raises:
        InputError: neither text nor a path.
    """
    if not isinstance(value, str | os.PathLike):
        raise InputError(f"{flag} {shown(value)}: must be a path")
    text = os.fspath(value)
    if not isinstance(text, str):
        raise InputError(f"{flag} {shown(value)}: must be a path as text, not as bytes")
    try:
        return Path(text).expanduser()
    except RuntimeError:  # no home for that name
        return Path(text)
