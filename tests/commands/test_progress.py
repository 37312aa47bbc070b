"""What is seen of a run: a bar on a terminal, lines elsewhere, and nothing when it is quiet."""

import ast
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from distillset import commands
from distillset.commands import _terminable
from distillset.commands.progress import Terminal
from distillset.errors import DiskError, InputError, InterruptedRun


def test_plain_lines_without_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps of two seconds: the first starts the clock, then a line for every 4 seconds, and one for the last step."""
    now = iter(range(100, 200, 2))
    monkeypatch.setattr("distillset.watch.time.monotonic", lambda: float(next(now)))
    terminal = Terminal(seconds=4)
    for step in range(1, 6):
        terminal.step(step, 5, 1 / step)
        if step == 3:
            terminal.accuracy(3, 0.4567)
    assert capsys.readouterr().err.splitlines() == [
        "distillset: step 2/5, loss 0.5, 2 s each, 0.1 min to go",
        "distillset: step 3: accuracy 45.67%",
        "distillset: step 4/5, loss 0.25, accuracy 45.7%, 2 s each, 0.0 min to go",
        "distillset: step 5/5, loss 0.2, accuracy 45.7%, 2 s each, 0.0 min to go",
    ]


def test_a_bar_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with Terminal() as terminal:
        terminal.step(8, 10, 0.5)
        terminal.accuracy(8, 0.25)
        terminal.step(9, 10, 0.125)
        terminal._bar.refresh()
    shown = capsys.readouterr().err
    assert "9/10" in shown
    assert "loss 0.125, accuracy 25.0%" in shown


def test_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with Terminal(quiet=True) as terminal:
        terminal.step(1, 1, 0.5)
        terminal.accuracy(1, 0.5)
        terminal.note("hello")
    assert capsys.readouterr().err == ""


def test_an_interruption_is_not_taken_for_an_error_of_the_code_it_falls_into() -> None:
    """Other packages catch `Exception`, log it and go on, or raise their own; the readers of data name the data."""

    def imported() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        except Exception as error:
            raise ImportError("cannot be imported") from error

    with Terminal(quiet=True) as terminal:
        with pytest.raises(InterruptedRun):
            imported()
        assert terminal.stop()


class Interrupted:
    """An object that is interrupted where PyTorch, in C++, asks for its first number."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, at: int) -> int:
        signal.raise_signal(signal.SIGTERM)
        return 0


def test_an_interruption_that_other_code_loses_is_one_all_the_same() -> None:
    """Seen: a file that was being read when SIGTERM came was called damaged."""

    def read() -> None:
        try:
            torch.tensor(Interrupted())
        except ValueError as error:
            raise InputError.about("a.npz", f"damaged ({error})") from None

    with pytest.raises(InterruptedRun, match="run the same command again to resume"), Terminal(quiet=True):
        read()
    with pytest.raises(KeyboardInterrupt), _terminable():
        read()


def test_a_full_disk_after_an_interruption_is_still_told() -> None:
    def save() -> None:
        with suppress(InterruptedRun):
            signal.raise_signal(signal.SIGTERM)
        raise DiskError("no space left")

    with pytest.raises(DiskError), Terminal(quiet=True):
        save()


@pytest.mark.parametrize("path", sorted(Path(commands.__file__).parent.glob("*.py")), ids=lambda path: path.stem)
def test_every_command_says_who_watches(path: Path) -> None:
    """Without a watcher the library would speak of arguments, where a command speaks of flags."""
    long = {"load", "distill", "select", "evaluate", "compare", "continual", "nas", "reproduce", "read_pt"}
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    for call in calls:
        function = call.args[0] if getattr(call.func, "id", None) == "partial" and call.args else call.func
        if isinstance(function, ast.Name) and function.id in long:
            assert "watcher" in [keyword.arg for keyword in call.keywords], f"line {call.lineno}"
