"""The observer of all long work: notes, progress, and a way to stop it."""

import os
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from distillset.errors import InputError
from distillset.escapes import printable


class Watcher:
    """Observes a run, a selection, an evaluation or the reading of data. The base class does nothing."""

    def note(self, line: str) -> None:
        """Called with a line for the user."""

    def step(self, step: int, steps: int, loss: float) -> None:
        """Called after step ``step`` of ``steps`` of a distillation."""

    def epoch(self, epoch: int, epochs: int, loss: float) -> None:
        """Called after epoch ``epoch`` of ``epochs`` of the experts, counted over all of them."""

    def images(self, what: str, images: int, total: int) -> None:
        """Called when ``images`` of ``total`` images are decoded; ``what`` names the data."""

    def network(self, artifact: str, network: int, networks: int, accuracy: float) -> None:
        """Called after network ``network`` of ``networks`` of an evaluation was tested; ``accuracy`` is a fraction."""
        self.note(f"{artifact}: network {network} of {networks}, {accuracy:.2%}")

    def accuracy(self, step: int, accuracy: float) -> None:
        """Called when the set after ``step`` was evaluated; ``accuracy`` is a fraction."""
        self.note(f"step {step}: accuracy {accuracy:.2%}")

    def stop(self) -> bool:
        """Whether to save the state and stop now."""
        return False

    def patience(self) -> AbstractContextManager[object]:
        """Entered while a run has a state to save, and asks `stop` between its updates.

        Elsewhere, where experts and networks are trained and data decoded, all that is whole is on the disk already: a
        watcher may end that at any moment by an `InterruptedRun`.
        """
        return nullcontext()

    def close(self) -> None:
        """Called at the end."""


class Relay(Watcher):
    """Passes everything on to another watcher; a subclass changes a part."""

    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher

    def note(self, line: str) -> None:
        self.watcher.note(line)

    def step(self, step: int, steps: int, loss: float) -> None:
        self.watcher.step(step, steps, loss)

    def epoch(self, epoch: int, epochs: int, loss: float) -> None:
        self.watcher.epoch(epoch, epochs, loss)

    def images(self, what: str, images: int, total: int) -> None:
        self.watcher.images(what, images, total)

    def network(self, artifact: str, network: int, networks: int, accuracy: float) -> None:
        self.watcher.network(artifact, network, networks, accuracy)

    def accuracy(self, step: int, accuracy: float) -> None:
        self.watcher.accuracy(step, accuracy)

    def stop(self) -> bool:
        return self.watcher.stop()

    def patience(self) -> AbstractContextManager[object]:
        return self.watcher.patience()

    def close(self) -> None:
        self.watcher.close()


class Callback(Watcher):
    """A plain function as a watcher: it is called as ``call(step, steps, loss)`` after every step."""

    def __init__(self, call: Callable[[int, int, float], object]) -> None:
        self._call = call

    def step(self, step: int, steps: int, loss: float) -> None:
        self._call(step, steps, loss)


class Progress(Watcher):
    """The default watcher: notes on stderr, and a progress bar.

    The bar is a widget in a notebook; where there is neither that nor a terminal, it is a line now and then. Of the
    ranks of `torchrun`, the first speaks.

    Args:
        quiet: whether notes and progress are left out.
        seconds: time between lines where there is no bar.
    """

    def __init__(self, quiet: bool = False, seconds: float = 30.0) -> None:
        self.quiet, self.seconds = quiet or not speaks(), seconds
        self._accuracy = ""
        self._bar: Any = None
        self._first: tuple[int, float] | None = None
        self._unit = ""
        self._last_line = time.monotonic()

    def note(self, line: str) -> None:
        if not self.quiet:
            write_note(line)

    def accuracy(self, step: int, accuracy: float) -> None:
        super().accuracy(step, accuracy)
        self._accuracy = f", accuracy {accuracy:.1%}"

    def step(self, step: int, steps: int, loss: float) -> None:
        self._advance("step", step, steps, step - 1, f"loss {loss:.4g}{self._accuracy}")

    def epoch(self, epoch: int, epochs: int, loss: float) -> None:
        self._advance("epoch", epoch, epochs, epoch - 1, f"loss {loss:.4g}{self._accuracy}")

    def images(self, what: str, images: int, total: int) -> None:
        self._advance("image", images, total, images, what)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar, self._first = None, None

    def _advance(self, unit: str, done: int, total: int, before: int, tail: str) -> None:
        """Show that ``done`` of ``total`` are done, ``before`` of them when the bar is new."""
        if self.quiet:
            return
        if unit != self._unit:
            self.close()
            self._unit = unit
        make = _bar()
        if make is not None:
            if self._bar is None:
                scale = unit == "image"
                self._bar = make(
                    total=total, initial=before, unit=unit, unit_scale=scale, dynamic_ncols=True, file=sys.stderr
                )
            self._bar.set_postfix_str(tail, refresh=False)
            self._bar.update(done - self._bar.n)
        else:
            self._line(unit, done, total, tail)
        if done == total:
            self.close()

    def _line(self, unit: str, done: int, total: int, tail: str) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first = (done, now)
        elif (done == total and unit != "image") or now - self._last_line >= self.seconds:
            self._last_line = now
            pace = (now - self._first[1]) / max(1, done - self._first[0])
            left = f"{pace:.3g} s each, {pace * (total - done) / 60:.1f} min to go"
            write_note(f"{unit} {done}/{total}, {tail}, {left}")


def watching(watcher: Watcher | Callable[[int, int, float], object] | None) -> Watcher:
    """The watcher for an argument: a watcher, a function, or None for `Progress`. `Watcher()` is silent.

    Raises:
        InputError: neither a watcher nor a function.
    """
    if isinstance(watcher, Watcher):
        return watcher
    if watcher is not None and not callable(watcher):
        raise InputError("watcher", watcher, "must be a Watcher, or a function of (step, steps, loss)")
    return Callback(watcher) if watcher else Progress()


def speaks() -> bool:
    """Whether this process talks to the user: of the ranks of `torchrun`, the first does."""
    return os.environ.get("RANK", "0") == "0"


def write_note(line: str) -> None:
    """A line on stderr, above any bar."""
    if not speaks():
        return
    line = printable(line)
    try:
        from tqdm import tqdm
    except ImportError:  # a run needs only PyTorch, numpy and safetensors
        sys.stderr.write(f"distillset: {line}\n")
    else:
        tqdm.write(f"distillset: {line}", file=sys.stderr)


def _bar() -> Any:
    """A function that makes a progress bar, if one can be shown."""
    notebook = _in_notebook()
    if not (notebook or sys.stderr.isatty()):
        return None
    try:
        if notebook:
            from tqdm.auto import tqdm as widget

            return widget
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    return ipython is not None and type(ipython.get_ipython()).__name__ == "ZMQInteractiveShell"
