"""Distillation methods by name."""

from typing import Any

from distillset.errors import InputError
from distillset.methods.base import Inputs, Leaf, Leaves, Matcher, Piece, Role
from distillset.methods.dc import DC, DSA
from distillset.methods.dm import DM
from distillset.methods.images import Images
from distillset.methods.method import AUGMENT, BATCH_REAL, FORMATION, MOMENTUM, Method, Sizes, check_strategy, resolved
from distillset.methods.mtt import MTT
from distillset.methods.settings import Setting, read_setting, setting, settings_of
from distillset.methods.task import Task
from distillset.tables import PluginTable


def _check_row(name: str, row: Any) -> str | None:
    """What is wrong with a method of another package, to be called ``name``; None where nothing is."""
    if not (isinstance(row, type) and issubclass(row, Method)):
        return "needed is a class derived from distillset.Method"
    try:
        row()
    except InputError as error:
        return f"it cannot be used: {error}"
    return None if row.name == name else f"needed is its own name, {row.name!r}"


METHODS: PluginTable[type[Method]] = PluginTable(
    "method", "distillset.methods", {"dc": DC, "dsa": DSA, "dm": DM, "mtt": MTT}, _check_row
)
"""Name to class; other packages add theirs by an entry point."""


def method_of(value: Any) -> Method:
    """A method by its name or class, as published; one that is a method already as it is.

    Raises:
        InputError: neither.
    """
    if isinstance(value, Method):
        return value
    if isinstance(value, str):
        return METHODS[METHODS.resolve(value)]()
    if isinstance(value, type) and issubclass(value, Method):
        return value()
    raise InputError(
        "method",
        value,
        f"choose one of {', '.join(METHODS)}, or give one such as DM(), of a class derived from distillset.Method",
    )


__all__ = [
    "AUGMENT",
    "BATCH_REAL",
    "DC",
    "DM",
    "DSA",
    "FORMATION",
    "METHODS",
    "MOMENTUM",
    "MTT",
    "Images",
    "Inputs",
    "Leaf",
    "Leaves",
    "Matcher",
    "Method",
    "Piece",
    "Role",
    "Setting",
    "Sizes",
    "Task",
    "check_strategy",
    "method_of",
    "read_setting",
    "resolved",
    "setting",
    "settings_of",
]
