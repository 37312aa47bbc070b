from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from distillset.data.sources import load
from distillset.errors import InputError
from tests.data.on_disk import picture, png, write_classes, write_parquet

GOOD = np.zeros((4, 5, 7), np.uint8)
LABELS = np.array([0, 1, 0, 1])
PICKLE = b"(lp0\nI1\naI2\na."  # the list [1, 2]
PICTURES = [picture(n) for n in range(4)]


def arrays(**values: Any) -> Callable[[Path], Any]:
    """A source: an .npz file of these arrays."""

    def make(folder: Path) -> Path:
        np.savez(folder / "a.npz", **values)
        return folder / "a.npz"

    return make


def classes(**images: list[Any]) -> Callable[[Path], Any]:
    """A source: a folder with these classes."""
    return lambda folder: write_classes(folder / "c", images)


def parquet(images: list[Any], labels: list[Any], **options: Any) -> Callable[[Path], Any]:
    """A source: a folder with a parquet file."""
    return lambda folder: write_parquet(folder / "p", "train", images, labels, **options)


def text(name: str, content: bytes) -> Callable[[Path], Any]:
    """A source: a file with this content."""

    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return make


def folder_with(name: str, content: bytes) -> Callable[[Path], Any]:
    """A source: a folder with one file."""

    def make(folder: Path) -> Path:
        (folder / "f").mkdir()
        (folder / "f" / name).write_bytes(content)
        return folder / "f"

    return make


def second_shard(folder: Path) -> Path:
    """A source: two parquet files, an image of the second one cut short."""
    images = [picture(n) for n in range(4)]
    write_parquet(folder / "s", "train", images, [0, 1, 0, 1], part="00000-of-00002")
    return write_parquet(folder / "s", "train", [images[0], png(images[1])[:70]], [0, 1], part="00001-of-00002")


def words(folder: Path) -> Path:
    """A source: a table without pictures."""
    import datasets

    (folder / "w").mkdir()
    datasets.Dataset.from_dict({"image": ["a", "b"], "label": [0, 1]}).to_parquet(str(folder / "w" / "train.parquet"))
    return folder / "w"


def two_images(folder: Path) -> Path:
    """A source: a table with two columns of pictures, neither called image."""
    extra = {"left": [png(PICTURES[0])] * 2}
    return write_parquet(folder / "p", "train", PICTURES[:2], [0, 1], image="right", extra=extra)


def tensors(folder: Path) -> Path:
    save_file({"images": torch.zeros(4, 5, 7, dtype=torch.int16), "labels": torch.arange(4)}, folder / "t.safetensors")
    return folder / "t.safetensors"


CASES: list[tuple[str, Callable[[Path], Any], str]] = [
    ("missing folder", lambda folder: folder / "nowhere", r"nowhere: no such folder or file"),
    ("missing file", lambda folder: "nowhere.npz", r"nowhere\.npz: no such folder or file"),
    ("unknown name", lambda folder: "cifar-1O", r"did you mean cifar10\?\); known names are digits, mnist, "),
    ("unknown name, far", lambda folder: "qqqqqq", r"qqqqqq: no such data set, folder or file; known names"),
    ("empty name", lambda folder: "", "no such folder"),
    ("other file", text("x.pt", PICKLE), r"x\.pt.*allowed are \.npz, \.safetensors"),
    ("empty folder", folder_with(".hidden", b""), r"/f: cannot be opened as a data set"),
    ("no data", folder_with("notes.md", b"x"), r"/f: cannot be opened as a data set"),
    ("damaged parquet", folder_with("train.parquet", b"PAR1xxxxPAR1"), r"/f: cannot be opened as a data set"),
    ("images, no labels", folder_with("0.png", png(PICTURES[0])), r"/f: no label column"),
    ("no image column", words, r"no image column; its columns are image \(string\), label \(int64\)"),
    ("two image columns", two_images, "several columns could be the image: right, left; call one of them image"),
    ("no label column", parquet(PICTURES, [0.5, 1, 0, 1]), r"no label column; its columns are .*label \(float64\)"),
    ("a missing label", parquet(PICTURES, [0, 1, None, 1]), r"train-00000-of-00001\.parquet, row 2: no label"),
    ("label -1", parquet(PICTURES, [0, 1, 0, -1], names=["a", "b"]), r"parquet, row 3: label -1; allowed are 0 to 1"),
    ("one class", parquet(PICTURES, [0, 0, 0, 0], names=["a", "b"]), "all images are of class a; at least two"),
    ("one number", parquet(PICTURES, [3, 3, 3, 3]), "all labels are 3; at least two"),
    ("a class without images", parquet(PICTURES, [0, 2, 0, 2], names=["a", "b", "c"]), r"class 1 \(b\) has no images"),
    ("no image in a row", parquet([*PICTURES[:3], None], [0, 1, 0, 1]), "parquet, row 3: there is no image"),
    ("not an image in a row", parquet([*PICTURES[:3], b"GIF"], [0, 1, 0, 1]), r"row 3: .*not an image file"),
    ("cut short in the second file", second_shard, r"train-00001-of-00002\.parquet, row 1: the image is damaged"),
    ("one folder", classes(a=PICTURES), "all images are of class a; at least two"),
    ("an empty class folder", classes(a=PICTURES, b=[]), r"c/b: no images"),
    ("not an image", classes(a=PICTURES, b=[b"x"]), r"c/b/000\.png \(row 4\): .*not an image file"),
    ("cut short", classes(a=PICTURES, b=[png(PICTURES[0])[:70]]), r"c/b/000\.png \(row 4\): the image is damaged"),
    ("of no bytes", classes(a=[b""], b=PICTURES), r"c/a/000\.png \(row 0\): .*not an image file"),
    ("mixed sizes", classes(a=PICTURES, b=[picture(5, 7, 4)]), r"b/000\.png.* 7x4 .* first is 6x4; .*--resize 6x4"),
    (
        "too deep",
        classes(a=PICTURES, b=[png(np.zeros((6, 4), np.uint16))]),
        r"b/000\.png.*mode is I;16; allowed are 8-bit",
    ),
    ("single images", classes(a=PICTURES[:1], b=PICTURES[1:2]), "none can be held out; give --test"),
    ("NaN", arrays(images=np.full((4, 5, 7), np.nan), labels=LABELS), r"a\.npz, images: row 0 has a pixel of nan"),
    ("infinite", arrays(images=GOOD + np.inf, labels=LABELS), "row 0 has a pixel of inf"),
    ("0 to 255 as floats", arrays(images=GOOD + 255.0, labels=LABELS), "a pixel of 255; .* between 0 and 1"),
    ("labels as floats", arrays(images=GOOD, labels=LABELS / 1.0), r"a\.npz, labels: their type is float64"),
    ("negative labels", arrays(images=GOOD, labels=LABELS - 1), "labels: row 0 is -1"),
    ("a gap in the labels", arrays(images=GOOD, labels=LABELS * 2), "1 never occurs"),
    ("labels of another length", arrays(images=GOOD, labels=LABELS[:3]), "4 images but 3 labels"),
    ("not one-hot", arrays(images=GOOD, labels=np.tri(4, dtype=int)), r"labels: row 1 is \[1, 1, 0, 0\]; .* one-hot"),
    ("flat images", arrays(images=GOOD.reshape(4, -1), labels=LABELS), r"images: their shape is \[4, 35\]"),
    ("volumes", arrays(images=GOOD[..., None, None], labels=LABELS), "their shape is"),
    ("five channels", arrays(images=np.zeros((4, 5, 7, 8), np.uint8), labels=LABELS), "must be 1, 3 or 4"),
    ("empty", arrays(images=GOOD[:0], labels=LABELS[:0]), "the set is empty"),
    ("no arrays", arrays(x_train=GOOD, y_train=LABELS), "no array images; found x_train, y_train; needed are"),
    ("test labels missing", arrays(images=GOOD, labels=LABELS, test_images=GOOD), "no array test_labels"),
    (
        "test label out of range",
        arrays(images=GOOD, labels=LABELS, test_images=GOOD, test_labels=LABELS + 1),
        "label 2",
    ),
    (
        "test of another size",
        arrays(images=GOOD, labels=LABELS, test_images=GOOD[:, :3], test_labels=LABELS),
        "--resize",
    ),
    ("objects", arrays(images=np.array([{}, {}]), labels=LABELS[:2]), "pickled objects, which are never loaded"),
    ("a pickle called npz", text("a.npz", PICKLE), r"a\.npz: damaged, or not an \.npz file"),
    ("not an npz", text("a.npz", b"PK\x03\x04 cut"), r"a\.npz: damaged, or not an \.npz file"),
    ("not a safetensors", text("a.safetensors", b"12345678 no"), r"a\.safetensors: damaged, or not a safetensors file"),
    ("whole numbers as pixels", tensors, "type is int16; allowed are uint8"),
]


@pytest.mark.parametrize(("source", "named"), [pytest.param(s, n, id=i) for i, s, n in CASES])
def test_bad_input_is_named_in_one_line_and_leaves_nothing(
    tmp_path: Path, cache: Path, source: Callable[[Path], Any], named: str
) -> None:
    data = source(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=named) as caught:
        load(data, announce=lambda note: None, progress=False)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
    assert not cache.exists() or list(cache.iterdir()) == []
    assert [path for path in sorted(tmp_path.rglob("*")) if path != cache] == before


def test_a_test_class_that_training_does_not_have(tmp_path: Path) -> None:
    train = write_classes(tmp_path / "d", {"a": PICTURES, "b": PICTURES})
    test = write_classes(tmp_path / "t", {"a": PICTURES, "z": PICTURES})
    with pytest.raises(InputError, match=r"class z is not among those of the training set \(a, b\)"):
        load(train, test=test, announce=lambda note: None)


def test_the_data_folder_must_exist_and_resize_be_positive(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--data-dir"):
        load("cifar10", data_dir=tmp_path / "none")
    with pytest.raises(InputError, match="resize"):
        load("digits", resize=(0, 4))


def test_offline_a_known_name_fails_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    import datasets

    def offline(*_: Any) -> None:
        raise ConnectionError("Couldn't reach the Hub\n(offline)")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(
        InputError, match=r"svhn: not found on this machine, and ufldl-stanford/svhn cannot .*--data-dir"
    ) as e:
        load("svhn", data_dir=tmp_path, announce=lambda note: None)
    assert "\n" not in str(e.value)
    assert list(cache.iterdir()) == []
