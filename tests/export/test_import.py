"""What an import assumes is told, what looks odd is warned of, and sets in several files or as pictures are read."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import distillset as ds
from distillset.commands import main
from distillset.export import export, read_pt
from distillset.sources.picture_sets import read_pictures
from distillset.watch import Watcher
from tests import toys
from tests.export.pt_file import write
from tests.export.test_export import make
from tests.watchers import Notes

SET = make()
SPEC = replace(SET.spec, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))


def read(value: Any, folder: Path, **options: Any) -> tuple[ds.SyntheticSet, list[str]]:
    write(value, folder / "x.pt")
    notes: list[str] = []
    return read_pt(folder / "x.pt", None, SPEC, watcher=Notes(notes), **options), notes


def unit() -> torch.Tensor:
    """Pixels between 0 and 1."""
    return SET.pixels.float() / 255


def test_pixels_between_0_and_1_are_normalised_and_it_is_told(tmp_path: Path) -> None:
    found, notes = read([unit(), SET.labels], tmp_path)
    expected = (unit() - torch.tensor(SPEC.mean).view(3, 1, 1)) / torch.tensor(SPEC.std).view(3, 1, 1)
    torch.testing.assert_close(found.images, expected)
    assert any("values between 0 and 1 are taken as pixels, and normalised" in note for note in notes)
    kept, notes = read([unit(), SET.labels], tmp_path, values="normalised")
    assert torch.equal(kept.images, unit())
    assert any(note.startswith("warning:") and "100% of the values lie between 0 and 1" in note for note in notes)


def test_learned_pixels_a_little_outside_are_warned_of_and_can_be_named(tmp_path: Path) -> None:
    images = unit()
    images[0, 0, 0, 0] = 1.2
    found, notes = read([images, SET.labels], tmp_path)
    assert torch.equal(found.images, images)
    assert re.search(
        "warning: .*does not look normalised with these numbers: .*if they are pixels, say `values='unit'`",
        "\n".join(notes),
    )
    named, notes = read([images, SET.labels], tmp_path, values="unit")
    assert not [note for note in notes if note.startswith("warning")]
    torch.testing.assert_close(named.images[0, 0, 0, 0], torch.tensor((1.2 - 0.4) / 0.2))


@pytest.mark.parametrize(
    ("images", "told"),
    [
        (unit() * 2 - 1, "all values lie between -.* and .*; pixels mapped to -1 to 1 need `mean=0.5` and `std=0.5`"),
        (unit() * 255 - 100, "mean .*, deviation .* .about 0 and 1 expected"),
        (SET.images + 4, "mean .* .about 0 and 1 expected"),
    ],
)
def test_what_does_not_look_normalised_is_warned_of(images: torch.Tensor, told: str, tmp_path: Path) -> None:
    found, notes = read([images, SET.labels], tmp_path)
    assert torch.equal(found.images, images)
    assert re.search(f"warning: .*x.pt: does not look normalised with these numbers: {told}", "\n".join(notes))


def test_what_is_assumed_is_told(tmp_path: Path) -> None:
    found, notes = read(SET.images, tmp_path)
    assert found.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert f"{tmp_path / 'x.pt'}: no labels; taken as the 3 classes in their order, 2 images each" in notes
    normalised = "taken as normalised with mean 0.4, 0.5, 0.6 and std 0.2, 0.25, 0.3; `mean` and `std` give others"
    assert f"{tmp_path / 'x.pt'}: {normalised}" in notes
    assert not [note for note in notes if note.startswith("warning")]
    _, notes = read([SET.pixels, SET.labels], tmp_path)
    assert "pixels from 0 to 255, normalised with mean" in notes[0]
    whole, _ = read([SET.pixels.long(), SET.labels], tmp_path)
    assert torch.equal(whole.images, SPEC.normalise(SET.pixels))
    _, notes = read([SET.images, torch.eye(3)[SET.labels] * 5], tmp_path)
    assert f"{tmp_path / 'x.pt'}: labels are taken as logits" in notes


def test_one_file_of_several_without_labels_is_refused_and_all_are_taken(tmp_path: Path) -> None:
    """Five files of two images: the first holds two of the three classes, so its order says nothing of labels."""
    for part in range(3):
        write(SET.images[2 * part : 2 * part + 2].clone(), tmp_path / f"images_{part}.pt")
    paths = [tmp_path / f"images_{part}.pt" for part in range(3)]
    with pytest.raises(ds.InputError, match=r"images_0.pt: holds images without labels, and 2 files .*images_1.pt"):
        read_pt(paths[0], None, SPEC)
    whole = read_pt(paths, None, SPEC)
    assert torch.equal(whole.images, SET.images)
    assert whole.labels.tolist() == SET.labels.tolist()
    write(SET.labels[:4], tmp_path / "a.pt")
    write(SET.labels[4:].tolist(), tmp_path / "b.pt")
    named = read_pt(paths, [tmp_path / "a.pt", tmp_path / "b.pt"], SPEC)
    assert named.labels.tolist() == SET.labels.tolist()
    assert read_pt(paths[0], [tmp_path / "b.pt"], SPEC).labels.tolist() == [2, 2]
    with pytest.raises(ds.InputError, match="is given twice"):
        read_pt([paths[0], paths[0]], None, SPEC)
    write([SET.images, SET.labels], tmp_path / "both.pt")
    with pytest.raises(ds.InputError, match=r"images_0\.pt: holds no labels, where other files do"):
        read_pt([paths[0], tmp_path / "both.pt"], None, SPEC)
    write(SET.pixels, tmp_path / "bytes.pt")
    with pytest.raises(ds.InputError, match="images of another type or size than in the other files"):
        read_pt([paths[0], tmp_path / "bytes.pt"], None, SPEC)


@pytest.mark.parametrize(
    "number",
    [
        np.float64(0.5),
        np.float32(0.5),
        np.float16(0.5),
        np.int64(3),
        np.uint8(3),
        np.bool_(True),
        np.dtype(">f8").type(0.5),
    ],
)
def test_results_with_numbers_of_numpy_are_read(number: Any, tmp_path: Path) -> None:
    """As Zhao et al.'s code leaves them: accuracies beside the data."""
    found, _ = read({"data": [[SET.images, SET.labels]], "accs_all_exps": {"ConvNet": [number]}}, tmp_path)
    assert torch.equal(found.images, SET.images)


def test_a_learned_rate_of_numpy_is_a_number(tmp_path: Path) -> None:
    write(SET.images, tmp_path / "images_best.pt")
    for value in (np.float64(0.125), np.float32(0.125), torch.tensor(0.125), 0.125):
        write(value, tmp_path / "lr.pt")
        assert read_pt(tmp_path / "images_best.pt", None, SPEC).lr == 0.125
    for wrong in ([0.1], {"lr": 0.1}, torch.zeros(2), "x"):
        write(wrong, tmp_path / "lr.pt")
        with pytest.raises(ds.InputError, match=r"lr\.pt: the learned rate .*must be a number"):
            read_pt(tmp_path / "images_best.pt", None, SPEC)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (np.zeros(3), r"numpy\._core\.multiarray\._reconstruct"),
        (np.datetime64("2020-01-01"), "damaged, or another kind of file"),
        (Path("x"), "it holds pathlib"),
        (toys.toy, "it holds distillset.testing.toys.toy, an object"),
    ],
)
def test_objects_are_named_without_pytorch_s_advice(value: Any, named: str, tmp_path: Path) -> None:
    with pytest.raises(ds.InputError, match=named) as error:
        read({"data": [[SET.images, SET.labels]], "more": value}, tmp_path)
    assert "weights_only" not in str(error.value)
    assert len(str(error.value)) < 300 + len(str(tmp_path))


@pytest.mark.parametrize("names", [("ant", "bee", "cat"), ("cat", "ant", "a/b"), ("zero", "one", "two")])
def test_pictures_there_and_back(names: tuple[str, ...], tmp_path: Path) -> None:
    synthetic = make(names=names)
    export(synthetic, "imagefolder", tmp_path / "out")
    notes: list[str] = []
    found = read_pictures(tmp_path / "out", synthetic.spec, Notes(notes))
    assert torch.equal(found.pixels, synthetic.pixels)
    assert torch.equal(found.labels, synthetic.labels)
    assert "6 pictures in 3 folders, whose classes were found by their n" in notes[0]


def pictures(folder: Path, names: list[str], size: tuple[int, int] = (6, 8)) -> Path:
    for number, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for i in range(2):
            Image.new("RGB", size, (10 * number, i, 0)).save(folder / name / f"{i}.png")
    return folder


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["cat", "ant", "bee"], {"ant": 0, "bee": 1, "cat": 2}),
        (["CAT", "Ant", "bee"], {"Ant": 0, "bee": 1, "CAT": 2}),
        (["0", "1", "2"], {"0": 0, "1": 1, "2": 2}),
        (["02", "00"], {"00": 0, "02": 2}),
        (["2-x", "0-y", "1-z"], {"0-y": 0, "1-z": 1, "2-x": 2}),
    ],
)
def test_classes_of_folders(names: list[str], labels: dict[str, int], tmp_path: Path) -> None:
    spec = replace(SPEC, class_names=("ant", "bee", "cat"))
    notes: list[str] = []
    found = read_pictures(pictures(tmp_path / "p", names), spec, Notes(notes))
    for number, name in enumerate(names):
        assert (found.pixels[found.labels == labels[name], 0] == 10 * number).all()
    assert any("no pictures of 1 classes: bee" in note for note in notes) == (len(names) == 2)


def test_folders_that_are_no_classes_are_named(tmp_path: Path) -> None:
    spec = replace(SPEC, class_names=("ant", "bee", "cat"))
    (pictures(tmp_path / "p", ["ant", "dog"]) / "ant" / "notes.txt").write_text("x")
    with pytest.raises(ds.InputError, match="folder dog is none of the classes ant, bee, cat"):
        read_pictures(tmp_path / "p", spec)
    with pytest.raises(ds.InputError, match=r"pictures of \[3, 9, 9\]; the data have \[3, 8, 6\]"):
        read_pictures(pictures(tmp_path / "q", ["ant", "bee"], (9, 9)), spec)
    with pytest.raises(ds.InputError, match="no sub-folder with pictures"):
        read_pictures(tmp_path / "p" / "ant", spec)
    (tmp_path / "p" / "dog").rename(tmp_path / "p" / "bee")
    notes: list[str] = []
    read_pictures(tmp_path / "p", spec, Notes(notes))
    assert f"{tmp_path / 'p'}: 1 files left out, which are no pictures (such as notes.txt)" in notes


def test_the_commands_take_folders_of_pictures(
    toy_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artifact = ds.select(toys.toy(), "random", 2).save(tmp_path / "artifact")
    data = ["--data", str(toy_npz)]
    fast = ["--networks", toys.NETWORK, "--repeats", "1", "--epochs", "1", "--beside", "none", "--json", "--no-cache"]
    cpu = ["--device", "cpu", "--precision", "fp32", "--compile", "off"]
    for form in ("imagefolder", "pt", "parquet"):
        out = str(tmp_path / form)
        assert main(["export", str(artifact), "--to", form, "--out", out]) == 0
        if form != "parquet":  # that is an artifact still
            assert main(["import", out, *data, "--out", f"{out}-back", "--method", "mine"]) == 0
            back = ds.SyntheticSet.load(f"{out}-back")
            assert torch.equal(back.pixels, ds.SyntheticSet.load(artifact).pixels)
            assert back.card["method"] == "mine"
    capsys.readouterr()
    folder = str(tmp_path / "imagefolder")
    assert main(["evaluate", folder, *data, *fast, *cpu]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["artifact"], row["n"]) == (folder, 1)
    (by_python,) = ds.evaluate(folder, ds.load(toy_npz, watcher=Watcher()), repeats=1, networks=toys.NETWORK,
                               protocol=ds.Protocol(epochs=1), beside=(), machine=toys.EAGER)  # fmt: skip
    assert list(by_python.accuracies) == row["accuracies"]
    assert main(["evaluate", folder, *fast]) == 2
    assert "--data: not given, and" in capsys.readouterr().err
    assert main(["evaluate", folder, *data, *fast, "--save"]) == 2
    assert "is no artifact; distillset import makes one" in capsys.readouterr().err
    assert main(["import", folder, str(tmp_path / "x.pt"), *data, "--out", str(tmp_path / "n")]) == 2
    assert "a folder is imported by itself" in capsys.readouterr().err
