"""What a person sees of a run: notes and a bar on stderr, and a stop that saves."""

import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import FrameType, TracebackType
from typing import Any

from distillset.commands.ranks import speaks
from distillset.errors import DiskError, InterruptedRun
from distillset.escapes import printable
from distillset.watch import Watcher


def note(line: str) -> None:
    """A line on stderr, above any bar."""
    if not speaks():
        return
    line = printable(line)
    if tqdm := _tqdm():
        tqdm.write(f"distillset: {line}", file=sys.stderr)
    else:
        sys.stderr.write(f"distillset: {line}\n")


def _tqdm() -> Any:
    """The bar, where it is installed: a run needs only PyTorch, numpy and safetensors."""
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm


STOPPED = "stopped; what is whole is kept, and the same command goes on"


class Terminal(Watcher):
    """A bar with loss, last accuracy, speed and ETA on a terminal, a line now and then elsewhere.

    Ctrl-C and SIGTERM ask a run that has a state to stop when its update is done; anything else they end at once.

    Args:
        quiet: notes and progress are left out.
        seconds: time between lines where there is no terminal.
        logs: are told the same, also when it is quiet here.
    """

    def __init__(self, quiet: bool = False, seconds: float = 30.0, logs: Sequence[Watcher] = ()) -> None:
        self.quiet, self.seconds, self.logs = quiet or not speaks(), seconds, logs
        self._accuracy = ""
        self._stop = self._patient = self._ended = False
        self._bar: Any = None
        self._first: tuple[int, float] | None = None
        self._what = "step"
        self._told = time.monotonic()
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
        if self._bar is not None:
            self._bar.close()
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
        note("stopping after this update; once more to stop at once")

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

    def note(self, line: str) -> None:
        if not self.quiet:
            note(line)

    def accuracy(self, step: int, accuracy: float) -> None:
        super().accuracy(step, accuracy)
        self._accuracy = f", accuracy {accuracy:.1%}"
        for log in self.logs:
            log.accuracy(step, accuracy)

    def step(self, step: int, steps: int, loss: float) -> None:
        for log in self.logs:
            log.step(step, steps, loss)
        self._advance("step", step, steps, loss)

    def epoch(self, epoch: int, epochs: int, loss: float) -> None:
        self._advance("epoch", epoch, epochs, loss)

    def _advance(self, what: str, step: int, steps: int, loss: float) -> None:
        if self.quiet:
            return
        if what != self._what:
            if self._bar is not None:
                self._bar.close()
            self._bar, self._first, self._what = None, None, what
        tqdm = _tqdm() if sys.stderr.isatty() else None
        if tqdm is not None:
            if self._bar is None:
                self._bar = tqdm(total=steps, initial=step - 1, unit=what, dynamic_ncols=True, file=sys.stderr)
            self._bar.set_postfix_str(f"loss {loss:.4g}{self._accuracy}", refresh=False)
            self._bar.update(1)
            return
        now = time.monotonic()
        if self._first is None:
            self._first = (step, now)
        elif step == steps or now - self._told >= self.seconds:
            self._told = now
            pace = (now - self._first[1]) / max(1, step - self._first[0])
            left = f"{pace:.3g} s each, {pace * (steps - step) / 60:.1f} min to go"
            note(f"{what} {step}/{steps}, loss {loss:.4g}{self._accuracy}, {left}")
