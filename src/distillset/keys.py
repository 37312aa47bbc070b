"""Named random streams: randomness is a value, never a global state and never the clock.

A `Key` is a path of names below a seed. Calling it appends names, and `generator()` turns the path into a freshly
seeded `torch.Generator`. The same path gives the same numbers in every process and on every machine, whatever was drawn
elsewhere; that is what makes a resumed run equal to an uninterrupted one.

    >>> Key(0)("real", 3).generator().initial_seed() == Key(0)("real")(3).generator().initial_seed()
    True
"""

import hashlib
import json
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Key:
    """A named random stream.

    Args:
        seed: the user's seed, any integer.
        path: the names below the seed, outermost first.
    """

    seed: int
    path: tuple[str | int, ...] = ()

    def __call__(self, *names: str | int) -> "Key":
        """The stream below this one with these names."""
        return Key(self.seed, self.path + names)

    def integer(self) -> int:
        """A 63-bit integer, uniform over paths (SHA-256 of seed and path; ``3`` and ``"3"`` are different names)."""
        digest = hashlib.sha256(json.dumps([self.seed, *self.path]).encode()).digest()
        return int.from_bytes(digest[:8], "big") >> 1

    def generator(self) -> torch.Generator:
        """A new CPU generator at the start of this stream. Drawing on the CPU keeps streams equal on every device."""
        return torch.Generator().manual_seed(self.integer())
