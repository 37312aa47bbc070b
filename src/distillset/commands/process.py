"""Settings of the process of a command. The library itself changes no setting of the process that imports it."""

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

WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")
"""Variables by which a user says how the threads of OpenMP wait for each other."""

_ours: list[str] = []


def sleep_while_waiting() -> None:
    """Let threads that wait for each other sleep, not spin, unless the user has said how they wait.

    A thread that spins holds the core that the one it waits for may need, where other processes are busy. Measured on
    two cores, two threads: beside one other busy process a step of DM on the digits takes 0.26 in place of 1.93 s, on
    idle cores 0.11 in place of 0.10 s, and one on CIFAR-10 3.04 in place of 2.97 s. PyTorch's OpenMP reads the variable
    once, when PyTorch is imported: afterwards nothing is done.
    """
    if "torch" not in sys.modules and not any(name in os.environ for name in WAITING):
        os.environ["OMP_WAIT_POLICY"] = "passive"
        _ours.append("OMP_WAIT_POLICY")


def waiting() -> str:
    """How threads wait in this process, and who says so."""
    said = [f"{name}={os.environ[name]}" for name in WAITING if name in os.environ]
    if _ours and said:
        return f"waiting threads sleep: {', '.join(said)}, set by distillset"
    if said:
        return f"waiting threads do as the environment says: {', '.join(said)}"
    return "waiting threads spin, slow beside other busy processes: PyTorch was imported without OMP_WAIT_POLICY"


@functools.cache
def keep_memory() -> bool:
    """Let glibc keep what is freed, up to 512 MB, for the rest of this process. Returns whether it does.

    By default the large tensors of every step are mapped anew and given back, and the system blanks their pages each
    time. Measured: a step of DC on FashionMNIST (32 real images per class, fp32, one thread) 0.87 in place of 1.25 s.
    Nothing is done where another C library has no ``mallopt``, or the user has set its variables.
    """
    if not sys.platform.startswith("linux") or any(name.startswith("MALLOC_") for name in os.environ):
        return False
    import ctypes  # where it is needed: `distillset --version` is quicker than it

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    taken = [mallopt(name, value) for name, value in MALLOC.items()] if mallopt else [0]
    return all(taken)


def compute_with(threads: int | None) -> None:
    """Compute with as many threads as the resumed run had; None: with those that PyTorch has.

    Sums are then added in the order of before, and have its bits.
    """
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
