"""``.pt`` files: written as the papers' code reads them, and read without running anything."""

import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from distillset import InputError, SyntheticSet, select
from distillset.commands import main
from distillset.export import export, read_pt
from tests import toys
from tests.export.pt_file import write
from tests.export.test_export import make
from tools.check_no_pickle import ALLOWED
from tools.check_no_pickle import main as check


def stored(path: Path) -> Any:
    return torch.load(path, weights_only=True)


def holds_itself() -> Any:
    found: dict[str, Any] = {}
    found["data"] = [found]
    return found


def test_the_layouts(tmp_path: Path) -> None:
    """What each reader does with its file, line for line: DC takes data[-1], TM and DD-Ranking two tensors."""
    synthetic = make()
    mixed = torch.tensor([5, 0, 3, 1, 4, 2])
    notes = export(
        replace(synthetic, images=synthetic.images[mixed], labels=synthetic.labels[mixed]), "pt", tmp_path / "out"
    )
    order = torch.tensor([0, 1, 3, 2, 5, 4])  # class by class; within a class as they came
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "images_best.pt", "labels_best.pt", "res_DM_TOY_ConvNet_2ipc.pt",
    }  # fmt: skip
    images, labels = stored(tmp_path / "out" / "res_DM_TOY_ConvNet_2ipc.pt")["data"][-1]
    for found in (images, stored(tmp_path / "out" / "images_best.pt")):
        assert torch.equal(found, synthetic.images[order])
    for found in (labels, stored(tmp_path / "out" / "labels_best.pt")):
        assert torch.equal(found, torch.tensor([0, 0, 1, 1, 2, 2]))
    assert notes == ["normalised with mean 0.5, 0.5, 0.5, std 0.25, 0.25, 0.25; evaluating code has to use the same"]


def test_soft_labels_are_logits(tmp_path: Path) -> None:
    synthetic = make(soft=True)
    export(synthetic, "pt", tmp_path / "out")
    logits = stored(tmp_path / "out" / "soft_labels.pt")
    assert torch.allclose(logits.softmax(1), synthetic.labels)


@pytest.mark.parametrize(
    "value",
    [
        lambda images, labels: {"data": [["an earlier experiment", None], [images, labels]], "accs_all_exps": {}},
        lambda images, labels: [images, labels],
        lambda images, labels: (images.double(), labels.int()),
        lambda images, labels: {"images": images, "labels": labels},
        lambda images, labels: images,  # class by class, equally many
        lambda images, labels: torch.nn.Parameter(images),
    ],
)
def test_each_layout_is_read(value: Any, tmp_path: Path) -> None:
    synthetic = make()
    write(value(synthetic.images, synthetic.labels), tmp_path / "file.pt")
    found = read_pt(tmp_path / "file.pt", None, synthetic.spec, method="dc")
    assert torch.equal(found.images, synthetic.images)
    assert torch.equal(found.labels, synthetic.labels)
    assert found.card["method"] == "dc"


def test_labels_lie_beside_or_are_named(tmp_path: Path) -> None:
    synthetic = make()
    labels = synthetic.labels.flip(0)
    write(synthetic.images, tmp_path / "images_best.pt")
    write(labels, tmp_path / "labels_best.pt")
    assert torch.equal(read_pt(tmp_path / "images_best.pt", None, synthetic.spec).labels, labels)
    (tmp_path / "labels_best.pt").rename(tmp_path / "other.pt")
    assert torch.equal(read_pt(tmp_path / "images_best.pt", tmp_path / "other.pt", synthetic.spec).labels, labels)
    assert torch.equal(read_pt(tmp_path / "images_best.pt", None, synthetic.spec).labels, synthetic.labels)


def test_a_learned_rate_goes_along(tmp_path: Path) -> None:
    synthetic = replace(make(), lr=0.125)
    export(synthetic, "pt", tmp_path / "out")
    assert read_pt(tmp_path / "out" / "images_best.pt", None, synthetic.spec).lr == 0.125


def test_logits_become_probabilities_and_probabilities_stay(tmp_path: Path) -> None:
    synthetic = make(soft=True)
    for given in (synthetic.labels, synthetic.labels.log() + 7):
        write([synthetic.images, given], tmp_path / "file.pt")
        found = read_pt(tmp_path / "file.pt", None, synthetic.spec)
        assert torch.allclose(found.labels, synthetic.labels, atol=1e-6)


def test_pixels_are_normalised(tmp_path: Path) -> None:
    synthetic = make()
    write([synthetic.pixels, synthetic.labels], tmp_path / "file.pt")
    found = read_pt(tmp_path / "file.pt", None, synthetic.spec)
    assert torch.equal(found.images, synthetic.spec.normalise(synthetic.pixels))


class Evil:
    """What a hostile file holds: loading it the old way would run the command."""

    def __reduce__(self) -> Any:
        return (exec, ("import pathlib; pathlib.Path(__file__).with_name('ran').touch()",))


def test_a_hostile_file_is_refused_and_nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    write({"data": [[Evil(), None]]}, tmp_path / "evil.pt")
    monkeypatch.setattr("builtins.exec", lambda *arguments: ran.append("ran"))
    with pytest.raises(InputError, match="tensors and plain values"):
        read_pt(tmp_path / "evil.pt", None, make().spec)
    assert ran == []


def test_what_is_no_pt_file(tmp_path: Path) -> None:
    spec = make().spec
    (tmp_path / "text.pt").write_text("hello")
    (tmp_path / "empty.pt").write_bytes(b"")
    with zipfile.ZipFile(tmp_path / "zip.pt", "w") as archive:
        archive.writestr("a", "b")
    for name in ("text.pt", "empty.pt", "zip.pt"):
        with pytest.raises(InputError, match=rf"{name}: not read"):
            read_pt(tmp_path / name, None, spec)
    with pytest.raises(InputError, match="no such file"):
        read_pt(tmp_path / "missing.pt", None, spec)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"weights": torch.zeros(3)}, "a dict with the keys 'weights'; expected"),
        (3, "a int; expected"),
        (torch.zeros(5, 3, 8, 6), "5 images without labels do not divide into 3 classes"),
        (torch.zeros(6, 3, 9, 9), "images torch.float32"),
        (torch.zeros(6, 144), r"images of the shape \[6, 144\]; expected \[N, 3, 8, 6\]"),
        (torch.zeros(6, 3, 8, 6, dtype=torch.complex64), "images are complex64; expected"),
        (torch.zeros(6, 3, 8, 6, dtype=torch.bool), "images are bool; expected"),
        (torch.empty(6, 3, 8, 6, device="meta"), "images: are a tensor without data"),
        (torch.zeros(6, 3, 8, 6).to_sparse(), "images: are a sparse or nested tensor"),
        (torch.full((6, 3, 8, 6), 300), "whole numbers outside of 0 to 255"),
        (torch.zeros(1).expand(2_000_000, 3, 8, 6), "of which the file holds a small part over and over"),
        ([torch.zeros(6, 3, 8, 6), torch.zeros(6, dtype=torch.complex64)], "labels: their type is complex64"),
        ([torch.zeros(6, 3, 8, 6), torch.empty(6, device="meta")], "labels: are a tensor without data"),
        ([torch.zeros(6, 3, 8, 6), "cat"], "labels are a str; expected"),
        ([torch.zeros(6, 3, 8, 6), ["a", "b", "c"] * 2], "labels are names such as a"),
        (holds_itself(), "lists in lists"),
        ({"data": [[torch.zeros(6, 3, 8, 6), [0, [1, 2]] * 3]]}, "labels: row 1: 2 labels"),
        ([torch.zeros(6, 3, 8, 6), torch.full((6,), 3)], "found 3 to 3, allowed 0 to 2"),
        ([torch.zeros(6, 3, 8, 6), torch.full((6,), 0.5)], "labels: row 0 is 0.5"),
        ([torch.zeros(6, 3, 8, 6), torch.zeros(6, 4)], "labels torch.float32"),
        ([torch.full((6, 3, 8, 6), torch.nan), torch.zeros(6).long()], "NaN"),
    ],
)
def test_what_does_not_fit(value: Any, told: str, tmp_path: Path) -> None:
    write(value, tmp_path / "file.pt")
    with pytest.raises(InputError, match=told):
        read_pt(tmp_path / "file.pt", None, make().spec)


def test_the_command_there_and_back(toy_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    artifact = select(toys.toy(), "random", 2).save(tmp_path / "artifact")
    assert main(["export", str(artifact), "--to", "pt", "--out", str(tmp_path / "pt")]) == 0
    file = str(tmp_path / "pt" / "res_RANDOM_TOY_ConvNet_2ipc.pt")
    assert main(["import", file, "--data", str(toy_npz), "--out", str(tmp_path / "back"), "--method", "mine"]) == 0
    assert capsys.readouterr().out.endswith(
        f"{tmp_path / 'back'}: 6 images of 3 classes; picture {tmp_path / 'back' / 'grid.png'}\n"
    )
    back = SyntheticSet.load(tmp_path / "back")
    assert torch.equal(back.images, SyntheticSet.load(artifact).images)
    assert (back.card["method"], back.card["data"]["source"]) == ("mine", str(toy_npz))


def test_another_normalisation(toy_npz: Path, tmp_path: Path) -> None:
    write(torch.zeros(3, 3, 8, 8), tmp_path / "x.pt")
    flags = ["--mean", "0.11", "0.2", "0.3", "--std", "1", "1", "1"]
    command = ["import", str(tmp_path / "x.pt"), "--data", str(toy_npz), "--out"]
    assert main([*command, str(tmp_path / "a"), *flags]) == 0
    assert SyntheticSet.load(tmp_path / "a").pixels[0, :, 0, 0].tolist() == [28, 51, 76]
    assert (
        main(["import", str(tmp_path / "x.pt"), "--data", str(toy_npz), "--out", str(tmp_path / "b"), "--mean", "1"])
        == 2
    )


def test_one_place_alone_may_write_a_pt_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exception holds for one call in one file: a second call there, or one elsewhere, is found."""
    import tools.check_no_pickle as tool

    place = "src/distillset/export/pt.py"
    assert [name for name in ALLOWED if name.startswith("src/")] == [place]
    root = Path(__file__).parents[2]
    assert check([str(root / place)]) == 0
    source = (root / place).read_text()
    copy = tmp_path / place
    copy.parent.mkdir(parents=True)
    copy.write_text(source)
    assert check([str(copy)]) == 1
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    assert check([str(copy)]) == 0
    copy.write_text(source + "\n\ntorch.save(1, 'second')\n")
    assert check([str(copy)]) == 1
