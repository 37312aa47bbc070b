"""The one observer: progress and notes of everything that takes long, and a say in when to stop."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from distillset.errors import InputError, shown


class Watcher:
    """What a face may do while a run goes on. The base class watches silently."""

    def note(self, line: str) -> None:
        """A line worth telling."""

    def step(self, step: int, steps: int, loss: float) -> None:
        """An episode is done: ``step`` of ``steps``."""

    def epoch(self, epoch: int, epochs: int, loss: float) -> None:
        """An epoch of the experts is done: ``epoch`` of ``epochs``, over all of them."""

    def accuracy(self, step: int, accuracy: float) -> None:
        """The set after ``step`` was measured: ``accuracy`` is a fraction."""
        self.note(f"step {step}: accuracy {accuracy:.2%}")

    def stop(self) -> bool:
        """Whether the run should save and end now."""
        return False

    def patience(self) -> AbstractContextManager[object]:
        """Entered while a run has a state to save, and asks `stop` between its updates.

        Elsewhere, where experts and networks are trained and data decoded, all that is whole is on the disk already: a
        watcher may end that at any moment by an `InterruptedRun`.
        """
        return nullcontext()

    def close(self) -> None:
        """Nothing more will be told."""


class Callback(Watcher):
    """A plain function as a watcher: it is called as ``call(step, steps, loss)`` after every episode."""

    def __init__(self, call: Callable[[int, int, float], object]) -> None:
        self._call = call

    def step(self, step: int, steps: int, loss: float) -> None:
        self._call(step, steps, loss)


def watching(watcher: Watcher | Callable[[int, int, float], object] | None) -> Watcher:
    """Whatever was given, as a watcher.

    Raises:
        InputError: neither a watcher nor a function.
    """
    if isinstance(watcher, Watcher):
        return watcher
    if watcher is not None and not callable(watcher):
        raise InputError(f"watcher {shown(watcher)}: must be a Watcher, or a function of (step, steps, loss)")
    return Callback(watcher) if watcher else Watcher()
