"""Distillation methods by name."""

from distillset.methods.base import (
    Forgiving,
    Leaf,
    Leaves,
    Matcher,
    Method,
    Piece,
    Prepares,
    Task,
    Term,
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

__all__ = [
    "DC",
    "DM",
    "DSA",
    "METHODS",
    "MTT",
    "Forgiving",
    "Leaf",
    "Leaves",
    "Matcher",
    "Method",
    "Piece",
    "Prepares",
    "Task",
    "Term",
    "Textured",
    "Whitens",
    "canvas",
    "field_type",
    "formation",
    "read_setting",
]
