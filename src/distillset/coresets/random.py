"""Random selection: the baseline of every other selector and method."""

from torch import Tensor

from distillset.keys import Key, fold, permutation


def random(rows: Tensor, ipc: int, key: Key) -> Tensor:
    """``ipc`` of ``rows [n]`` drawn without replacement: positions ``int64 [ipc]``."""
    return permutation(fold(key.words(), 0), min(ipc, len(rows)), len(rows))
