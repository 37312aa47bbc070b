"""Arguments of Python calls: whole numbers, numbers and paths in whatever form a program has them."""

import operator
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from distillset.errors import InputError

LONGEST = 255
"""Bytes of a name in a path that file systems take."""


LARGEST_BITS = 1023
"""Of a whole number that a float can stand for."""


def whole(field: str, value: Any, least: int | None = None) -> int:
    """A whole number as Python's own: an int, one of NumPy, or a tensor that holds a single one.

    Args:
        field: what messages call it: the name of the argument, such as ``ipc``.
        value: what was given.
        least: the smallest that is allowed.

    Raises:
        InputError: it is none (a truth value is none, and neither is 1.0), or too small.
    """
    try:
        if isinstance(value, bool) or str(getattr(value, "dtype", "")).endswith("bool"):
            raise TypeError
        integer = operator.index(value)
    except (TypeError, ValueError, RuntimeError, NotImplementedError):
        raise InputError(field, value, "must be a whole number") from None
    if least is not None and integer < least:
        raise InputError(field, integer, f"must be at least {least}")
    return integer


def number(field: str, value: Any) -> float:
    """A number as Python's own; whole ones stay whole.

    Raises:
        InputError: it is none, such as text, or a truth value.
    """
    if type(value) in (int, float):
        if isinstance(value, int) and value.bit_length() > LARGEST_BITS:
            raise InputError(field, value, "must be a number, at most 1e308")
        return float(value) if isinstance(value, float) else value
    try:
        if isinstance(value, str | bytes | bool) or str(getattr(value, "dtype", "")).endswith("bool"):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, RuntimeError, NotImplementedError, OverflowError):
        raise InputError(field, value, "must be a number") from None


def path_of(field: str, value: Any) -> Path:
    """A path, with ``~`` replaced by the home it stands for, where there is one.

    Raises:
        InputError: neither text nor a path.
    """
    if not isinstance(value, str | os.PathLike):
        raise InputError(field, value, "must be a path")
    text = os.fspath(value)
    if not isinstance(text, str):
        raise InputError(field, value, "must be a path as text, not as bytes")
    why = "it has a zero byte" if "\0" in text else ""
    try:
        if max(map(len, os.fsencode(text).split(b"/")), default=0) > LONGEST:
            why = f"a part of it is too long (at most {LONGEST} bytes)"
    except UnicodeEncodeError:
        why = "it has characters that no file system has"
    if why:
        raise InputError(field, text, f"is no path that a file system takes; {why}")
    try:
        return Path(text).expanduser()
    except RuntimeError:  # no home for that name
        return Path(text)


def text(field: str, value: Any) -> str:
    """A text as it is.

    Raises:
        InputError: it is none.
    """
    if not isinstance(value, str):
        raise InputError(field, value, "must be text")
    return value


def truth(field: str, value: Any) -> bool:
    """A truth value as Python's own.

    Raises:
        InputError: it is none, neither Python's nor NumPy's.
    """
    if isinstance(value, bool) or type(value).__name__ in ("bool_", "bool"):
        return bool(value)
    raise InputError(field, value, "must be True or False")


def function(field: str, value: Any) -> None:
    """Check that something can be called.

    Raises:
        InputError: it cannot.
    """
    if not callable(value):
        raise InputError(field, value, "must be a function")


def of_kind(field: str, value: Any, kind: type | tuple[type, ...], needed: str) -> None:
    """Check that something is what it is taken for.

    Args:
        field: what messages call it.
        value: what was given.
        kind: what it must be an instance of.
        needed: ``kind`` in words.

    Raises:
        InputError: it is something else.
    """
    if not isinstance(value, kind):
        raise InputError(field, value, f"must be {needed}")


def several(field: str, values: Any) -> list[Any]:
    """The items of a list, a tuple or anything else but text that gives one after the other.

    Raises:
        InputError: it gives none.
    """
    if isinstance(values, str | bytes) or not isinstance(values, Iterable) or getattr(values, "ndim", 1) == 0:
        raise InputError(field, values, "must be a list")
    return list(values)
