"""A terminal that goes away, or a full disk behind stdout, loses no artifact; a full disk is exit code 1, said once."""

import errno
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from distillset.commands import main
from distillset.commands.streams import Stream
from distillset.data.synthetic import SyntheticSet
from distillset.errors import DiskError, InputError, unwritable
from tests import toys
from tests.bad_input.case import EAGER
from tests.runs import distil

RUN = "import sys; from distillset.commands import main; sys.exit(main(sys.argv[1:]))"


def command(toy: Path, out: Path) -> list[str]:
    few = ["--ipc", "1", "--steps", "2", "--batch-real", "4", "--network", toys.NETWORK, *EAGER]
    return ["distill", "dm", "--data", str(toy), *few, "--out", str(out)]


class Broken(io.StringIO):
    """A stream that takes some text, and then fails."""

    def __init__(self, takes: int, number: int) -> None:
        super().__init__()
        self.takes, self.number, self.tries = takes, number, 0

    def write(self, text: str) -> int:
        self.tries += 1
        if self.tries > self.takes:
            raise OSError(self.number, os.strerror(self.number))
        return super().write(text)


@pytest.mark.parametrize("takes", [0, 1, 3])
@pytest.mark.parametrize("number", [errno.EPIPE, errno.ENOSPC, errno.EIO])
def test_stderr_that_goes_away_during_a_run(
    toy_npz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, takes: int, number: int
) -> None:
    monkeypatch.setattr(sys, "stderr", Broken(takes, number))
    assert main(command(toy_npz, tmp_path / "run")) == 0
    assert SyntheticSet.load(tmp_path / "run").card["steps"] == 2
    assert main(["verify", str(tmp_path / "run")]) == 0


def test_stdout_that_goes_away_during_a_run(toy_npz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Broken(0, errno.EPIPE))
    assert main(command(toy_npz, tmp_path / "run")) == 0
    assert SyntheticSet.load(tmp_path / "run").card["steps"] == 2


def test_stdout_on_a_full_disk(
    toy_npz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", Broken(0, errno.ENOSPC))
    assert main([*command(toy_npz, tmp_path / "run"), "--quiet"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "distillset: error: stdout: cannot be written (No space left on device); what the command wrote elsewhere is "
        "whole"
    ]
    assert SyntheticSet.load(tmp_path / "run").card["steps"] == 2


@pytest.mark.parametrize("closed", ["stdout", "all"])
def test_streams_that_are_closed_from_the_start(toy_npz: Path, tmp_path: Path, closed: str) -> None:
    """``>&-``: the next file that is opened would take the number, and whatever is printed would end up in it."""
    numbers = {"stdin": "0<&-", "stdout": "1>&-", "stderr": "2>&-"}
    how = " ".join(numbers.values()) if closed == "all" else numbers[closed]
    quoted = " ".join(f"'{word}'" for word in [sys.executable, "-c", RUN, *command(toy_npz, tmp_path / "run")])
    ran = subprocess.run(["sh", "-c", f"{quoted} {how}"], capture_output=True, text=True, check=False)
    assert ran.returncode == 0
    assert "Traceback" not in ran.stderr
    assert SyntheticSet.load(tmp_path / "run").card["steps"] == 2


@pytest.mark.parametrize("arguments", [["--help"], ["completion", "bash"]])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_told_once(arguments: list[str]) -> None:
    """At the exit of the process, what was left to be written failed again, with a traceback and exit code 120."""
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [sys.executable, "-c", RUN, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert ran.returncode == 1
    (line,) = ran.stderr.splitlines()
    assert "stdout: cannot be written (No space left on device)" in line


def test_a_stream_of_ascii_gets_escapes() -> None:
    raw = io.BytesIO()
    stream = Stream(io.TextIOWrapper(raw, encoding="ascii"), escaped=True)
    print("Kätzchen 猫\x1b", file=stream, flush=True)
    assert raw.getvalue() == b"K\\xe4tzchen \\u732b\\x1b\n"
    stream.stream.close()
    print("more", file=stream)
    assert stream.error is not None


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("verb", ["report", "export", "select", "decode"])
def test_any_disk_is_one_line_with_its_exit_code(
    toy_npz: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: int,
    verb: str,
) -> None:
    """1 where it is full, whatever is written; 2 at most where the user named a place that cannot be written."""
    monkeypatch.setenv("DISTILLSET_CACHE", str(tmp_path / "cache"))
    distil(ipc=1, steps=1).save(tmp_path / "set")
    more = {
        "report": ["report", str(tmp_path / "set"), "--out", str(tmp_path / "page.html")],
        "export": ["export", str(tmp_path / "set"), "--to", "imagefolder", "--out", str(tmp_path / "out")],
        "select": ["select", "random", "--data", str(toy_npz), "--ipc", "1", "--out", str(tmp_path / "new"), *EAGER],
    }
    more["decode"] = more["select"]
    if verb == "select":
        assert main([*more["select"][:-1], "off", "--out", str(tmp_path / "first")]) == 0  # the data are decoded
    capsys.readouterr()

    def fail(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("os.fsync", fail)
    code = main(more[verb])
    assert code == 1 if number in (errno.ENOSPC, errno.EDQUOT) else code in (1, 2)
    lines = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert len(lines) == 1
    assert lines[0].count(os.strerror(number)) == 1
    assert lines[0].count("cannot be written") == 1
    assert "None" not in lines[0]


def test_whose_fault_it_is() -> None:
    full, shut = OSError(errno.ENOSPC, "No space"), OSError(errno.EACCES, "Permission denied")
    assert str(unwritable("x", full)) == "x: cannot be written (No space); files that were complete are unchanged"
    assert isinstance(unwritable("x", full, "out"), DiskError)
    assert str(unwritable("x", shut, "out", "; try y")) == "out='x': cannot be written (Permission denied); try y"
    assert isinstance(unwritable("x", shut), InputError)
    told = DiskError("as it is")
    assert unwritable("x", told) is told
