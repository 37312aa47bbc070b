"""Ranks that share the terms of an update. One process is a mesh of one."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from torch import Tensor

T = TypeVar("T")


class Mesh(Protocol):
    """What the loop asks of the ranks it runs on."""

    def share(self, terms: Sequence[T]) -> Sequence[T]:
        """The terms that this rank computes."""

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Sum each tensor over the ranks, in place."""

    @property
    def writes(self) -> bool:
        """Whether this rank writes to disk."""


class Solo:
    """The mesh of one process."""

    writes = True

    def share(self, terms: Sequence[T]) -> Sequence[T]:
        return terms

    def add(self, tensors: Sequence[Tensor]) -> None:
        return None
