"""Arrays under the names that libraries give them."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distillset.errors import InputError
from distillset.sources.array_roles import Roles, role_of
from distillset.sources.known import KNOWN
from tests.sources.arrays import GREY, LABELS, TEST, TEST_LABELS, check, quietly

NAMES = [
    ("images", "labels", "test_images", "test_labels"),
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("x_train", "y_train", "x_test", "y_test"),
    ("X_train", "y_train", "X_val", "y_val"),
    ("x", "y", "x_test", "y_test"),
    ("images", "labels", "val_images", "val_labels"),
    ("data", "target", "data_test", "target_test"),
    ("Xtrain", "Ytrain", "Xtest", "Ytest"),
    ("train/images", "train/labels", "validation/images", "validation/labels"),
    ("training_imgs", "training_targets", "testing_imgs", "testing_targets"),
]


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("packed", [False, True])
def test_names_of_arrays(tmp_path: Path, names: tuple[str, ...], packed: bool) -> None:
    arrays = dict(zip(names, (GREY, LABELS, TEST, TEST_LABELS), strict=True))
    save: Any = np.savez_compressed if packed else np.savez
    buffer = io.BytesIO()
    save(buffer, **arrays)
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.npz").write_bytes(buffer.getvalue())
    check(quietly(tmp_path / "d" / "a.npz"))
    check(quietly(tmp_path / "d"))  # the folder in which it lies alone


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("images", ("train", "images")),
        ("x_dev", ("dev", "images")),
        ("validation-labels", ("validation", "labels")),
        ("trainX", ("train", "images")),
        ("dataset/test/y", ("test", "labels")),
        ("train_test_images", None),
        ("imageset_ids", None),
        ("max", None),
        ("coarse_labels", None),
        ("fine_labels", ("train", "labels")),
        ("", None),
    ],
)
def test_roles(name: str, role: tuple[str, str] | None) -> None:
    assert role_of(name) == role


def test_two_arrays_that_could_be_the_images() -> None:
    assert Roles.of(["data", "images", "target"], "f").splits == {"train": ("images", "target")}
    with pytest.raises(InputError, match="f: x and data could both be the images of train; keep one of them"):
        Roles.of(["x", "data", "y"], "f")


def test_medmnist(tmp_path: Path) -> None:
    parts: dict[str, Any] = {}
    for split, pixels, labels in (("train", GREY, LABELS), ("val", GREY[:3], LABELS[:3]), ("test", TEST, TEST_LABELS)):
        parts[f"{split}_images"], parts[f"{split}_labels"] = pixels, labels[:, None].astype(np.uint8)
    np.savez_compressed(tmp_path / "bloodmnist.npz", **parts)
    data = quietly(tmp_path / "bloodmnist.npz")
    check(data)
    assert data.notes == (f"{tmp_path / 'bloodmnist.npz'}: left unused: val",)
    parts["train_labels"] = np.eye(14, dtype=np.uint8)[:12] + np.eye(14, k=1, dtype=np.uint8)[:12]
    np.savez_compressed(tmp_path / "chestmnist.npz", **parts)
    with pytest.raises(InputError, match=r"chestmnist\.npz, train_labels: row 0 is \[1, 1, 0"):
        quietly(tmp_path / "chestmnist.npz")


def test_keras_by_the_name_of_the_set(tmp_path: Path) -> None:
    np.savez(tmp_path / "mnist.npz", x_train=GREY, y_train=LABELS, x_test=TEST, y_test=TEST_LABELS)
    data = quietly("mnist", data_dir=tmp_path)
    check(data)
    assert data.train.spec.mean == KNOWN["mnist"].mean


TEXT = np.array(["cat", "dog", "eel"])


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (LABELS.astype(np.float64), "012"),
        (LABELS[:, None, None, None].astype(np.uint8), "012"),
        (TEXT[LABELS], ("cat", "dog", "eel")),
        (np.char.encode(TEXT)[LABELS], ("cat", "dog", "eel")),
        (np.eye(3)[LABELS], "012"),
    ],
)
def test_kinds_of_labels(tmp_path: Path, labels: Any, names: Any) -> None:
    np.savez(tmp_path / "a.npz", images=GREY, labels=labels, test_images=TEST, test_labels=labels[::-1])
    data = quietly(tmp_path / "a.npz")
    check(data)
    assert data.train.spec.class_names == tuple(names)


def test_names_of_classes_beside_the_labels(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "a.npz", images=GREY, labels=LABELS, test_images=TEST, test_labels=TEST_LABELS, class_names=TEXT
    )
    assert quietly(tmp_path / "a.npz").train.spec.class_names == ("cat", "dog", "eel")


def _save_objects(folder: Path, **arrays: Any) -> None:
    """An ``.npz`` in which an array says that it holds objects; what stands for them is never looked at."""
    with zipfile.ZipFile(folder / "a.npz", "w") as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.save(buffer, array if array is not None else np.zeros(12), allow_pickle=False)
            content = buffer.getvalue()
            archive.writestr(f"{name}.npy", content if array is not None else content.replace(b"'<f8'", b"'|O' "))


def test_arrays_of_objects_are_refused_with_what_would_do(tmp_path: Path) -> None:
    _save_objects(tmp_path, images=GREY, labels=None)
    with pytest.raises(InputError, match=r"a\.npz: labels is an array of Python objects.*labels\.astype\(str\)"):
        quietly(tmp_path / "a.npz")
    _save_objects(tmp_path, images=None, labels=LABELS)
    with pytest.raises(InputError, match=r"a\.npz: images is an array of Python objects.*np\.stack\(images\)"):
        quietly(tmp_path / "a.npz")
    _save_objects(tmp_path, images=GREY, labels=LABELS, other=None)  # what is not needed is not looked at
    assert len(quietly(tmp_path / "a.npz").train) > 0


K49 = ("k49-train-imgs", "k49-train-labels", "k49-test-imgs", "k49-test-labels")


@pytest.mark.parametrize("names", [NAMES[0], NAMES[2], K49])
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_a_folder_of_array_files(tmp_path: Path, names: tuple[str, ...], suffix: str) -> None:
    (tmp_path / "d").mkdir()
    arrays: tuple[Any, ...] = (GREY, LABELS, TEST, TEST_LABELS)
    for name, array in zip(names, arrays, strict=True):
        if suffix == ".npy":
            np.save(tmp_path / "d" / name, array, allow_pickle=False)
        else:
            np.savez(tmp_path / "d" / name, array)
    check(quietly(tmp_path / "d"))
    (tmp_path / "d" / f"{names[1]}{suffix}").write_bytes(b"\x93NUMPY\x01\0v\0" + b"[" * 118)
    with pytest.raises(InputError, match=rf"{names[1]}\{suffix}: damaged"):
        quietly(tmp_path / "d")


def test_two_whole_sets_in_one_folder(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    for name in ("a", "b"):
        np.savez(tmp_path / "d" / name, images=GREY, labels=LABELS)
    with pytest.raises(InputError, match=r"it holds several sets of arrays: a\.npz, b\.npz; name one of them"):
        quietly(tmp_path / "d")
