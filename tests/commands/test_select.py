"""``distillset select``."""

from pathlib import Path
from typing import Any

import pytest
import torch

from distillset import load, select
from distillset.commands import main
from distillset.coresets import SELECTORS
from distillset.data.synthetic import TENSORS, SyntheticSet
from distillset.watch import Watcher
from tests import toys

EXPERT: dict[str, Any] = {"network": toys.NETWORK, "epochs": 4, "machine": toys.EAGER}


def command(selector: str, data: Path, out: Path, *more: str) -> list[str]:
    return [
        "select", selector, "--data", str(data), "--ipc", "2", "--out", str(out), "--network", toys.NETWORK,
        "--epochs", "4", "--device", "cpu", "--precision", "fp32", "--compile", "off", *more,
    ]  # fmt: skip


@pytest.mark.parametrize("selector", SELECTORS)
def test_it_selects_what_the_library_does(
    selector: str, toy_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "artifact"
    assert main(command(selector, toy_npz, out, "--seed", "5")) == 0
    assert capsys.readouterr().out == f"{out}: 6 images of 3 classes; picture {out / 'grid.png'}\n"
    data = load(toy_npz, watcher=Watcher())
    expected = select(data, selector, 2, seed=5, **EXPERT)
    found = SyntheticSet.load(out)
    assert torch.equal(found.images, expected.images)
    assert found.card["data"] == expected.card["data"]


def test_the_same_command_makes_the_same_again(toy_npz: Path, tmp_path: Path) -> None:
    """As after a kill between the last write and the end; what is damaged is whole again."""
    out = tmp_path / "artifact"
    for selector in ("random", "herding"):
        assert main(command(selector, toy_npz, out / selector)) == 0
        made = SyntheticSet.load(out / selector).images.clone()
        (out / selector / TENSORS).write_bytes(b"damaged")
        assert main(command(selector, toy_npz, out / selector)) == 0
        assert torch.equal(SyntheticSet.load(out / selector).images, made)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--ipc", "0"], "--ipc 0"),
        (["--data", "./nowhere"], "--data ./nowhere"),
        (["--seed", "x"], "--seed x: must be"),
    ],
)
def test_wrong_input_is_one_line(
    toy_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], told: str
) -> None:
    try:
        code: object = main(command("random", toy_npz, tmp_path / "artifact", *flags))
    except SystemExit as usage:
        code = usage.code
    shown = capsys.readouterr()
    assert code == 2
    assert shown.out == ""
    assert told in shown.err.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_selector_and_a_foreign_folder(
    toy_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command("best", toy_npz, tmp_path / "artifact")) == 2
    assert "SELECTOR best: choose one of random" in capsys.readouterr().err
    (tmp_path / "thesis.tex").write_text("precious")
    assert main(command("random", toy_npz, tmp_path)) == 2
    assert "not an artifact; choose another folder" in capsys.readouterr().err
    assert main(command("random", toy_npz, tmp_path / "thesis.tex")) == 2
    assert {path.name for path in tmp_path.iterdir()} == {"thesis.tex"}


def test_more_than_a_class_has(toy_npz: Path, tmp_path: Path) -> None:
    assert main(command("random", toy_npz, tmp_path / "artifact", "--ipc", "9")) == 0
    assert len(SyntheticSet.load(tmp_path / "artifact")) == 3 * 9


def test_the_expert_is_trained_once_and_told_of(
    toy_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command("herding", toy_npz, tmp_path / "a", "--seed", "77")) == 0
    assert "expert: epoch 5 of 5" in capsys.readouterr().err
    assert main(command("k-center", toy_npz, tmp_path / "b", "--seed", "77")) == 0
    told = capsys.readouterr().err
    assert "trained before" in told
    assert "pass" not in told
    assert "k-center: 6 of 24 images in" in told
    cards = [SyntheticSet.load(tmp_path / name).card for name in "ab"]
    assert cards[0]["settings"]["expert"] == cards[1]["settings"]["expert"]
    assert cards[0]["metrics"]["expert_seconds"] == cards[1]["metrics"]["expert_seconds"]


@pytest.mark.parametrize(
    ("flags", "told"), [(["--network", "perceptron"], "'perceptron'"), (["--epochs", "-3"], "epochs -3")]
)
def test_a_wrong_expert(
    toy_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], told: str
) -> None:
    assert main(command("herding", toy_npz, tmp_path / "artifact", *flags)) == 2
    assert told in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "artifact").exists()
