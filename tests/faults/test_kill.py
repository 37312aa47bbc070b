"""Real processes, killed: the same command afterwards gives the bits of a run that nobody touched."""

import json
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
from distillset.data.synthetic import SyntheticSet
from distillset.store import read_tensors
from tests import toys

METHODS = {
    "dm": (120, []),
    "dsa": (40, ["--outer", "3", "--inner", "2"]),  # a kill falls into the middle of an episode
}
"""Method to steps and flags."""
DRIVER = """
import sys
from functools import partial
import distillset.commands.distill as verb
from distillset.commands import main

verb.Record = partial(verb.Record, checkpoint_seconds=0)  # so that a kill seldom falls between checkpoints
sys.exit(main(sys.argv[1:]))
"""


class Run:
    """The command line in a process of its own, on a toy set."""

    def __init__(self, folder: Path, method: str) -> None:
        self.folder, self.method = folder, method
        self.steps, self.flags = METHODS[method]
        self.data = toys.toy_file(folder / "toy.npz")

    def arguments(self, out: Path) -> list[str]:
        return [
            "distill", self.method, "--data", str(self.data), "--ipc", "2", "--out", str(out),
            "--steps", str(self.steps),
            "--network", toys.NETWORK, "--batch-real", "6", "--device", "cpu", "--precision", "fp32",
            "--compile", "off",
            "--snapshots", "4", *self.flags,
        ]  # fmt: skip

    def start(self, out: Path, *more: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
        command = [sys.executable, "-c", DRIVER, *self.arguments(out), *more]
        return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def finish(self, out: Path) -> None:
        """In this process, with the usual time between checkpoints."""
        assert main(self.arguments(out)) == 0


@pytest.fixture(scope="module", params=METHODS)
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("faults")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISTILLSET_CACHE", str(folder / "cache"))
        yield Run(folder, request.param)


@pytest.fixture(scope="module")
def untouched(runs: Run) -> Path:
    out = runs.folder / "untouched"
    runs.finish(out)
    return out


def lines(out: Path) -> int:
    """Steps in the log so far."""
    log = out / "metrics.jsonl"
    return log.read_bytes().count(b"\n") if log.exists() else 0


def wait_for(process: subprocess.Popen[str], out: Path, steps: int) -> None:
    """Until the run has logged so many steps, or has ended."""
    deadline = time.monotonic() + 300
    while process.poll() is None and lines(out) < steps and time.monotonic() < deadline:
        time.sleep(0.002)


def assert_same(out: Path, untouched: Path, steps: int) -> None:
    name = f"step-{steps}.safetensors"
    mine, theirs = (read_tensors(at / "checkpoints" / name)[0] for at in (out, untouched))
    assert mine.keys() == theirs.keys() == {"leaf.images", "momentum.images"}
    for tensor in mine:
        assert torch.equal(mine[tensor], theirs[tensor]), tensor
    assert torch.equal(SyntheticSet.load(out).images, SyntheticSet.load(untouched).images)
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records] == list(range(1, steps + 1))
    assert {path.name for path in (out / "snapshots").iterdir()} == {
        path.name for path in (untouched / "snapshots").iterdir()
    }
    assert not list(out.rglob(".*.tmp"))


def kill_at_random(runs: Run, out: Path, moments: list[tuple[int, float]]) -> int:
    """Kill a run at each of (steps after the last, seconds later); how many of them were killed before their end."""
    killed = 0
    for steps, seconds in moments:
        process = runs.start(out)
        wait_for(process, out, lines(out) + steps)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
    return killed


def test_a_killed_run_gives_the_same_bits(runs: Run, untouched: Path) -> None:
    out = runs.folder / "killed"
    draw = random.Random(20)
    assert kill_at_random(runs, out, [(draw.randrange(2, 15), draw.random() * 0.01) for _ in range(2)]) == 2
    assert 0 < lines(out) < runs.steps
    runs.finish(out)
    assert_same(out, untouched, runs.steps)


def test_a_terminated_run_saves_and_goes_on(runs: Run, untouched: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = runs.folder / "terminated"
    process = runs.start(out)
    wait_for(process, out, 3)
    assert main(runs.arguments(out)) == 2  # a second run on the folder
    assert f"distillset: error: {out}: another run is using this folder" in capsys.readouterr().err
    process.terminate()
    _, told = process.communicate(timeout=300)
    assert process.returncode == 130, told
    assert "Traceback" not in told
    stopped = lines(out)
    assert 3 <= stopped < runs.steps
    assert f"stopped after step {stopped} of {runs.steps}" in told.splitlines()[-1]
    assert (out / "checkpoints" / f"step-{stopped}.safetensors").is_file()
    runs.finish(out)
    assert f"resuming at step {stopped} of {runs.steps}" in capsys.readouterr().err
    assert_same(out, untouched, runs.steps)


@pytest.mark.slow
def test_a_run_killed_again_and_again(runs: Run, untouched: Path) -> None:
    """Also while it starts, before its first checkpoint, and while it writes its artifact."""
    out = runs.folder / "battered"
    draw = random.Random(4)
    kill_at_random(runs, out, [(0, draw.random() * 6) for _ in range(8)])
    kill_at_random(runs, out, [(draw.randrange(0, 5), draw.random() * 0.05) for _ in range(12)])
    runs.finish(out)
    assert_same(out, untouched, runs.steps)
