"""``distillset continual`` and ``distillset nas``."""

import json
from pathlib import Path

import pytest

from distillset import load
from distillset.commands import main
from distillset.evaluation import Protocol
from distillset.studies import continual
from distillset.watch import Watcher
from tests import toys

EAGER = ["--device", "cpu", "--precision", "fp32", "--compile", "off"]


def learn(data: Path, out: Path, *more: str) -> list[str]:
    return [
        "continual", "--data", str(data), "--memory", "random", "--out", str(out), "--steps", "2", "--ipc", "1",
        "--seeds", "0", "1", "--network", toys.NETWORK, "--repeats", "1", "--epochs", "1", *EAGER, *more,
    ]  # fmt: skip


def search(data: Path, out: Path, *more: str) -> list[str]:
    return [
        "nas", "--data", str(data), "--proxy", "random", "--out", str(out), "--sample", "4", "--ipc", "1",
        "--epochs", "0", "--proxy-epochs", "0", *EAGER, *more,
    ]  # fmt: skip


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distillset.studies.space.WIDTHS", (4, 8))


def test_continual_as_the_library_does_it(toy_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(learn(toy_npz, tmp_path / "a")) == 0
    shown = capsys.readouterr()
    assert "random, order 1, step 2 of 2: network 1 of 1" in shown.err
    lines = shown.out.splitlines()
    assert lines[0].split()[:4] == ["memory", "step", "classes", "images"]
    assert lines[2].split()[:4] == ["random", "2", "3", "3"]
    assert any(line.startswith(f"dm-1-epochs: network {toys.NETWORK}, epochs 1, rate 0.01") for line in lines)
    assert main(learn(toy_npz, tmp_path / "a", "--json", "--quiet")) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    data = load(toy_npz, watcher=Watcher())
    points = continual(
        data, ["random"], tmp_path / "b", steps=2, ipc=1, seeds=(0, 1), network=toys.NETWORK, repeats=1,
        protocol=Protocol("dm", epochs=1), machine=toys.EAGER,
    )  # fmt: skip
    rows = json.loads(shown.out)
    assert [row["by_order"] for row in rows] == [point.by_order for point in points]
    assert [row["recipe"]["batch"] for row in rows] == [256, 256]


@pytest.mark.usefixtures("narrow")
def test_nas(toy_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(search(toy_npz, tmp_path / "a")) == 0
    shown = capsys.readouterr()
    assert "4 of 4, convnet" in shown.err
    for told in ("proxy: name dm-0-epochs", "whole: name whole-0-epochs", "4 of 300 networks", "random: chooses"):
        assert told in shown.out
    assert main(search(toy_npz, tmp_path / "a", "--json", "--quiet")) == 0
    (row,) = json.loads(capsys.readouterr().out)
    stored = json.loads((tmp_path / "a" / "nas.json").read_text())
    assert row["all"] == stored["proxies"][0]["all"]
    assert row["protocols"]["whole"]["batch"] == 64


@pytest.mark.parametrize("study", ["continual", "nas"])
def test_a_wrong_name_is_one_line(
    study: str, toy_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flag = {"continual": "--memory", "nas": "--proxy"}[study]
    steps = ["--steps", "2"] if study == "continual" else []
    assert main([study, "--data", str(toy_npz), flag, "best", "--out", str(tmp_path / "out"), *steps]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"distillset: error: {flag} best: choose from random")
    assert not (tmp_path / "out").exists()
