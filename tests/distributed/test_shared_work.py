"""Ranks share experts, selections and segments of trajectories."""

from pathlib import Path

import pytest
import torch

from distillset.data.synthetic import SyntheticSet
from distillset.training import Trajectories
from tests import toys
from tests.distributed.launch import alone, torchrun

COMPUTE = ["--device", "cpu", "--precision", "fp32", "--compile", "off"]
EXPERTS = ["--count", "3", "--epochs", "2", "--network", toys.NETWORK, "--batch", "8", "--whiten", "none", *COMPUTE]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(toys.toy_file(tmp_path_factory.mktemp("shared") / "toy.npz"))


def test_ranks_train_whole_experts_and_go_on_with_them(data: str, tmp_path: Path) -> None:
    command = ["experts", "--data", data, *EXPERTS]
    done = torchrun(2, "-m", "distillset", *command, "--out", str(tmp_path / "two"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("3 experts, epochs 0 to 2 each") == 1
    assert "epoch 6/6" in done.stderr, "epochs of all ranks are counted"
    alone([*command, "--out", str(tmp_path / "one")])
    two, one = (Trajectories.open(tmp_path / name) for name in ("two", "one"))
    assert two.count(2) == one.count(2) == 3
    for expert, epoch in ((0, 2), (1, 1), (2, 2)):
        assert torch.equal(two.state(expert, epoch), one.state(expert, epoch)), (expert, epoch)
    two.path(1, 2).unlink()
    again = torchrun(2, "-m", "distillset", *command, "--out", str(tmp_path / "two"))
    assert again.returncode == 0, again.stderr
    assert "1 to be trained" in again.stderr
    assert torch.equal(two.state(1, 2), one.state(1, 2))


def test_an_expert_that_diverges_ends_all_ranks(data: str, tmp_path: Path) -> None:
    command = ["experts", "--data", data, *EXPERTS, "--out", str(tmp_path / "out"), "--lr", "1e30"]
    done = torchrun(2, "-m", "distillset", *command)
    assert done.returncode != 0
    assert "expert 0 diverged in epoch 1" in done.stderr


@pytest.mark.parametrize("selector", ["herding", "random"])
def test_ranks_share_the_classes_of_a_selection(data: str, tmp_path: Path, selector: str) -> None:
    command = ["select", selector, "--data", data, "--ipc", "2", *COMPUTE]
    command += ["--network", toys.NETWORK, "--epochs", "3"]
    done = torchrun(3, "-m", "distillset", *command, "--out", str(tmp_path / "three"), cache=tmp_path / "a")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("grid.png") == 1
    alone([*command, "--out", str(tmp_path / "one")], cache=tmp_path / "b")
    three, one = (SyntheticSet.load(tmp_path / name) for name in ("three", "one"))
    assert torch.equal(three.images, one.images)
    assert torch.equal(three.labels, one.labels)
    if selector == "herding":
        assert three.card["settings"] == one.card["settings"], (
            "the expert is one rank's, and its accuracy is everyone's"
        )


def mtt(data: str, segments: int) -> list[str]:
    return [
        "distill", "mtt", "--data", data, "--ipc", "2", "--steps", "4", "--network", toys.NETWORK, *COMPUTE,
        "--whiten", "none", "--segments", str(segments), "--expert-count", "2", "--expert-epochs", "1",
        "--max-start", "2", "--syn-steps", "3", "--expert-batch", "8", "--limit", "1000",
    ]  # fmt: skip


@pytest.mark.parametrize(("segments", "ranks"), [(2, 2), (3, 2)])
def test_ranks_share_segments_and_make_their_experts(data: str, tmp_path: Path, segments: int, ranks: int) -> None:
    """A sum of two numbers has one order; of more, ranks add in another than one process does."""
    done = torchrun(ranks, "-m", "distillset", *mtt(data, segments), "--out", str(tmp_path / "ranks"))
    assert done.returncode == 0, done.stderr
    alone([*mtt(data, segments), "--out", str(tmp_path / "one")])
    found, one = (SyntheticSet.load(tmp_path / name) for name in ("ranks", "one"))
    experts = [Trajectories.open(tmp_path / name / "experts") for name in ("ranks", "one")]
    assert torch.equal(experts[0].state(1, 2), experts[1].state(1, 2))
    if segments == 2:
        assert torch.equal(found.images, one.images)
        assert found.lr == one.lr
    else:
        torch.testing.assert_close(found.images, one.images, rtol=1e-5, atol=1e-5)


def test_a_gpu_by_its_number_is_refused_of_ranks(data: str, tmp_path: Path) -> None:
    done = torchrun(2, "-m", "distillset", *mtt(data, 2), "--out", str(tmp_path / "out"), "--device", "cuda:1")
    assert "distillset: error: --device cuda:1: each rank takes the GPU of its local rank" in done.stderr
