"""Which real images a set consists of, or was learned from: in its card, its exports and the report; no path leaves."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import distillset as ds
from distillset.commands import main
from distillset.data.origin import without_paths
from distillset.data.spec import Spec
from distillset.data.synthetic import SyntheticSet
from distillset.export import export
from distillset.export.hub import push
from distillset.report import report
from distillset.watch import Watcher
from tests import toys

COLOURS = {"ant": 10, "bee": 90, "cat": 170}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six pictures of each of three classes, each of a colour of its own."""
    monkeypatch.setenv("DISTILLSET_CACHE", str(tmp_path / "cache"))
    place = tmp_path / "secret" / "set"
    for name, start in COLOURS.items():
        (place / name).mkdir(parents=True)
        for i in range(6):
            Image.new("RGB", (8, 8), (start + 10 * i, 0, i)).save(place / name / f"{i}.png")
    return place


def colour(pixels: torch.Tensor) -> tuple[int, int]:
    return int(pixels[0, 0, 0]), int(pixels[2, 0, 0])


def check(synthetic: SyntheticSet, data: ds.Data) -> None:
    """Rows and files of a card against the pictures themselves."""
    real = synthetic.card["real"]
    assert torch.equal(synthetic.images, data.train.rows(torch.tensor(real["rows"])))
    for pixels, file in zip(synthetic.pixels, real["files"], strict=True):
        name, number = file.removesuffix(".png").split("/")
        assert colour(pixels) == (COLOURS[name] + 10 * int(number), int(number))


def load(folder: Path, **options: Any) -> ds.Data:
    return ds.load(folder, watcher=Watcher(), **options)


@pytest.mark.parametrize("options", [{}, {"classes": ["cat", "ant"]}, {"test": "itself"}])
def test_a_selection_and_a_start_from_real_images_name_them(folder: Path, options: dict[str, Any]) -> None:
    """A held-out fifth, chosen classes, and a test set elsewhere: the files are those of the pictures all the same."""
    options = {**options, **({"test": str(folder)} if "test" in options else {})}
    for data in (load(folder, **options), load(folder, **options)):  # decoded, and from the cache
        check(ds.select(data, "random", 2, seed=3), data)
        check(ds.distill(data, "dm", 2, steps=0, machine=toys.EAGER), data)


def test_what_is_not_made_of_real_images_names_none(folder: Path) -> None:
    data = load(folder)
    assert "real" not in ds.distill(data, "dm", 1, steps=0, init="noise", machine=toys.EAGER).card
    tiles = ds.distill(data, ds.DM(formation=2), 1, steps=0, machine=toys.EAGER).card["real"]
    assert len(tiles["rows"]) == len(tiles["files"]) == 3 * 4
    assert "files" not in ds.select(toys.toy(), "random", 1).card["real"]


def test_names_of_files_that_are_no_text_are_told_as_escapes(folder: Path, tmp_path: Path) -> None:
    """Latin-1 names, as old archives leave them, and names with a line break."""
    for old in sorted((folder / "ant").iterdir()):
        old.rename(os.fsdecode(os.fsencode(old).replace(b".png", b"\xe9\n.png")))
    chosen = ds.select(load(folder), "random", 1)
    chosen.save(tmp_path / "a")
    assert re.fullmatch(r"ant/\d\\xe9\n\.png", ds.SyntheticSet.load(tmp_path / "a").card["real"]["files"][0])


def test_the_names_last_through_a_run_that_goes_on(folder: Path, tmp_path: Path) -> None:
    data = load(folder)
    ds.distill(data, ds.DM(batch_real=2), 2, steps=1, out=tmp_path / "run", machine=toys.EAGER)
    ds.distill(data, ds.DM(batch_real=2), 2, steps=2, out=tmp_path / "run", machine=toys.EAGER)
    found = ds.SyntheticSet.load(tmp_path / "run").card["real"]
    assert found == ds.distill(data, "dm", 2, steps=0, machine=toys.EAGER).card["real"]


@pytest.mark.parametrize("wrong", [{"rows": [-1]}, {"rows": "1"}, {"rows": [1], "files": [3]}, []])
def test_a_card_with_other_kinds_is_refused(wrong: Any, tmp_path: Path) -> None:
    synthetic = ds.select(toys.toy(), "random", 1)
    with pytest.raises(ds.InputError, match="real"):
        SyntheticSet(synthetic.images, synthetic.labels, synthetic.spec, {"real": wrong}).save(tmp_path / "a")


def test_exports_and_report_name_them_and_no_path(folder: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    data = load(folder)
    chosen = ds.select(data, "random", 2, seed=3)
    real, secret = chosen.card["real"], str(tmp_path)
    chosen.save(tmp_path / "a")
    assert json.loads((tmp_path / "a" / "card.json").read_text())["data"]["source"] == str(folder)  # one's own
    assert secret not in (tmp_path / "a" / "README.md").read_text()
    for form in ("imagefolder", "parquet", "pt"):
        export(chosen, form, tmp_path / form)
    for form in ("imagefolder", "pt"):
        listed = json.loads((tmp_path / form / "real_images.json").read_text())
        assert [image["row"] for image in listed] == real["rows"]
        assert [image["file"] for image in listed] == real["files"]
        assert [image["class"] for image in listed] == ["ant", "ant", "bee", "bee", "cat", "cat"]
    datasets.disable_progress_bars()
    rows = datasets.load_dataset(str(tmp_path / "parquet"), split="train", cache_dir=str(tmp_path / "hf"))
    assert (rows["real_row"][:], rows["real_file"][:]) == (real["rows"], real["files"])
    assert real["files"][0] in (tmp_path / "parquet" / "README.md").read_text()
    page = report([tmp_path / "a"], tmp_path / "page.html").read_text()
    assert ", ".join(map(str, real["rows"])) in page
    assert real["files"][0] in page
    assert json.loads((tmp_path / "parquet" / "card.json").read_text())["data"]["source"] == "set"
    assert load(tmp_path / "imagefolder").train.spec.class_names == ("ant", "bee", "cat")  # the list is no table
    for path in [
        *(tmp_path / "parquet").rglob("*"),
        *(tmp_path / "imagefolder").rglob("*"),
        *(tmp_path / "pt").rglob("*"),
    ]:
        assert path.is_dir() or secret.encode() not in path.read_bytes(), path
    assert secret not in page


class Hub:
    """Keeps what is uploaded."""

    def create_repo(self, repo: str, **more: Any) -> str:
        return repo

    def upload_folder(self, *, folder_path: str, allow_patterns: list[str], **more: Any) -> None:
        self.files = {
            name: Path(folder_path, name).read_bytes() for name in allow_patterns if Path(folder_path, name).is_file()
        }


@pytest.mark.parametrize("exported", [False, True])
def test_what_is_pushed_names_no_path(folder: Path, tmp_path: Path, exported: bool) -> None:
    pytest.importorskip("huggingface_hub")
    place, hub = tmp_path / "a", Hub()
    artifact = ds.select(load(folder), "random", 2).save(place)
    command = ["evaluate", str(place), "--networks", toys.NETWORK, "--repeats", "1", "--epochs", "1", "--save"]
    assert main([*command, "--device", "cpu", "--no-cache"]) == 0
    if exported:
        export(ds.SyntheticSet.load(artifact), "parquet", place)
    push(place, "me/set", api=hub)
    assert {"README.md", "card.json", "accuracy.json", "data/train.parquet"} <= hub.files.keys()
    assert [name for name, content in hub.files.items() if str(tmp_path).encode() in content] == []
    assert {row["artifact"] for row in json.loads(hub.files["accuracy.json"])} == {"a", "random"}


def test_paths_are_cut_where_they_are_paths() -> None:
    card = {
        "method": "a/b",
        "data": {"source": "/home/me/set.npz", "test": "C:\\me\\test", "images": 3},
        "settings": {"init": "/home/me/run", "experts": "runs/experts", "network": "timm/resnet18", "lr": 1.0},
    }
    found = without_paths(card)
    assert found["data"] == {"source": "set.npz", "test": "test", "images": 3}
    assert found["settings"] == {"init": "run", "experts": "experts", "network": "timm/resnet18", "lr": 1.0}
    assert found["method"] == "a/b"
    assert card["data"]["source"] == "/home/me/set.npz"  # type: ignore[index]


@pytest.mark.parametrize("letter", ["x", "é", "語", "a/"])
def test_names_of_250_letters_are_exported(letter: str, tmp_path: Path) -> None:
    names = tuple(letter * 248 + str(c) for c in range(3))
    spec = Spec(letter * 250, 3, 8, 8, names, (0.5,) * 3, (0.25,) * 3)
    card = {"method": letter * 250}
    synthetic = SyntheticSet(torch.rand(3, 3, 8, 8), torch.arange(3), spec, card)
    for form in ("imagefolder", "parquet", "pt"):
        export(synthetic, form, tmp_path / form)
    folders = sorted(path.name for path in (tmp_path / "imagefolder").iterdir())
    assert len(folders) == 3
    assert max(len(name.encode()) for name in folders) <= 110
