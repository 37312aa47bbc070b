"""Ranks of `torchrun` on loopback: they compute the bits of one process, and one that dies does not hang the others."""

import json
from pathlib import Path

import pytest
import torch

from distillset.data.synthetic import SyntheticSet
from tests import toys
from tests.distributed.launch import alone, torchrun

STEPS = 6
DRIVER = """
import os, signal, sys
from distillset.commands import main
from distillset.commands.progress import Terminal

told = Terminal.step

def step(self, step, steps, loss):
    told(self, step, steps, loss)
    if step == 3 and os.environ["RANK"] == "1" and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        os.kill(os.getpid(), signal.SIGKILL)

Terminal.step = step
sys.exit(main(sys.argv[1:]))
"""
FLAGS = {"dm": [], "dsa": ["--outer", "2", "--inner", "1"], "dc": ["--match", "all"]}


def arguments(method: str, folder: Path, out: Path) -> list[str]:
    return [
        "distill", method, "--data", str(folder / "toy.npz"), "--ipc", "2", "--out", str(out), "--steps", str(STEPS),
        "--network", toys.NETWORK, "--batch-real", "6", "--device", "cpu", "--precision", "fp32", "--compile", "off",
        *FLAGS[method],
    ]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ranks")
    toys.toy_file(path / "toy.npz")
    return path


def of_one(method: str, folder: Path) -> SyntheticSet:
    out = folder / f"alone-{method}"
    if not out.exists():
        alone(arguments(method, folder, out))
    return SyntheticSet.load(out)


@pytest.mark.parametrize(("method", "ranks"), [("dm", 2), ("dsa", 3), ("dc", 2)])
def test_ranks_compute_the_bits_of_one(folder: Path, method: str, ranks: int) -> None:
    out = folder / f"{method}-{ranks}"
    done = torchrun(ranks, "-m", "distillset", *arguments(method, folder, out))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("grid.png") == 1, "one rank speaks"
    assert done.stderr.count("estimate:") == 1
    assert torch.equal(SyntheticSet.load(out).images, of_one(method, folder).images)
    assert (out / "metrics.jsonl").read_text().count("\n") == STEPS


def test_ranks_share_the_networks_of_an_evaluation(folder: Path) -> None:
    of_one("dm", folder)
    flags = ["--networks", toys.NETWORK, "--epochs", "3", "--repeats", "3", "--compile", "off", "--json", "--no-cache"]
    command = ["-m", "distillset", "evaluate", str(folder / "alone-dm"), *flags]
    done = torchrun(2, *command)
    assert done.returncode == 0, done.stderr
    accuracies = [[row["accuracies"] for row in json.loads(out)] for out in (done.stdout, alone(command[2:]))]
    assert accuracies[0] == accuracies[1]
    assert [len(row) for row in accuracies[0]] == [3, 3]


def test_a_rank_that_dies_stops_the_others_and_a_restart_goes_on(folder: Path) -> None:
    driver = folder / "driver.py"
    driver.write_text(DRIVER)
    out = folder / "died"
    done = torchrun(2, str(driver), *arguments("dm", folder, out))
    assert done.returncode != 0
    assert "rank 0 of 2: another rank has stopped" in done.stderr or "Signal 9" in done.stderr
    assert not (out / "synthetic.safetensors").exists()
    again = torchrun(2, str(driver), *arguments("dm", folder, folder / "restarted"), restarts=1)
    assert again.returncode == 0, again.stderr
    assert torch.equal(SyntheticSet.load(folder / "restarted").images, of_one("dm", folder).images)


def test_wrong_input_is_one_line_of_one_rank(folder: Path) -> None:
    done = torchrun(2, "-m", "distillset", *arguments("dm", folder, folder / "wrong"), "--momentum", "2")
    assert done.returncode != 0
    assert done.stderr.count("distillset: error: --momentum 2.0: must be at least 0 and below 1") == 1
