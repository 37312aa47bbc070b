"""``distillset evaluate --save``: the rows stay with the artifact, where the report finds them."""

import json
from pathlib import Path

import pytest

from distillset import SyntheticSet, load, select
from distillset.commands import main
from distillset.report.gather import gather
from distillset.watch import Watcher
from tests import toys


def test_rows_are_kept_and_reported(toy_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    artifact = select(load(toy_npz, watcher=Watcher()), "random", 2).save(tmp_path / "artifact")
    fast = ["--networks", toys.NETWORK, "--repeats", "2", "--epochs", "3", "--device", "cpu", "--compile", "off"]
    assert main(["evaluate", str(artifact), *fast, "--save", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert json.loads((artifact / "accuracy.json").read_text()) == printed
    (run,) = gather([artifact])
    assert [(row["artifact"], row["mean"]) for row in run.rows] == [
        ("set", printed[0]["mean"]), ("random", printed[1]["mean"]),
    ]  # fmt: skip
    assert SyntheticSet.load(artifact).card["fingerprint"]
