"""Data that programs hand over: understood, or refused in a line that says what is needed."""

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import ConcatDataset, Dataset, Subset, random_split

import distillset as ds
from distillset.data import arrays
from tests.handed import IMAGES, LABELS, NAMES, QUIET
from tests.watchers import Notes


class Items(Dataset[Any]):
    """40 rows of (image, label), which may raise, or be fewer than `len` says."""

    def __init__(self, count: int = 40, broken: int | None = None) -> None:
        self.count, self.broken = count, broken

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, row: int) -> tuple[Any, int]:
        if row == self.broken:
            raise OSError("the file is\ngone")
        return IMAGES[row], int(LABELS[row])


class Pets(Items):
    classes = ("cat", "dog")


class Vehicles(Items):
    classes = ("car", "lorry")


CATS = ("cat", "dog")


def quantised() -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.quantize_per_tensor(torch.zeros(40, 3, 8, 8), 0.1, 0, torch.quint8)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (NAMES.astype(object)[LABELS], CATS),
        (NAMES.astype(object)[LABELS][:, None], CATS),
        (pd.Series(NAMES[LABELS]), CATS),
        (pd.Series(NAMES[LABELS]).astype("category"), CATS),
        (pd.Series(NAMES[LABELS], dtype="string"), CATS),
        (pd.DataFrame({"label": NAMES[LABELS]}), CATS),
        (pd.DataFrame({"label": NAMES[LABELS], "x": 1})["label"], CATS),
        (pd.Series(LABELS), None),
        (pd.Series(LABELS, dtype="Int64"), None),
        (pd.Series(LABELS.astype(bool)), ("False", "True")),
        (np.array([b"cat", b"dog"])[LABELS], CATS),
        ([b"cat", b"dog"] * 20, CATS),
        (np.array([b"cat", b"dog"], dtype=object)[LABELS], CATS),
        (LABELS.astype(bool), ("False", "True")),
        (torch.from_numpy(LABELS).bool(), ("False", "True")),
        ([False, True] * 20, ("False", "True")),
        (LABELS.astype(np.float32), None),
        (LABELS.astype(np.float64)[:, None], None),
        ([0.0, 1.0] * 20, None),
        ([np.int64(0), np.int64(1)] * 20, None),
        ([torch.tensor(0), torch.tensor(1)] * 20, None),
        ([(1, 0), (0, 1)] * 20, None),
        (["cat", "dog"] * 20, CATS),
        (("cat", "dog") * 20, CATS),
    ],
)
def test_labels_in_every_form(labels: Any, names: tuple[str, ...] | None) -> None:
    numbers, found = arrays.labels(labels)
    assert numbers.dtype == torch.int64
    assert numbers.tolist() == LABELS.tolist()
    assert found == names
    whole = ds.load((IMAGES, labels), **QUIET)
    assert whole.train.spec.class_names == (names or ("0", "1"))
    assert ds.RealSet.from_arrays(IMAGES, labels).labels.tolist() == LABELS.tolist()


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ([0, "a"] * 20, "row 1: label 'a', but row 0 has 0; all must be of one kind"),
        ([[0], [0, 1]] * 20, r"row 1: 2 labels \(\[0, 1\]\)"),
        (np.array(["cat", None] * 20, dtype=object), "row 1: no label"),
        (pd.Series(["cat", None] * 20), "row 1: no label"),
        (pd.Series([0, None] * 20, dtype="Int64"), "row 1: no label"),
        (pd.Series([0, None] * 20), "row 1: no label"),
        (LABELS + 0.5, "row 0 is 0.5; allowed are whole numbers"),
        (np.where(LABELS == 0, np.inf, 1.0), "row 0 is inf"),
        (np.array([b"\xff", b"a"] * 20), "bytes that are no text"),
        ([b"\xff", b"a"] * 20, "row 0: label b'.xff'; bytes are names only as UTF-8"),
        (torch.empty(40, device="meta"), "without data"),
        (torch.zeros(40).to_sparse(), "call to_dense"),
        (np.ones(40) * 1j, "complex128"),
        (pd.DataFrame({"a": NAMES[LABELS], "b": NAMES[LABELS]}), "row 0: 2 labels"),
        (3, "int found; an array"),
        ({"a": 1}, "dict found; an array"),
        (None, "NoneType found; an array"),
        (np.zeros(40, dtype=[("x", int)]), "an array of numbers is needed"),
        ([-1, 0] * 20, "row 0 is -1"),
    ],
)
def test_labels_that_are_none(labels: Any, told: str) -> None:
    with pytest.raises(ds.InputError, match=f"data: labels: .*{told}") as error:
        ds.load((IMAGES, labels), **QUIET)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize(
    ("images", "told"),
    [
        (torch.empty(40, 3, 8, 8, device="meta"), "without data"),
        (torch.zeros(40, 3, 8, 8).to_sparse(), "sparse or nested"),
        (quantised(), "quantised"),
        (torch.zeros(40, 3, 8, 8) * 1j, "complex64"),
        ([[[1, 2]], [[1]]], "array of numbers is needed"),
        (pd.DataFrame({"a": [1]}), r"int64"),
    ],
)
def test_images_that_are_none(images: Any, told: str) -> None:
    with pytest.raises(ds.InputError, match=f"data: images: .*{told}"):
        ds.load((images, LABELS), **QUIET)


@pytest.mark.parametrize(
    ("items", "names"),
    [
        (Subset(Pets(), range(30)), CATS),
        (Subset(Subset(Pets(), range(30)), range(20)), CATS),
        (random_split(Pets(), [20, 20], torch.Generator().manual_seed(0))[0], CATS),
        (ConcatDataset([Pets(), Subset(Pets(), range(8))]), CATS),
        (ConcatDataset([Pets(), Items()]), ("0", "1")),  # what the numbers of the second mean is not said
        (Items(), ("0", "1")),
    ],
)
def test_parts_and_chains_of_data_sets_keep_their_class_names(items: Any, names: tuple[str, ...]) -> None:
    assert ds.load(items, **QUIET).train.spec.class_names == names


@pytest.mark.parametrize(
    ("items", "told"),
    [
        (
            ConcatDataset([Pets(), Vehicles()]),
            "number their classes differently: cat, dog, and car, lorry",
        ),
        (Items(broken=7), "data, row 7: cannot be read .OSError: the file is gone"),
        (Items(45), r"data, row 40: cannot be read .IndexError: .*len\(\) says that there are 45 rows"),
        (pd.DataFrame({"a": [1]}), r"data: DataFrame of pandas found; needed are \(images, labels\)"),
        (None, "data: NoneType found"),
        (3, "data: int found"),
    ],
)
def test_data_that_are_none(items: Any, told: str) -> None:
    with pytest.raises(ds.InputError, match=told) as error:
        ds.load(items, **QUIET)
    assert "\n" not in str(error.value)


def hugging_face() -> Any:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list(CATS))})
    return datasets.Dataset.from_dict({"image": list(IMAGES), "label": LABELS.tolist()}, features=features)


@pytest.mark.parametrize("kind", ["numpy", "torch", "pandas", "transform", "set_transform", "columns"])
def test_views_of_hugging_face_sets_are_read_as_stored(kind: str) -> None:
    rows, notes = hugging_face(), list[str]()
    if kind == "transform":
        rows = rows.with_transform(lambda batch: {"pixels": [0] * len(batch["label"]), "label": batch["label"]})
    elif kind == "set_transform":
        rows.set_transform(lambda batch: {"pixels": [0] * len(batch["label"])})
    elif kind == "columns":
        rows = rows.with_format("torch", columns=["label"])
    else:
        rows = rows.with_format(kind)
    found = ds.load(rows, watcher=Notes(notes))
    assert found.train.spec.class_names == CATS
    plain = ds.load(hugging_face(), **QUIET)
    assert found.train.fingerprint() == plain.train.fingerprint()
    assert any("its transform (with_transform) is not applied" in note for note in notes) == ("transform" in kind)


def test_splits_left_unused_are_told() -> None:
    datasets = pytest.importorskip("datasets")
    rows, notes = hugging_face(), list[str]()
    parts = datasets.DatasetDict(train=rows, test=rows.select(range(10)), extra=rows.select(range(4)))
    ds.load(parts, watcher=Notes(notes))
    assert "data: left unused: extra" in notes


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"classes": 3}, "classes=3: must be a list of names or numbers"),
        ({"classes": "cat"}, "classes='cat': must be a list"),
        ({"classes": [0, 1.5]}, "classes=1.5: must be a whole number"),
        ({"resize": 8}, r"resize=8: must be two whole numbers, \(height, width\)"),
        ({"resize": (8,)}, r"resize=\(8,\): must be"),
        ({"resize": "8x8"}, "resize='8x8': must be"),
        ({"resize": (8, 7.5)}, "resize=7.5: must be a whole number"),
    ],
)
def test_options_of_load(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ds.InputError, match=told):
        ds.load((IMAGES, LABELS), **options, **QUIET)
