"""Trajectory matching, killed while it trains its experts and while it distils: the bits of a run nobody touched."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from distillset.commands import main
from distillset.store import read_tensors
from tests import toys

STEPS, EXPERTS, REACH = 40, 6, 4
DRIVER = """
import sys
from functools import partial
import distillset.commands.distill as verb
from distillset.commands import main

verb.Record = partial(verb.Record, checkpoint_seconds=0)  # so that a kill seldom falls between checkpoints
sys.exit(main(sys.argv[1:]))
"""


class Run:
    """``distill mtt`` with experts of its own, whitened, with every leaf there is, in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = toys.toy_file(folder / "toy.npz")

    def arguments(self, out: Path) -> list[str]:
        return [
            "distill", "mtt", "--data", str(self.data), "--ipc", "2", "--out", str(out), "--steps", str(STEPS),
            "--expert-count", str(EXPERTS), "--max-start", str(REACH - 1), "--expert-epochs", "2", "--syn-steps", "4",
            "--lr-lr", "1e-3", "--average", "0.9", "--lr-labels", "1", "--whiten", "zca", "--network", toys.NETWORK,
            "--device", "cpu", "--precision", "fp32", "--compile", "off", "--snapshots", "4",
        ]  # fmt: skip

    def kill(self, out: Path, pattern: str, more: int, seconds: float) -> bool:
        """Kill the run once there are ``more`` new files of ``pattern``; whether it was killed before its end."""
        environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
        command = [sys.executable, "-c", DRIVER, *self.arguments(out)]
        process = subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        wanted, deadline = progress(out, pattern) + more, time.monotonic() + 300
        while process.poll() is None and progress(out, pattern) < wanted and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        return process.returncode == -signal.SIGKILL


def progress(out: Path, pattern: str) -> int:
    """Files of a pattern; of checkpoints the step of the last."""
    found = [path.stem for path in out.glob(pattern)]
    if "checkpoints" in pattern:
        return max((int(stem.removeprefix("step-")) for stem in found), default=0)
    return len(found)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("faults-mtt")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISTILLSET_CACHE", str(folder / "cache"))
        yield Run(folder)


@pytest.fixture(scope="module")
def untouched(runs: Run) -> Path:
    out = runs.folder / "untouched"
    assert main(runs.arguments(out)) == 0
    return out


def assert_same(out: Path, untouched: Path) -> None:
    def files(folder: Path) -> list[Path]:
        """All but the checkpoints before the last, which depend on the time."""
        found = (path.relative_to(folder) for path in folder.rglob("*.safetensors"))
        return sorted(name for name in found if name.parts[0] != "checkpoints" or name.stem == f"step-{STEPS}")

    assert files(out) == files(untouched)
    assert len(files(out)) == EXPERTS * (REACH + 1) + 1 + 5 + 1 + 1  # last checkpoint, snapshots, whitening, artifact
    for name in files(out):
        mine, theirs = (read_tensors(at / name)[0] for at in (out, untouched))
        assert mine.keys() == theirs.keys()
        for tensor in mine:
            assert torch.equal(mine[tensor], theirs[tensor]), (name, tensor)
    assert not list(out.rglob(".*.tmp"))


STATES, CHECKPOINTS = "experts/expert-*/epoch-*.safetensors", "checkpoints/step-*.safetensors"


def test_killed_during_experts_and_distillation(runs: Run, untouched: Path) -> None:
    out = runs.folder / "killed"
    draw = random.Random(3)
    assert runs.kill(out, STATES, 7, draw.random() * 0.01)
    assert 7 <= progress(out, STATES) < EXPERTS * (REACH + 1)
    assert not (out / "checkpoints").exists()
    assert runs.kill(out, CHECKPOINTS, 5, draw.random() * 0.02)
    assert 5 <= progress(out, CHECKPOINTS) < STEPS
    assert main(runs.arguments(out)) == 0
    assert_same(out, untouched)


@pytest.mark.slow
def test_killed_again_and_again(runs: Run, untouched: Path) -> None:
    out = runs.folder / "battered"
    draw = random.Random(4)
    for _ in range(6):
        runs.kill(out, STATES, draw.randrange(1, 8), draw.random() * 0.05)
    for _ in range(8):
        runs.kill(out, CHECKPOINTS, draw.randrange(1, 6), draw.random() * 0.05)
    assert main(runs.arguments(out)) == 0
    assert_same(out, untouched)
