"""Studies in processes of their own, killed: the same command afterwards gives what an untouched study gives."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from distillset.commands import main
from tests import toys

EAGER = ["--device", "cpu", "--precision", "fp32", "--compile", "off", "--quiet"]
STUDIES = {
    "continual": (
        ["--memory", "random", "dm", "--steps", "3", "--ipc", "1", "--seeds", "0", "1", "--network", toys.NETWORK,
         "--epochs", "3", "--repeats", "1"], 12,
    ),
    "nas": (["--proxy", "random", "dm", "--sample", "4", "--ipc", "1", "--epochs", "1", "--proxy-epochs", "1"], 12),
}  # fmt: skip
"""Flags, and networks to train."""


def arguments(study: str, data: Path, out: Path) -> list[str]:
    flags, _ = STUDIES[study]
    return [study, "--data", str(data), "--out", str(out), "--distill-steps", "2", *flags, *EAGER]


def trained(out: Path) -> int:
    return len(list((out / "accuracies").glob("*.json")))


def untimed(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: untimed(part) for name, part in value.items() if name != "seconds"}
    return [untimed(part) for part in value] if isinstance(value, list) else value


@pytest.mark.parametrize("study", STUDIES)
def test_a_killed_study_goes_on(study: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if study == "nas":  # narrow networks only, in this process and in the killed one
        monkeypatch.setattr("distillset.studies.space.WIDTHS", (4, 8))
    monkeypatch.setenv("DISTILLSET_CACHE", str(tmp_path / "cache"))
    data, networks = toys.toy_file(tmp_path / "toy.npz"), STUDIES[study][1]
    driver = (
        "import sys, distillset.studies.space as space; space.WIDTHS = (4, 8); "
        "from distillset.commands import main; sys.exit(main(sys.argv[1:]))"
    )
    untouched, killed = tmp_path / "untouched", tmp_path / "killed"
    assert main(arguments(study, data, untouched)) == 0
    assert trained(untouched) == networks
    process = subprocess.Popen(
        [sys.executable, "-c", driver, *arguments(study, data, killed)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 300
    while process.poll() is None and trained(killed) < networks // 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL
    done = trained(killed)
    assert networks // 2 <= done < networks
    kept = {path: path.stat().st_mtime_ns for path in (killed / "accuracies").glob("*.json")}
    assert main(arguments(study, data, killed)) == 0
    assert trained(killed) == networks
    assert {path: path.stat().st_mtime_ns for path in kept} == kept, "no network was trained twice"
    mine, theirs = (json.loads((at / f"{study}.json").read_text()) for at in (killed, untouched))
    assert untimed(mine) == untimed(theirs)
    assert not list(killed.rglob(".*.tmp"))
