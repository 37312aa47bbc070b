"""The ablation tool on a small row: from experts to a table."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from distillset.commands import main
from distillset.evaluation import PROTOCOLS
from distillset.presets import Preset
from distillset.reproduction import Results
from distillset.reproduction.record import ours
from tests import toys
from tools import ablate
from tools.tables import ablated

SETTINGS = {
    "syn_steps": 2, "expert_epochs": 1, "max_start": 1, "batch_syn": 0, "lr": 1.0, "lr_lr": 1e-5, "lr_start": 0.01,
    "momentum": 0.5, "augment": "none",
}  # fmt: skip
ROW = Preset("mtt", "mnist", 1, 3, 50, "mtt", "a paper", SETTINGS, network=toys.NETWORK)
EAGER = ["--device", "cpu", "--precision", "fp32", "--compile", "off"]


def called(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["ablate", *map(str, words)])
    return ablate.main()


def test_each_improvement_is_run_and_recorded(
    shards: Path, table: dict[str, Preset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table[ROW.name] = ROW
    few = replace(PROTOCOLS["dm"], name="mtt", learned_rate=True)
    monkeypatch.setitem(PROTOCOLS.built_in, "mtt", few)
    runs, out = tmp_path / "runs", tmp_path / "results"
    data = ["--data", "mnist", "--data-dir", str(shards)]
    made = ["--ipc", "1", "--count", "2", "--whiten", "none", "--network", toys.NETWORK, "--out", str(tmp_path / "e")]
    assert main(["experts", *data, *made, "--quiet", *EAGER]) == 0
    arguments: list[str | Path] = [
        "run",
        ROW.name,
        "--steps",
        "5",
        "--networks",
        "2",
        "--out",
        runs,
        "--experts",
        tmp_path / "e",
    ]
    more: list[str | Path] = ["--data-dir", shards, *EAGER]
    with pytest.raises(SystemExit, match="sam: needs --flat-experts"):
        called(monkeypatch, *arguments, *more, "--only", "sam")
    with pytest.raises(SystemExit, match="--only nothing: choose from published, average, grow"):
        called(monkeypatch, *arguments, *more, "--only", "nothing")
    assert called(monkeypatch, *arguments, *more, "--only", "published", "lr_labels") == 0
    assert called(monkeypatch, "record", ROW.name, "--out", runs, "--results", out, "--note", "small") == 0
    results = Results(out / ROW.name)
    plain, soft = (results.read(name) for name in ("published", "lr_labels"))
    assert plain is not None
    assert soft is not None
    assert (plain["departures"], soft["departures"], soft["note"]) == ([], ["lr_labels 5.0"], "small")
    assert (plain["steps"], plain["steps_published"], ours(plain)["n"]) == (5, 50, 2)
    assert (plain["settings"]["lr_labels"], soft["settings"]["lr_labels"]) == (0.0, 5.0)
    assert "| lr_labels 5.0 |" in ablated(out)
    assert called(monkeypatch, *arguments, *more, "--only", "average", "--expert-count", "9") == 2
