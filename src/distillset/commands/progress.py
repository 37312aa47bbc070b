"""The terminal's view of a command: notes and a progress bar on stderr; Ctrl-C saves the state and stops."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import FrameType, TracebackType
from typing import Any

from distillset.commands.wording import in_flags
from distillset.errors import DiskError, InterruptedRun
from distillset.watch import Progress, Watcher, write_note

STOPPED = "stopped; complete files stay; run the same command again to resume"


class CommandProgress(Progress):
    """Notes and progress in the words of the command line."""

    def note(self, line: str) -> None:
        super().note(in_flags(line))


class Terminal(CommandProgress):
    """The progress of a command, with an orderly end: Ctrl-C and SIGTERM ask a run that has a state to stop when its
    update is done; anything else they end at once.

    Args:
        quiet, seconds: as of `Progress`.
        logs: hear the same, also when it is quiet here.
    """

    def __init__(self, quiet: bool = False, seconds: float = 30.0, logs: Sequence[Watcher] = ()) -> None:
        super().__init__(quiet, seconds)
        self.logs = logs
        self._stop = self._patient = self._ended = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Terminal":
        for name in (signal.SIGINT, signal.SIGTERM):
            self._before[name] = signal.signal(name, self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name, handler in self._before.items():
            signal.signal(name, handler)
        self.close()
        for log in self.logs:
            log.close()
        if self._ended and isinstance(error, Exception) and not isinstance(error, DiskError):
            raise InterruptedRun(STOPPED) from error  # what it interrupted lost it, and complained of something else

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._stop:  # asked twice: no more patience
            raise KeyboardInterrupt
        self._stop = True
        if not self._patient:
            self._ended = True
            raise InterruptedRun(STOPPED)
        write_note("stopping after this update; press Ctrl-C again to stop at once")

    def patience(self) -> AbstractContextManager[object]:
        return self._in_mood(True)

    def at_once(self) -> AbstractContextManager[object]:
        """Within a run: something that may be ended at once, such as an evaluation."""
        return self._in_mood(False)

    @contextmanager
    def _in_mood(self, patient: bool) -> Iterator[None]:
        before, self._patient = self._patient, patient
        try:
            yield
        finally:
            self._patient = before

    def stop(self) -> bool:
        return self._stop

    def accuracy(self, step: int, accuracy: float) -> None:
        super().accuracy(step, accuracy)
        for log in self.logs:
            log.accuracy(step, accuracy)

    def step(self, step: int, steps: int, loss: float) -> None:
        for log in self.logs:
            log.step(step, steps, loss)
        super().step(step, steps, loss)
