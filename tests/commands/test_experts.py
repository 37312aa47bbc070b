"""``distillset experts`` and ``distill mtt``: what they print, what they leave, and how they refuse."""

import json
from pathlib import Path

import pytest
import torch

from distillset.commands import main
from distillset.data.synthetic import SyntheticSet
from distillset.store import read_tensors
from distillset.training import Trajectories
from tests import toys

EAGER = ["--network", toys.NETWORK, "--device", "cpu", "--precision", "fp32", "--compile", "off"]


def command(data: Path, out: Path, *more: str) -> list[str]:
    return ["experts", "--data", str(data), "--out", str(out), "--count", "2", "--epochs", "3", *EAGER, *more]


def distil(data: Path, out: Path, *more: str) -> list[str]:
    return [
        "distill", "mtt", "--data", str(data), "--out", str(out), "--ipc", "2", "--steps", "2", "--syn-steps", "3",
        *EAGER, *more,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def experts(toy_npz: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("experts") / "of-toy"
    assert main(command(toy_npz, out, "--quiet")) == 0
    return out


def test_it_trains_what_is_needed_and_says_where(
    toy_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "e"
    assert main(command(toy_npz, out)) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith(f"{out}: 2 experts, epochs 0 to 3 each; ")
    stored = sum(file.stat().st_size for file in out.glob("expert-*/*"))
    assert shown.out.endswith(f"; {stored / 1e6:.1f} MB, {stored / 2e6:.2f} per expert\n")
    assert "MB of disk needed" in shown.err
    assert "estimate: " in shown.err
    assert "epoch 6/6" in shown.err
    setting = Trajectories.open(out).card["setting"]
    assert (setting["lr"], setting["batch"], setting["sam"], setting["seed"]) == (0.01, 256, 0.0, 0)
    assert setting["augment"] == "color_crop_cutout_flip_scale_rotate"
    assert (setting["whiten"], setting["network"]) == ("none", toys.NETWORK.lower())
    assert main(command(toy_npz, out)) == 0
    assert "epoch" not in capsys.readouterr().err


def test_only_reachable_epochs_are_kept_unless_asked(toy_npz: Path, tmp_path: Path) -> None:
    for more, last in (
        (["--ipc", "1", "--epochs", "50"], 3),  # the setting of CIFAR-10 at 1 image per class: 4 states, not 51
        (["--ipc", "1"], 3),
        (["--ipc", "1", "--epochs", "2"], 2),
        (["--ipc", "1", "--epochs", "5", "--keep", "all"], 5),
        (["--epochs", "50"], 41),
    ):
        out = tmp_path / "-".join(["e", *more]).replace("--", "")
        arguments = ["experts", "--data", str(toy_npz), "--out", str(out), "--count", "1", "--quiet", *EAGER, *more]
        assert main(arguments) == 0
        assert Trajectories.open(out).last(0) == last


def test_what_auto_chose_is_used_again(toy_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "e"
    assert main([*command(toy_npz, out, "--quiet"), "--precision", "bf16"]) == 0
    grow = ["--count", "3", "--precision", "auto", "--compile", "auto"]
    assert main([*command(toy_npz, out), *grow]) == 0
    assert "computing as this run did before: device cpu, precision bf16, compile False" in capsys.readouterr().err
    assert main([*command(toy_npz, out), "--count", "4"]) == 2
    assert "--precision fp32: the run was started with bf16" in capsys.readouterr().err


def test_distill_uses_them(toy_npz: Path, tmp_path: Path, experts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert main(distil(toy_npz, out, "--experts", str(experts))) == 0
    assert not (out / "experts").exists()
    synthetic = SyntheticSet.load(out)
    assert synthetic.lr is not None
    settings = synthetic.card["settings"]
    assert (settings["expert_count"], settings["experts"]) == (2, str(experts))
    capsys.readouterr()
    assert main(["evaluate", str(out), *EAGER[2:], "--networks", toys.NETWORK, "--epochs", "1", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["protocol"], row["recipe"]["rate"]) for row in rows] == [
        ("mtt-1-epochs", synthetic.lr), ("mtt-1-epochs", 0.01),
    ]  # fmt: skip


def test_distill_makes_its_own(toy_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert main(distil(toy_npz, out, "--whiten", "zca", "--expert-count", "1", "--max-start", "1")) == 0
    shown = capsys.readouterr()
    assert "1 experts of 2 epochs in" in shown.err
    assert "epoch 2/2" in shown.err
    assert "step 2/2" in shown.err
    assert Trajectories.open(out / "experts").last(0) == 2
    assert Trajectories.open(out / "experts").card["setting"]["whiten"] == "zca"
    synthetic = SyntheticSet.load(out)
    assert synthetic.whitening is not None
    stored = read_tensors(out / "synthetic.safetensors")[0]
    assert torch.equal(stored["zca_matrix"], synthetic.whitening.matrix)
    assert main(["evaluate", str(out), *EAGER[2:], "--networks", toys.NETWORK, "--epochs", "1", "--repeats", "1"]) == 0


def test_dm_may_be_whitened_too(toy_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    whole = ["distill", "dm", "--data", str(toy_npz), "--out", str(out), "--ipc", "1", "--steps", "2", *EAGER]
    assert main([*whole, "--whiten", "zca"]) == 0
    assert SyntheticSet.load(out).whitening is not None
    assert main([*whole, "--steps", "3"]) == 2
    assert "--whiten none: the run in this folder was started with zca" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--count", "0"], "--count 0: must be at least 1"),
        (["--epochs", "0"], "--epochs 0: must be at least 1"),
        (["--ipc", "0"], "--ipc 0: must be at least 1"),
        (["--keep", "some"], "--keep some: choose reachable or all"),
        (["--lr", "0"], "--lr 0.0: the learning rate"),
        (["--batch", "0"], "--batch 0: the batch of experts"),
        (["--sam", "-1"], "--sam -1.0: must be"),
        (["--augment", "bend"], "unknown operation 'bend'"),
        (["--whiten", "pca"], "--whiten pca: choose auto, none, zca"),
        (["--network", "perceptron"], "network 'perceptron': not known"),
        (["--precision", "fp8"], "--precision fp8"),
    ],
)
def test_wrong_input_is_one_line_and_nothing_is_left(
    toy_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], told: str
) -> None:
    assert main([*command(toy_npz, tmp_path / "e", "--quiet"), *flags]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.splitlines()) == 1
    assert told in shown.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--max-start", "3"], "no expert has epoch 4"),
        (["--network", "ConvNetD1W4"], "network 'convnetd1w4' is needed, but these experts have network"),
        (["--whiten", "zca"], "whiten 'zca' is needed, but these experts have whiten 'none'"),
        (["--syn-steps", "0"], "--syn-steps 0: must be at least 1"),
    ],
)
def test_experts_that_do_not_fit_are_refused_before_the_run(
    toy_npz: Path, tmp_path: Path, experts: Path, capsys: pytest.CaptureFixture[str], flags: list[str], told: str
) -> None:
    assert main([*distil(toy_npz, tmp_path / "run", "--experts", str(experts), "--quiet"), *flags]) == 2
    assert told in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
