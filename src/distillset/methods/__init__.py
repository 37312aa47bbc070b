"""Distillation methods by name."""

from distillset.methods.base import Leaf, Leaves, Matcher, Method, Piece, Task, Term
from distillset.methods.dm import DM

METHODS: dict[str, type[DM]] = {"dm": DM}

__all__ = ["DM", "METHODS", "Leaf", "Leaves", "Matcher", "Method", "Piece", "Task", "Term"]
