"""Distillation methods by name."""

from typing import Any

from distillset.errors import InputError, nearest, shown
from distillset.methods.base import (
    Inputs,
    Leaf,
    Leaves,
    Matcher,
    Method,
    Piece,
    Prepares,
    Task,
    Textured,
    Whitens,
    canvas,
    formation,
)
from distillset.methods.dc import DC, DSA
from distillset.methods.dm import DM
from distillset.methods.mtt import MTT
from distillset.methods.settings import field_type, read_setting

METHODS: dict[str, type[DC] | type[DM] | type[MTT]] = {"dc": DC, "dsa": DSA, "dm": DM, "mtt": MTT}


def method_of(value: Any) -> Method:
    """A method by its name or class, as published; one that is a method already as it is.

    Raises:
        InputError: neither.
    """
    if isinstance(value, str) and value.lower() in METHODS:
        return METHODS[value.lower()]()
    if isinstance(value, type) and issubclass(value, tuple(METHODS.values())):
        return method_of(value())
    needed = ("name", "steps", "init", "resolve", "images_per_step", "prepare")
    if isinstance(value, type | str) or not all(hasattr(value, name) for name in needed):
        near = nearest(value.lower(), METHODS) if isinstance(value, str) else ""
        raise InputError(f"method {shown(value)}: choose one of {', '.join(METHODS)}, or give one such as DM(){near}")
    method: Method = value
    return method


__all__ = [
    "DC",
    "DM",
    "DSA",
    "METHODS",
    "MTT",
    "Inputs",
    "Leaf",
    "Leaves",
    "Matcher",
    "Method",
    "Piece",
    "Prepares",
    "Task",
    "Textured",
    "Whitens",
    "canvas",
    "field_type",
    "formation",
    "method_of",
    "read_setting",
]
