"""One SIGKILL, one SIGTERM and one Ctrl-C for every long command: ``make faults`` in small."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults.battery import BRIEF, SOON
from tests.faults.commands import COMMANDS
from tests.faults.folders import half_written, temporaries

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All commands in one process that forks: importing PyTorch for each sitting would take longer than they do."""
    out = tmp_path_factory.mktemp("battery")
    few = ["--attacks", "0", "--kills", str(len(COMMANDS)), "--most", "1", "--forked"]
    command = [sys.executable, "-m", "tests.faults", *few, "--work", str(out / "work"), "--out", str(out / "done.json")]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode in (0, 1), ran.stderr
    found = json.loads((out / "done.json").read_text())
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_killed_and_stopped_it_ends_as_if_nobody_had_touched_it(name: str, done: dict[str, Any]) -> None:
    assert [told for told in done["failures"] if told.startswith(f"{name}:")] == []
    record = done["commands"][name]
    assert record["kills"] >= 1
    assert record["files_compared"] >= 2 * record["lives"]
    assert len(record["seconds_to_stop"]) == (0 if record["seconds_untouched"] < BRIEF else 2)
    assert all(seconds < SOON for seconds in record["seconds_to_stop"])


def test_the_battery_sees_what_is_half_written(tmp_path: Path) -> None:
    """A check that cannot fail would prove nothing."""
    out = tmp_path / "out"
    (out / "deep").mkdir(parents=True)
    (out / "whole.json").write_text("{}")
    (out / ".hidden.json.1.tmp").write_text("{")
    assert half_written(tmp_path) == []
    assert temporaries(out) == [".hidden.json.1.tmp"]
    (out / "deep" / "cut.json").write_text("{")
    (out / "cut.safetensors").write_bytes(b"x")
    (out / "cut.png").write_bytes(b"\x89PNG")
    (tmp_path / "cache" / "toy-0123").mkdir(parents=True)
    assert [line.split(":")[0] for line in half_written(tmp_path)] == [
        "out/cut.png", "out/cut.safetensors", "out/deep/cut.json", "cache/toy-0123"
    ]  # fmt: skip
