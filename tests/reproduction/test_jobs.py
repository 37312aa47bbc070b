"""Rows side by side: every one has its turn, and none outlives the one that asked for it."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from distillset.errors import InputError
from distillset.reproduction import Budget, side_by_side
from distillset.watch import Watcher


class Noting(Watcher):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, line: str) -> None:
        self.notes.append(line)


def python(code: str) -> Callable[[str, float], list[str]]:
    """A command that runs ``code`` with the row and its seconds as arguments."""
    return lambda row, seconds: [sys.executable, "-c", code, row, str(seconds)]


def test_every_row_has_its_turn_and_its_part_of_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    code = """
import os, sys
print(sys.argv[1], "done with", os.environ["OMP_NUM_THREADS"])
print("distillset: half way", file=sys.stderr)
print(sys.argv[1] + ": all the way", file=sys.stderr)
sys.exit(3 if sys.argv[1] == "b" else 0)
"""
    watcher = Noting()
    finished, waiting = side_by_side(["a", "b", "c"], 2, Budget(60.0), python(code), watcher)
    assert waiting == []
    assert {(job.row, job.code, job.lines, job.last) for job in finished} == {
        (row, 3 if row == "b" else 0, (f"{row} done with 2",), f"{row}: all the way") for row in "abc"
    }
    assert sorted(watcher.notes) == sorted(f"{row}: {said}" for row in "abc" for said in ("half way", "all the way"))


def test_two_at_a_time(tmp_path: Path) -> None:
    code = f"""
import pathlib, sys, time
here = pathlib.Path({str(tmp_path)!r})
(here / sys.argv[1]).touch()
end = time.monotonic() + 30
while len(list(here.iterdir())) < 2 and time.monotonic() < end:
    time.sleep(0.01)
print(len(list(here.iterdir())))
"""
    finished, _ = side_by_side(["a", "b"], 2, Budget(60.0), python(code), Watcher())
    assert [job.lines for job in finished] == [("2",), ("2",)]


def test_no_row_is_begun_without_time() -> None:
    now = [0.0]

    def command(row: str, seconds: float) -> list[str]:
        now[0] += 100.0
        return [sys.executable, "-c", f"print({seconds})"]

    finished, waiting = side_by_side(["a", "b", "c"], 1, Budget(150.0, lambda: now[0]), command, Watcher())
    assert [job.lines for job in finished] == [("150.0",), ("50.0",)]
    assert waiting == ["c"]


def test_an_interruption_stops_all_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = f"""
import os, pathlib, signal, sys, time
here = pathlib.Path({str(tmp_path)!r})
def save(*_):
    (here / (sys.argv[1] + ".saved")).touch()
    sys.exit(130)
signal.signal(signal.SIGTERM, save)
(here / sys.argv[1]).write_text(str(os.getpid()))
print("ready", file=sys.stderr, flush=True)
time.sleep(60)
"""
    watcher = Noting()

    def sleep(seconds: float) -> None:
        if len(watcher.notes) == 2 and not asked:  # both are ready
            asked.append(True)
            raise KeyboardInterrupt
        really(seconds)

    really, asked = time.sleep, list[bool]()
    monkeypatch.setattr("distillset.reproduction.jobs.time.sleep", sleep)
    with pytest.raises(KeyboardInterrupt):
        side_by_side(["a", "b"], 2, Budget(60.0), python(code), watcher)
    for row in "ab":
        assert (tmp_path / f"{row}.saved").exists()
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / row).read_text()), 0)


def test_bad_input() -> None:
    with pytest.raises(InputError, match="jobs=0: must be at least 1"):
        side_by_side(["a"], 0, Budget(1.0), python(""), Watcher())
