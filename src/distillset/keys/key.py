"""A path of names below a seed, and the words of its stream."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Key:
    """A named random stream.

    The same path gives the same numbers in every process and on every machine. ``3`` and ``"3"`` are different names.

        >>> Key(0)("real", 3) == Key(0)("real")(3)
        True
        >>> Key(0)("real", 3).words()
        tensor([4015386535, 3109965082])

    Args:
        seed: the user's seed, any integer.
        path: the names below the seed, outermost first.
    """

    seed: int
    path: tuple[str | int, ...] = ()

    def __call__(self, *names: str | int) -> "Key":
        """The stream below this one with these names."""
        return Key(self.seed, self.path + names)

    def words(self, device: torch.device | str | None = None) -> Tensor:
        """The stream as numbers: int64 ``[2]``, two words in 0 .. 2^32-1, the Philox key of the path."""
        return words((self,), device)[0]

    def integer(self) -> int:
        """A 63-bit integer, uniform over paths: the first eight bytes of the path's SHA-256, without the lowest bit."""
        return int.from_bytes(self._digest()[:8], "big") >> 1

    def _digest(self) -> bytes:
        return hashlib.sha256(json.dumps([self.seed, *self.path]).encode()).digest()

    def _words(self) -> tuple[int, int]:
        digest = self._digest()  # bytes 8 .. 15, so that words and `integer` have nothing in common
        return int.from_bytes(digest[8:12], "big"), int.from_bytes(digest[12:16], "big")


def words(keys: Sequence[Key], device: torch.device | str | None = None) -> Tensor:
    """The streams of ``k`` keys as numbers, int64 ``[k, 2]`` in 0 .. 2^32-1: one copy to the device for all of them."""
    return torch.tensor([key._words() for key in keys], dtype=torch.int64, device=device).view(len(keys), 2)
