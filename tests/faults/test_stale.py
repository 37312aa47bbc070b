"""An accuracy belongs to the set that was measured: beside another one it is left out, and that is said."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from distillset import SyntheticSet, load, select
from distillset.commands import main
from distillset.distillation.verify import verify
from distillset.errors import InputError
from distillset.export.hub import push
from distillset.report.gather import gather
from distillset.watch import Watcher
from tests import toys
from tests.bad_input.case import EAGER

FEW = ["--networks", toys.NETWORK, "--repeats", "2", "--epochs", "2", *EAGER]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run of two steps, evaluated, and then distilled on to five: with its toy set."""
    root = tmp_path_factory.mktemp("stale")
    toy, out = toys.toy_file(root / "toy.npz"), root / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISTILLSET_CACHE", str(root / "cache"))
        distil = ["distill", "dm", "--data", str(toy), "--ipc", "1", "--out", str(out), "--network", toys.NETWORK,
                  "--quiet", "--batch-real", "4", *EAGER]  # fmt: skip
        assert main([*distil, "--steps", "2"]) == 0
        assert main(["evaluate", str(out), "--save", *FEW]) == 0
        shutil.copytree(out, root / "before")
        assert main([*distil, "--steps", "5"]) == 0
    return root, out


def test_rows_name_the_set_that_they_measured(places: tuple[Path, Path]) -> None:
    before = places[0] / "before"
    rows = json.loads((before / "accuracy.json").read_text())
    assert {row["fingerprint"] for row in rows} == {SyntheticSet.load(before).fingerprint()}
    (run,) = gather([before])
    assert [(row["artifact"], row["mean"]) for row in run.rows] == [
        ("set", rows[0]["mean"]), ("random", rows[1]["mean"])
    ]  # fmt: skip
    assert {check.name: check.told for check in verify(before)}["accuracies"] == "2 rows of this set"


def test_an_accuracy_of_fewer_steps_is_not_shown_under_more(places: tuple[Path, Path], tmp_path: Path) -> None:
    out = places[1]
    (run,) = gather([out])
    assert run.steps == 5
    assert run.rows == ()
    first = SyntheticSet.load(places[0] / "before").fingerprint()[:12]
    (note,) = run.notes
    assert note.endswith(f"2 of 2 rows measured another set (fingerprint {first}); evaluate this one again; left out")
    assert main(["report", str(out), "--out", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text()
    assert "Not evaluated yet" in page
    assert "rows measured another set" in page


def test_verify_says_so(places: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(places[1])]) == 2
    assert "accuracy.json: 2 of 2 rows measured another set" in capsys.readouterr().err
    assert {check.name: check.holds for check in verify(places[1])}["accuracies"] is False
    with pytest.raises(InputError, match=r"rows measured another set .* or remove the file"):
        push(places[1], "me/set", api=object())


def test_a_selection_over_an_evaluated_set(places: tuple[Path, Path], tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(places[0] / "before", folder)
    for name in ("checkpoints", "snapshots"):
        shutil.rmtree(folder / name)
    select(load(places[0] / "toy.npz", watcher=Watcher()), "random", 2).save(folder)
    (run,) = gather([folder])
    assert run.rows == (), "nor the random rows, which are of another number of images"
    failed = [check.told for check in verify(folder) if check.holds is False]
    assert "measured another set" in failed[0]


def test_rows_of_a_file_belong_to_their_set_too(places: tuple[Path, Path], tmp_path: Path) -> None:
    root, out = places
    kept = json.loads((root / "before" / "accuracy.json").read_text())
    (tmp_path / "rows.json").write_text(json.dumps(kept))
    shutil.copytree(out, tmp_path / "run")
    (tmp_path / "run" / "accuracy.json").unlink()
    (run,) = gather([tmp_path / "run"], [tmp_path / "rows.json"])
    assert run.rows == ()
    assert "rows.json: 2 of 2 rows measured another set" in run.notes[0]
    (tmp_path / "rows.json").write_text(json.dumps([{**row, "fingerprint": None} for row in kept]))
    assert (
        "rows measured a set that they do not name" in gather([tmp_path / "run"], [tmp_path / "rows.json"])[0].notes[0]
    )


ROW: dict[str, Any] = {"artifact": "run", "network": "convnet", "protocol": "dm", "mean": 0.5, "std": 0.0, "n": 1}


@pytest.mark.parametrize(
    "change",
    [
        {"mean": 50.0}, {"mean": -0.1}, {"mean": 1.01}, {"mean": True}, {"mean": 10**250}, {"std": -0.1}, {"std": 7},
        {"n": 0}, {"n": -1}, {"n": True}, {"n": 1.5}, {"seconds": -1}, {"seconds": "1"}, {"memory": "all"},
        {"recipe": 5}, {"recipe": []}, {"step": -1}, {"chosen": 5}, {"fingerprint": 5}, {"accuracies": [50]},
        {"accuracies": [0.5, 0.5]}, {"accuracies": [0.4]}, {"accuracies": []}, {"accuracies": "0.5"},
        {"n": 2, "accuracies": [0.25, 0.75]}, {"diverged": -1}, {"labels": 3}, {"artifact": None},
    ],
    ids=str,
)  # fmt: skip
def test_rows_of_no_evaluation(places: tuple[Path, Path], tmp_path: Path, change: dict[str, Any]) -> None:
    (tmp_path / "rows.json").write_text(json.dumps([{**ROW, **change}]))
    with pytest.raises(InputError, match=r"rows\.json: row 1: field"):
        gather([places[1]], [tmp_path / "rows.json"])


@pytest.mark.parametrize("text", ['[{"mean": NaN}]', "[" * 5000 + "]" * 5000, f'[{{"mean": 1{"0" * 400}}}]', "{}", "5"])
def test_rows_of_no_json(places: tuple[Path, Path], tmp_path: Path, text: str) -> None:
    (tmp_path / "rows.json").write_text(text)
    with pytest.raises(InputError, match=r"rows\.json: not "):
        gather([places[1]], [tmp_path / "rows.json"])


def test_a_log_of_anything_is_drawn_as_far_as_it_is_one(places: tuple[Path, Path], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(places[0] / "before", folder)
    huge = "1" + "0" * 400
    lines = [
        '{"step": 1, "loss": 0.5, "accuracy": 0.25}', '{"step": true, "loss": 1}', '{"step": 2, "loss": NaN}',
        f'{{"step": 3, "loss": {huge}}}', f'{{"step": {huge}, "loss": 1}}', '{"step": 4, "loss": true}',
        '{"step": 5, "accuracy": 75.0}', '{"step": 6, "accuracy": -0.5}', '{"step": -1, "loss": 1}', "[" * 5000,
        '{"step": 7, "loss": "low"}', '{"step": 8, "loss": [1]}', "5", "null", '{"step": 1e400}',
    ]  # fmt: skip
    (folder / "metrics.jsonl").write_text("\n".join(lines))
    (run,) = gather([folder])
    assert (run.losses, run.accuracies) == (((1, 0.5),), ((1, 0.25),))
