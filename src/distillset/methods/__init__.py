"""Distillation methods by name."""

from distillset.methods.base import Leaf, Leaves, Matcher, Method, Piece, Task, Term
from distillset.methods.dc import DC, DSA
from distillset.methods.dm import DM

METHODS: dict[str, type[DC] | type[DM]] = {"dc": DC, "dsa": DSA, "dm": DM}

__all__ = ["DC", "DM", "DSA", "METHODS", "Leaf", "Leaves", "Matcher", "Method", "Piece", "Task", "Term"]
