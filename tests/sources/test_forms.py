"""The forms in which users have images and labels: arrays, paths and nested fields; names and one-hot rows."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from distillset.data import labels
from distillset.errors import InputError
from distillset.sources.load import Data, load
from distillset.watch import Watcher
from tests.sources.on_disk import channels_first, picture, png, write_classes

PICTURES = [picture(n) for n in range(4)]
GREY = [picture(n, channels=1) for n in range(4)]
LABELS = [0, 1, 1, 0]


def quietly(data: Any, **options: Any) -> Data:
    return load(data, watcher=Watcher(), **options)


def table(folder: Path, columns: dict[str, Any], features: Any = None) -> Path:
    """A folder with a parquet file of these columns, once to train on and once to test on."""
    import datasets

    rows = datasets.Dataset.from_dict(columns, features=None if features is None else datasets.Features(features))
    folder.mkdir()
    for split in ("train", "test"):
        rows.to_parquet(str(folder / f"{split}.parquet"))
    return folder


def test_arrays_with_a_declared_shape(tmp_path: Path) -> None:
    import datasets

    features = {"image": datasets.Array3D((6, 4, 3), "uint8"), "label": datasets.Value("int64")}
    data = quietly(table(tmp_path / "d", {"image": PICTURES, "label": LABELS}, features))
    assert data.train.images.tolist() == channels_first(PICTURES).tolist()
    features["image"] = datasets.Array2D((6, 4), "float32")
    data = quietly(table(tmp_path / "g", {"image": [grey / 255 for grey in GREY], "label": LABELS}, features))
    assert data.train.images.tolist() == channels_first(GREY).tolist()


@pytest.mark.parametrize("depth", [2, 3])
def test_nested_lists_of_numbers(tmp_path: Path, depth: int) -> None:
    images = [picture(n, 6, 5, channels=1 if depth == 2 else 3) for n in range(4)]
    stored = channels_first(images)[:, 0] if depth == 2 else channels_first(images)
    data = quietly(table(tmp_path / "d", {"pixels": stored.tolist(), "label": LABELS}))
    assert data.train.images.tolist() == channels_first(images).tolist()


def test_lists_of_floats_and_of_several_sizes(tmp_path: Path) -> None:
    folder = table(tmp_path / "d", {"image": [(grey / 255).tolist() for grey in GREY], "label": LABELS})
    assert quietly(folder).train.images.tolist() == channels_first(GREY).tolist()
    sizes = [np.full((3 + n, 4), 7 * n).tolist() for n in range(4)]
    data = quietly(table(tmp_path / "s", {"image": sizes, "label": LABELS}), resize=(4, 4))
    assert data.train.images.flatten(1).tolist() == [[7 * n] * 16 for n in range(4)]


# datasets before 5.2 leaves an open .csv file to the garbage collector, which warns
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("inside", ["images", "train", "."])
@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_paths_in_a_table_relative_to_the_folder_and_absolute(tmp_path: Path, inside: str, suffix: str) -> None:
    folder = tmp_path / "d"
    (folder / inside).mkdir(parents=True)
    for number, image in enumerate(PICTURES):
        (folder / inside / f"{number}.png").write_bytes(png(image))
    names = [f"{inside}/{n}.png" for n in range(3)] + [str(folder / inside / "3.png")]
    if suffix == "csv":
        lines = ["path,label,note", *(f"{name},{label},x" for name, label in zip(names, "baab", strict=True))]
    else:
        lines = [json.dumps({"path": name, "label": label}) for name, label in zip(names, "baab", strict=True)]
    (folder / f"train.{suffix}").write_text("\n".join(lines))
    data = quietly(folder, test=folder)
    assert data.train.images.tolist() == channels_first(PICTURES).tolist()
    assert data.train.spec.class_names == ("a", "b")
    assert data.train.labels.tolist() == [1, 0, 0, 1]


def test_a_table_beside_folders_of_classes_is_left_alone(tmp_path: Path) -> None:
    write_classes(tmp_path / "d", {"a": PICTURES[:2], "b": PICTURES[2:]})
    (tmp_path / "d" / "notes.csv").write_text("path,label\nx,y\n")
    assert quietly(tmp_path / "d", test=tmp_path / "d").train.spec.class_names == ("a", "b")


def test_bytes_and_nested_fields(tmp_path: Path) -> None:
    columns = {
        "id": [7, 8, 9, 10],
        "picture": [{"data": png(image), "format": "png"} for image in PICTURES],
        "annotation": [{"label": label, "area": 5} for label in LABELS],
    }
    data = quietly(table(tmp_path / "d", columns))
    assert data.train.images.tolist() == channels_first(PICTURES).tolist()
    assert data.train.labels.tolist() == LABELS


@pytest.mark.parametrize(
    ("given", "names", "expected"),
    [
        (["dog", "cat", "cat", "dog"], ("cat", "dog"), [1, 0, 0, 1]),
        ([["dog"], ["cat"], ["cat"], ["dog"]], ("cat", "dog"), [1, 0, 0, 1]),
        ([[0, 1], [1, 0], [1, 0], [0, 1]], ("0", "1"), [1, 0, 0, 1]),
        ([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], ("0", "1"), [1, 0, 0, 1]),
        ([[1], [0], [0], [1]], ("0", "1"), [1, 0, 0, 1]),
        ([[[1]], [[0]], [[0]], [[1]]], ("0", "1"), [1, 0, 0, 1]),
    ],
)
def test_labels_in_a_column(tmp_path: Path, given: list[Any], names: tuple[str, ...], expected: list[int]) -> None:
    if isinstance(given[0], list) and isinstance(given[0][0], list):
        numbers, found = labels.from_values(given, None, str)
        assert (numbers.tolist(), found) == (expected, None)
        return
    data = quietly(table(tmp_path / "d", {"image": [image.tolist() for image in GREY], "label": given}))
    assert data.train.spec.class_names == names
    assert data.train.labels.tolist() == expected


def test_lists_of_class_labels_keep_their_names(tmp_path: Path) -> None:
    import datasets

    features = {
        "image": datasets.Array2D((6, 4), "uint8"),
        "objects": {"label": datasets.List(datasets.ClassLabel(names=["cat", "dog"]))},
    }
    columns = {"image": GREY, "objects": [{"label": [label]} for label in LABELS]}
    data = quietly(table(tmp_path / "d", columns, features))
    assert data.train.spec.class_names == ("cat", "dog")
    assert data.train.labels.tolist() == LABELS


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([0, None, 1], "row 1: no label"),
        ([[0], [1, 2]], r"row 1: 2 labels \(\[1, 2\]\); needed is one per image"),
        ([[0, 1], [1, 1]], r"row 1: 2 labels \(\[1, 1\]\)"),
        ([[0, 1], [0, 0.5]], "row 1: 2 labels"),
        ([[0], []], r"row 1: no label \(\[\]\)"),
        ([0, 1.5], "row 1: label 1.5; a whole number or a name is needed"),
        ([0, True], "row 1: label True"),
        ([0, "cat"], "row 1: label 'cat', but row 0 has 0; all must be of one kind"),
        (["cat", 3], "row 1: label 3, but row 0 has 'cat'"),
        ([0, 2**63], "row 1: label 9223372036854775808"),
        ([0, {"x": 1}], "row 1: label {'x': 1}"),
    ],
)
def test_labels_that_are_none(values: list[Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        labels.from_values(values, None, lambda row: f"row {row}")


def test_missing_labels_count_only_where_they_are_used(tmp_path: Path) -> None:
    import datasets

    rows = datasets.Dataset.from_dict({"image": [g.tolist() for g in GREY], "label": LABELS})
    bare = datasets.Dataset.from_dict({"image": [g.tolist() for g in GREY], "label": [-1] * 4})
    (tmp_path / "d").mkdir()
    for name, part in (("train", rows), ("validation", rows.select([3])), ("test", bare)):
        part.to_parquet(str(tmp_path / "d" / f"{name}.parquet"))
    data = quietly(tmp_path / "d")
    # as competitions and ImageNet have it: what is called test has no labels, so that the validation split is taken
    assert data.test.labels.tolist() == [0]
    assert f"{tmp_path / 'd'}: left unused: test (it has no labels)" in data.notes
    with pytest.raises(InputError, match="no image has a label"):
        quietly(datasets.DatasetDict(train=bare))


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_files_of_arrays_with_one_hot_labels(tmp_path: Path, suffix: str) -> None:
    images = np.stack(PICTURES)
    one_hot = np.eye(2, dtype=np.float32)[LABELS]
    path = tmp_path / f"x.{suffix}"
    if suffix == "npz":
        np.savez(path, images=images, labels=one_hot, test_images=images, test_labels=np.array(LABELS)[:, None])
    else:
        arrays: dict[str, Any] = {
            "images": images,
            "labels": one_hot,
            "test_images": images,
            "test_labels": np.array(LABELS)[:, None],
        }
        save_file({name: torch.from_numpy(array.copy()) for name, array in arrays.items()}, path)
    data = quietly(path)
    assert data.train.labels.tolist() == data.test.labels.tolist() == LABELS


def test_names_as_labels_in_arrays(tmp_path: Path) -> None:
    images, names = np.stack(PICTURES), np.array(["dog", "cat", "cat", "dog"])
    np.savez(tmp_path / "x.npz", images=images, labels=names, test_images=images[:1], test_labels=names[:1])
    for source in (tmp_path / "x.npz", (images, names.tolist())):
        data = quietly(source, test=None if isinstance(source, Path) else (images[:1], ["dog"]))
        assert data.train.spec.class_names == ("cat", "dog")
        assert data.train.labels.tolist() == [1, 0, 0, 1]
        assert data.test.labels.tolist() == [1]


class Pairs(torch.utils.data.Dataset[Any]):
    def __init__(self, given: list[Any]) -> None:
        self.given = given

    def __len__(self) -> int:
        return 4

    def __getitem__(self, row: int) -> tuple[Any, Any]:
        return Image.fromarray(PICTURES[row]), self.given[row]


@pytest.mark.parametrize(
    "given", [["y", "x", "x", "y"], torch.eye(2)[[1, 0, 0, 1]], [np.array([n]) for n in (1, 0, 0, 1)]]
)
def test_in_python_labels_of_items_may_be_names_and_one_hot(given: Any) -> None:
    data = quietly(Pairs(given), test=Pairs(given))
    assert data.train.labels.tolist() == [1, 0, 0, 1]
    assert data.train.images.tolist() == channels_first(PICTURES).tolist()


def test_streams_of_datasets_are_refused_with_advice() -> None:
    import datasets

    rows = datasets.Dataset.from_dict({"image": [g.tolist() for g in GREY], "label": LABELS})
    for stream in (rows.to_iterable_dataset(), datasets.IterableDatasetDict(train=rows.to_iterable_dataset())):
        with pytest.raises(InputError, match=r"a stream \(Iterable.*load it whole \(without streaming=True\)"):
            quietly(stream)


def test_what_a_table_lacks_is_named(tmp_path: Path) -> None:
    ragged = [[[1, 2], [3]], [[1, 2], [3, 4]]] * 2
    with pytest.raises(InputError, match=r"train\.parquet, row 0: its rows have different lengths"):
        quietly(table(tmp_path / "r", {"image": ragged, "label": LABELS}))
    big = [np.full((3, 3), 300).tolist()] * 4
    with pytest.raises(InputError, match=r"train\.parquet, row 0: .*type is int64; allowed are uint8"):
        quietly(table(tmp_path / "b", {"image": big, "label": LABELS}))
    with pytest.raises(InputError, match=r"no image column; its columns are .*flat"):
        quietly(table(tmp_path / "f", {"flat": [list(range(9))] * 4, "label": LABELS}))
    with pytest.raises(InputError, match=r"no label column; its columns are "):
        quietly(table(tmp_path / "i", {"image": [g.tolist() for g in GREY], "id": LABELS}))
    with pytest.raises(InputError, match=r"train\.parquet, row 2: there is no image"):
        quietly(table(tmp_path / "n", {"image": [GREY[0].tolist(), GREY[1].tolist(), None, None], "label": LABELS}))
    gone = [str(tmp_path / f"{n}.png") for n in range(4)]
    with pytest.raises(InputError, match=r"train\.parquet, row 0: .*0\.png is outside the data's folder"):
        quietly(table(tmp_path / "p", {"image": gone, "label": LABELS}))
