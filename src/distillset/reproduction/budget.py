"""Time that is left, and what stops a run inside it."""

import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from distillset.errors import DiskError, InputError
from distillset.watch import Relay, Watcher

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
RING_AGAIN = 2.0
"""Seconds."""


def duration(text: str, field: str = "budget") -> float:
    """``90s``, ``25m``, ``1.5h`` or seconds without a unit, as seconds.

    Raises:
        InputError: it is none of them, or not above 0.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    seconds = float(match[1]) * UNITS[match[2] or "s"] if match else 0.0
    if seconds <= 0:
        raise InputError(field, text, "must be a time above 0, such as 90s, 25m or 1.5h")
    return seconds


class OutOfTime(BaseException):
    """The budget is spent. Not an `Exception`, so that no one between takes it for a failure of its own."""


class Budget:
    """``seconds`` from now on.

    Args:
        seconds: of wall time.
        clock: seconds that only grow.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds, self.clock = seconds, clock
        self._end = clock() + seconds

    @property
    def left(self) -> float:
        """Seconds; below 0 when it is overspent."""
        return self._end - self.clock()

    @property
    def margin(self) -> float:
        """Seconds kept for saving."""
        return min(5.0, 0.02 * self.seconds)

    def part(self, seconds: float | None) -> "Budget":
        """What is left, but no more than ``seconds``."""
        return Budget(self.left if seconds is None else min(seconds, self.left), self.clock)

    def allows(self, seconds: float) -> bool:
        """Whether something that took ``seconds`` before may be done again, with half as much to spare."""
        return self.left > 1.5 * seconds + self.margin

    @contextmanager
    def enforced(self) -> Iterator[None]:
        """Raise `OutOfTime` in the block when the budget ends; only in the main thread can that be done, and not on
        Windows.

        It cuts short what cannot be asked to stop, such as the training of a network.
        """
        if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
            yield
            return

        rung = False

        def ring(number: int, frame: FrameType | None) -> None:
            nonlocal rung
            rung = True
            raise OutOfTime

        before = signal.signal(signal.SIGALRM, ring)
        # Again and again: the first may ring where exceptions are lost, as in a weak reference's callback.
        signal.setitimer(signal.ITIMER_REAL, max(self.left, 1e-3), RING_AGAIN)
        try:
            yield
        except DiskError:
            raise
        except Exception as error:
            if rung:  # what it rang in lost it, and complained of something else
                raise OutOfTime from error
            raise
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


class TimeLimitedWatcher(Relay):
    """Asks the run to stop while there is time for one more episode as long as the longest."""

    def __init__(self, budget: Budget, watcher: Watcher) -> None:
        super().__init__(watcher)
        self.budget, self.longest = budget, 0.0
        self._last: float | None = None

    def stop(self) -> bool:
        now = self.budget.clock()
        if self._last is not None:  # before the first there is preparation
            self.longest = max(self.longest, now - self._last)
        self._last = now
        return self.watcher.stop() or not self.budget.allows(self.longest)
