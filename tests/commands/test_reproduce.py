"""``distillset presets`` and ``distillset reproduce``."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import distillset
from distillset.commands import main
from distillset.data.real import RealSet
from distillset.presets import PRESETS
from distillset.sources.load import Data
from tests import toys
from tools.shard import write_shards

RESULTS = str(Path(__file__).resolve().parents[2] / "results")


def test_presets_are_listed_with_both_accuracies(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets", "--method", "dm", "--data", "cifar10", "--results", RESULTS]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["row", "dm-cifar10-1", "dm-cifar10-10", "dm-cifar10-50"]
    assert "26.0 +- 0.8" in lines[1]
    assert "n 5" in lines[1]


def test_presets_as_json_without_results(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["presets", "--json", "--results", str(tmp_path)]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == list(PRESETS)
    (row,) = (row for row in rows if row["name"] == "dm-cifar10-10")
    assert row["published"] == {"mean": 48.9, "std": 0.6, "source": "NCFM (CVPR 2025), table 1"}
    assert row["settings"]["lr"] == 1.0
    assert row["ours"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["presets", "--method", "dd"], "--method dd: no preset has it; choose one of dc, dsa"),
        (["reproduce", "--budget", "soon"], "--budget soon: must be a time above 0"),
        (["reproduce", "--budget", "0m"], "--budget 0m: must be a time above 0"),
        (["reproduce", "--distill-for", "ever"], "--distill-for ever: must be a time above 0"),
        (["reproduce", "--jobs", "0"], "--jobs 0: must be at least 1"),
        (["reproduce", "dm-cifar10-1", "--set", "lr"], "--set lr: must be NAME=VALUE, such as lr=1"),
        (["reproduce", "dm-cifar10-1", "--set", "outer=3"], "--set outer=3: dm has no setting outer; it has lr, "),
        (["reproduce", "dc-cifar10-1", "--set", "outre=3"], "dc has no setting outre (did you mean outer?)"),
        (["reproduce", "dc-cifar10-1", "--set", "outer=x"], "--set outer=x: outer must be of type int"),
        (["reproduce", "dc-cifar10-1", "--set", "outer=0"], "outer=0: must be at least 1"),
        (["reproduce", "herding-cifar10-1", "--set", "lr=1"], "row herding-cifar10-1 is a selection, which has no"),
        (["reproduce", "--set", "lr=1"], "--set lr=1: name the rows that it is for"),
        (["reproduce", "dm-cifar10-11"], "row dm-cifar10-11: not in the table of presets (did you mean dm-cifar10-1"),
    ],
)
def test_bad_input(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_a_given_setting_is_in_the_name(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["dc-cifar10-10", "--set", "batch_real=32", "--set", "match=all", "--set", "augment=color_crop"]
    assert main(["reproduce", *asked, "--list"]) == 0
    assert capsys.readouterr().out.startswith("dc-cifar10-10-augment-color_crop-batch_real-32-match-all: 1000 steps")


def test_the_order_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "dm-cifar10-10", "dm-cifar10-1", "--steps", "7", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["dm-cifar10-10-7-steps", "dm-cifar10-1-7-steps"]


BARE = """
import sys
from importlib.machinery import PathFinder
class Bare(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.split(".")[0] in {"tqdm", "jinja2", "PIL", "datasets", "pandas", "pyarrow", "sklearn", "scipy",
                                  "matplotlib", "requests", "huggingface_hub"}:
            return None
        return super().find_spec(name, path, target)
sys.meta_path[sys.meta_path.index(PathFinder)] = Bare
from distillset.presets import PRESETS, Preset
row = Preset("dm", "cifar10", 1, 3, 2, "dc", "a paper", {"batch_real": 6}, None, None, "ConvNetD1W8")
PRESETS[row.name] = row
from distillset.commands import main
sys.exit(main(sys.argv[1:]))
"""


def test_it_needs_pytorch_numpy_and_safetensors_only(tmp_path: Path) -> None:
    train = RealSet.from_arrays(*toys.pixels(shape=(3, 8, 8)), name="cifar10")
    test = RealSet(*toys.pixels([10, 10, 10], (3, 8, 8), seed=1), train.spec)
    write_shards(Data(train, test, "cifar10"), "cifar10", tmp_path)
    source = str(Path(distillset.__file__).parents[1])
    options = ["--networks", "1", "--beside", "none", "--budget", "5m", "--compile", "off", "--device", "cpu"]
    done = subprocess.run(
        [sys.executable, "-c", BARE, "reproduce", "dm-cifar10-1", "--data-dir", str(tmp_path), *options],
        cwd=tmp_path,
        env={"PYTHONPATH": source, "DISTILLSET_CACHE": str(tmp_path / "cache"), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("dm-cifar10-1: done")
    result = json.loads((tmp_path / "results" / "dm-cifar10-1.json").read_text())
    assert (result["steps"], result["commit"]) == (2, None)


def toy_shards(folder: Path) -> None:
    train = RealSet.from_arrays(*toys.pixels(shape=(1, 8, 8)), name="fashion_mnist")
    test = RealSet(*toys.pixels([10, 10, 10], (1, 8, 8), seed=1), train.spec)
    write_shards(Data(train, test, "fashion_mnist"), "fashion_mnist", folder)


def test_rows_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    toy_shards(tmp_path)
    monkeypatch.chdir(tmp_path)
    rows = ["random-fashion_mnist-1", "random-fashion_mnist-10"]
    options = ["--data-dir", str(tmp_path), "--networks", "2", "--device", "cpu", "--compile", "off", "--budget", "5m"]
    assert main(["reproduce", *rows, *options, "--jobs", "2", "--why", "a toy"]) == 0
    out = capsys.readouterr().out
    for row in rows:
        assert f"{row}: done: " in out
        result = json.loads((tmp_path / "results" / f"{row}.json").read_text())
        assert (result["rows"][0]["n"], result["why"]) == (2, "a toy")


def test_errors_of_rows_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = ["random-mnist-1", "random-mnist-10"]
    assert main(["reproduce", *rows, "--data-dir", str(tmp_path / "nowhere"), "--jobs", "2", "--quiet"]) == 2
    told = capsys.readouterr().err
    for row in rows:
        assert any(line.startswith(f"distillset: {row}") and "--data-dir" in line for line in told.splitlines()), told


def test_settings_reach_rows_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = ["dm-mnist-1", "dm-mnist-10", "--set", "batch_real=3", "--set", "lr=2"]
    assert main(["reproduce", *rows, "--data-dir", str(tmp_path / "nowhere"), "--jobs", "2"]) == 2
    assert "dm-mnist-10-batch_real-3-lr-2.0: failed" in capsys.readouterr().err
