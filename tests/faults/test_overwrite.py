"""No command writes over what it did not make."""

from pathlib import Path

import pytest

from distillset.commands import main
from distillset.data.synthetic import SyntheticSet
from distillset.store import write_json
from tests import toys
from tests.bad_input.case import EAGER
from tests.runs import distil

FEW = ["--network", toys.NETWORK, "--epochs", "2", *EAGER]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


def select(toy: Path, out: Path, *more: str) -> int:
    return main(["select", "random", "--data", str(toy), "--ipc", "2", "--out", str(out), *FEW, *more])


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--ipc", "3"], "settings.ipc 2, not 3"),
        (["--seed", "1"], "settings.seed 0, not 1"),
        (["--classes", "0", "1"], "data.fingerprint"),
        (["--data", "digits"], "data.fingerprint"),
    ],
)
def test_select_keeps_another_selection(
    toy_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], told: str
) -> None:
    assert select(toy_npz, tmp_path / "set") == 0
    before = contents(tmp_path / "set")
    assert select(toy_npz, tmp_path / "set", *more) == 2
    assert contents(tmp_path / "set") == before
    shown = capsys.readouterr().err.splitlines()[-1]
    assert told in shown
    assert "it is not overwritten; choose another folder" in shown


def test_select_keeps_a_distilled_or_imported_set(
    toy_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A copy of an artifact has no checkpoints, and neither has one that was saved from Python."""
    distil(ipc=2, steps=1).save(tmp_path / "set")
    before = contents(tmp_path / "set")
    assert select(toy_npz, tmp_path / "set") == 2
    assert "holds another artifact (method dm, not random)" in capsys.readouterr().err
    assert contents(tmp_path / "set") == before


def test_select_with_another_expert(toy_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    herding = ["select", "herding", "--data", str(toy_npz), "--ipc", "1", "--out", str(tmp_path / "set"), *FEW]
    assert main(herding) == 0
    before = contents(tmp_path / "set")
    assert main([*herding, "--epochs", "3"]) == 2
    assert "settings.expert.recipe.epochs 2, not 3" in capsys.readouterr().err
    assert contents(tmp_path / "set") == before
    assert main(herding) == 0
    assert SyntheticSet.load(tmp_path / "set").card["method"] == "herding"


@pytest.mark.parametrize("card", [[], {}, {"method": 3, "settings": 7}, {"method": "random", "settings": None}])
def test_select_keeps_what_it_does_not_know(toy_npz: Path, tmp_path: Path, card: object) -> None:
    (tmp_path / "set").mkdir()
    write_json(tmp_path / "set" / "card.json", card)
    assert select(toy_npz, tmp_path / "set") == 2
    assert [path.name for path in (tmp_path / "set").iterdir() if path.name != ".lock"] == ["card.json"]


def test_report_replaces_a_report_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    distil(ipc=1, steps=1).save(tmp_path / "set")
    thesis, page = tmp_path / "thesis.html", tmp_path / "page.html"
    thesis.write_text("<!doctype html>precious")
    assert main(["report", str(tmp_path / "set"), "--out", str(thesis)]) == 2
    assert "thesis.html: exists and is not a report of distillset; choose another file" in capsys.readouterr().err
    assert thesis.read_text() == "<!doctype html>precious"
    for _ in range(2):
        assert main(["report", str(tmp_path / "set"), "--out", str(page)]) == 0
