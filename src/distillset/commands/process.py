"""What a command sets for its own process. The library sets none of it: a process that imports it is its user's."""

import ctypes
import functools
import os
import sys
from collections.abc import Mapping

MALLOC: Mapping[int, int] = {
    -3: 32 * 2**20,  # M_MMAP_THRESHOLD, the most that glibc takes: smaller blocks come from the heap
    -1: 512 * 2**20,  # M_TRIM_THRESHOLD: so much free memory stays with the process
    -2: 64 * 2**20,  # M_TOP_PAD: the heap grows by so much more than is asked for
}
"""Parameters of glibc's ``mallopt`` and their values."""


@functools.cache
def keep_memory() -> bool:
    """Let glibc keep what is freed, up to 512 MB, for the rest of this process. Returns whether it does.

    By default the large tensors of every step are mapped anew and given back, and the system blanks their pages each
    time. Measured: a step of DC on FashionMNIST (32 real images a class, fp32, one thread) 0.87 in place of 1.25 s.
    Nothing is done where another C library has no ``mallopt``, or the user has set its variables.
    """
    if not sys.platform.startswith("linux") or any(name.startswith("MALLOC_") for name in os.environ):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    taken = [mallopt(name, value) for name, value in MALLOC.items()] if mallopt else [0]
    return all(taken)


def compute_with(threads: int | None) -> None:
    """Compute with as many threads as the run that is gone on with; None: with those that PyTorch has.

    Sums are then added in the order of before, and have its bits.
    """
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
