"""``distillset compare``."""

import json
from pathlib import Path

import pytest

from distillset import load, select
from distillset.commands import main
from distillset.watch import Watcher
from tests import toys


@pytest.fixture
def artifacts(toy_npz: Path, tmp_path: Path) -> list[Path]:
    data = load(toy_npz, watcher=Watcher())
    return [select(data, "random", 2, seed=seed).save(tmp_path / f"set{seed}") for seed in (1, 2)]


def command(artifacts: list[Path], *more: str) -> list[str]:
    return [
        "compare", *map(str, artifacts), "--networks", toys.NETWORK, "--repeats", "2", "--epochs", "3", "--device",
        "cpu", "--precision", "fp32", "--compile", "off", *more,
    ]  # fmt: skip


def test_table_verdict_and_plot(artifacts: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(artifacts, "--plot", str(tmp_path / "plot.png"))) == 0
    shown = capsys.readouterr().out
    for name in (*map(str, artifacts), "random"):
        assert any(line.startswith(f"{name} ") for line in shown.splitlines())
    assert "Welch's t-test" in shown
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_json(artifacts: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(artifacts, "--json", "--beside", "none")) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["artifact"] for row in found["rows"]] == list(map(str, artifacts))
    assert [(d["first"], d["second"]) for d in found["differences"]] == [tuple(map(str, artifacts))]
    assert found["winners"].keys() == {toys.NETWORK}


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--repeats", "1"], "--repeats 1: must be at least 2"),
        (["--plot", "plot.gif"], "--plot plot.gif"),
        (["--networks", "Q"], "pool 'Q'"),
    ],
)
def test_wrong_input_is_one_line(
    artifacts: list[Path], capsys: pytest.CaptureFixture[str], flags: list[str], told: str
) -> None:
    assert main(command(artifacts, *flags)) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert told in shown.err.splitlines()[-1]
