"""Time and memory of steps."""

import contextlib
import ctypes
import gc
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


class Pairs:
    """Times fast and textbook steps in turn, so that a change of the machine's speed meets both alike.

    ``between`` is called after every fast step: it takes the time since it last returned, then times a textbook step.
    """

    def __init__(self, textbook: Callable[[int], object], warm: int) -> None:
        self.textbook, self.warm = textbook, warm
        self.fast: list[float] = []
        self.slow: list[float] = []
        self._count = 0
        self._since = time.perf_counter()

    def between(self) -> None:
        """The end of one fast step and the beginning of the next."""
        _finished()
        fast = time.perf_counter() - self._since
        start = time.perf_counter()
        self.textbook(self._count)
        _finished()
        slow = time.perf_counter() - start
        if self._count >= self.warm:
            self.fast.append(fast)
            self.slow.append(slow)
        self._count += 1
        self._since = time.perf_counter()

    def result(self) -> dict[str, Any]:
        """Medians in seconds, the median ratio of pairs and its extremes."""
        ratios = [slow / fast for fast, slow in zip(self.fast, self.slow, strict=True)]
        return {
            "fast_s": round(statistics.median(self.fast), 4),
            "textbook_s": round(statistics.median(self.slow), 4),
            "ratio": round(statistics.median(ratios), 2),
            "ratio_min": round(min(ratios), 2),
            "ratio_max": round(max(ratios), 2),
            "pairs": len(ratios),
        }


class Peak:
    """Called between steps: two warm up, then the peak of the third above what was resident before it is ``megabytes``.

    On a GPU that of its tensors, above those that were there. ``megabytes`` stays None where the system does not tell.
    """

    def __init__(self, warm: int = 2) -> None:
        self.megabytes: float | None = None
        self._warm, self._count, self._before = warm, 0, 0.0

    def __call__(self) -> None:
        self._count += 1
        if torch.cuda.is_available():
            if self._count == self._warm:
                torch.cuda.reset_peak_memory_stats()
                self._before = torch.cuda.memory_allocated()
            elif self._count == self._warm + 1:
                self.megabytes = round((torch.cuda.max_memory_allocated() - self._before) / 1e6, 1)
            return
        if self._count == self._warm:
            gc.collect()
            _give_back()
            self._before = _status("VmRSS")
            try:
                Path("/proc/self/clear_refs").write_text(
                    "5", encoding="ascii"
                )  # resets the peak to what is resident now
            except OSError:
                self._count = self._warm + 1
        elif self._count == self._warm + 1:
            self.megabytes = round((_status("VmHWM") - self._before) / 1e3, 1)


def _finished() -> None:
    """Wait for what a GPU was given to do."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _give_back() -> None:
    """Return what the C library holds in reserve, else a step could reuse it and would seem to need nothing."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _status(field: str) -> float:
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(field + ":"):
            return float(line.split()[1])
    raise OSError(f"/proc/self/status has no {field}")
