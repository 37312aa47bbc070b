"""Arrays under the names that libraries give them, shards of webdataset, HDF5; and what is said of files not read."""

import io
import json
import os
import sys
import time
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distillset.errors import InputError
from distillset.sources import hugging_face
from distillset.sources.array_roles import Roles, role_of
from distillset.sources.known import KNOWN
from distillset.sources.load import Data, load
from distillset.watch import Watcher
from tests.sources import published
from tests.sources.on_disk import channels_first, picture, png, write_classes


def quietly(data: Any, **options: Any) -> Data:
    return load(data, watcher=Watcher(), **options)


GREY = np.stack([picture(n, 5, 7, 1) for n in range(12)])
LABELS = np.arange(12) % 3
TEST, TEST_LABELS = GREY[::-1].copy(), LABELS[::-1].copy()


def check(data: Data, labels: Any = LABELS) -> None:
    assert data.train.images.tolist() == GREY[:, None].tolist()
    assert data.test.images.tolist() == TEST[:, None].tolist()
    assert data.train.labels.tolist() == labels.tolist()
    assert data.test.labels.tolist() == labels[::-1].tolist()


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


# --- webdataset ------------------------------------------------------------------------------------------------------

PICTURES = [picture(n) for n in range(8)]


def samples(first: int, last: int, label: Callable[[int], dict[str, bytes]]) -> list[dict[str, bytes]]:
    return [{"png": png(PICTURES[n]), **label(n)} for n in range(first, last)]


def cls(n: int) -> dict[str, bytes]:
    return {"cls": str(n % 2).encode()}


@pytest.mark.parametrize(
    "label",
    [
        cls,
        lambda n: {"cls": f"{n % 2}\n".encode()},
        lambda n: {"json": json.dumps({"label": n % 2, "key": n}).encode()},
        lambda n: {"json": json.dumps({"cls": n % 2, "index": n}).encode(), "txt": b"a caption"},
        lambda n: {"cls": ("cat", "dog")[n % 2].encode()},
    ],
)
@pytest.mark.parametrize(
    "names",
    [("train/00000.tar", "train/00001.tar", "test/00000.tar"), ("x-train-000.tar", "x-train-001.tar", "x-val-000.tar")],
)
def test_shards_of_webdataset(tmp_path: Path, names: tuple[str, ...], label: Any) -> None:
    for name, (first, last) in zip(names, ((0, 3), (3, 6), (6, 8)), strict=True):
        published.shard(tmp_path / "w" / name, samples(first, last, label), first)
    data = quietly(tmp_path / "w")
    assert data.train.images.tolist() == channels_first(PICTURES[:6]).tolist()
    assert data.test.images.tolist() == channels_first(PICTURES[6:]).tolist()
    assert data.train.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert data.test.labels.tolist() == [0, 1]
    assert data.notes == ()


def test_one_shard_by_path_and_members_that_are_no_samples(tmp_path: Path) -> None:
    published.shard(tmp_path / "w.tar", [*samples(0, 8, cls), {"__meta__": b"x"}])
    data = quietly(tmp_path / "w.tar")
    assert (len(data.train), len(data.test)) == (6, 2)


def test_shards_that_cannot_be_used(tmp_path: Path) -> None:
    published.shard(tmp_path / "w.tar", [*samples(0, 3, cls), {"png": png(PICTURES[3])}])
    with pytest.raises(InputError, match=r"w\.tar, sample 000003: it has no label \(\.cls or \.json\)"):
        quietly(tmp_path / "w.tar")
    published.shard(tmp_path / "w.tar", [{"txt": b"hello"}])
    with pytest.raises(InputError, match=r"w\.tar: no sample of an image and a label; .* unpacked: tar xf"):
        quietly(tmp_path / "w.tar")
    published.shard(tmp_path / "w.tar", samples(0, 3, lambda n: {"json": b'{"caption": 1}'}))
    with pytest.raises(InputError, match=r"sample 000000: its \.json has no field label; the fields that are read are"):
        quietly(tmp_path / "w.tar")
    published.shard(tmp_path / "w.tar", samples(0, 3, lambda n: {"json": b"[" * 100_000}))
    with pytest.raises(InputError, match=r"sample 000000: its json is not a label as text"):
        quietly(tmp_path / "w.tar")
    whole = published.shard(tmp_path / "w.tar", samples(0, 4, cls)).read_bytes()
    for cut in (100, 700, len(whole) // 2):
        (tmp_path / "w.tar").write_bytes(whole[:cut])
        with pytest.raises(InputError, match=r"w\.tar"):
            quietly(tmp_path / "w.tar")
    (tmp_path / "w.tar").write_bytes(os.urandom(5000))
    with pytest.raises(InputError, match=r"w\.tar: damaged, or not a \.tar file"):
        quietly(tmp_path / "w.tar")


def test_links_in_a_shard_lead_nowhere(tmp_path: Path) -> None:
    import tarfile

    (tmp_path / "secret.png").write_bytes(png(PICTURES[0]))
    with tarfile.open(tmp_path / "w.tar", "w") as archive:
        for n in range(4):
            member = tarfile.TarInfo(f"{n}.png")
            member.type, member.linkname = tarfile.SYMTYPE, str(tmp_path / "secret.png")
            archive.addfile(member)
            member = tarfile.TarInfo(f"{n}.cls")
            member.size = 1
            archive.addfile(member, io.BytesIO(b"01"[n % 2 : n % 2 + 1]))
    with pytest.raises(InputError, match=r"w\.tar: no sample of an image and a label"):
        quietly(tmp_path / "w.tar")


def test_an_archive_left_beside_folders_of_classes_is_not_a_shard(tmp_path: Path) -> None:
    write_classes(tmp_path / "d", {"a": PICTURES[:4], "b": PICTURES[4:]})
    published.shard(tmp_path / "d" / "backup.tar", [{"txt": b"hello"}])
    assert quietly(tmp_path / "d").train.spec.class_names == ("a", "b")


# --- HDF5 ------------------------------------------------------------------------------------------------------------


def test_hdf5_without_its_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    monkeypatch.setitem(sys.modules, "h5py", None)
    for path in (tmp_path / "d" / "a.h5", tmp_path / "d"):
        with pytest.raises(InputError, match=r"a\.h5: reading HDF5 needs the package h5py; .* distillset\[hdf5\]"):
            quietly(path)


class _Dataset:
    """Stands in for `h5py.Dataset`, as far as it is used: rows in ascending order and once only."""

    def __init__(self, array: Any, **options: Any) -> None:
        self.array, self.external, self.is_virtual, self.chunks = array, None, False, None
        self.shape, self.dtype, self.nbytes = array.shape, array.dtype, array.nbytes
        vars(self).update(options)

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, rows: Any) -> Any:
        assert not isinstance(rows, np.ndarray) or (np.diff(rows) > 0).all()
        return self.array[rows]


def _h5py(content: dict[str, Any]) -> types.ModuleType:
    class Link:
        pass

    class Group(dict[str, Any]):
        def get(self, name: str, default: Any = None, getlink: bool = False) -> Any:
            return Link() if not isinstance(self[name], str) else self[name]

    def tree(inner: dict[str, Any]) -> Group:
        return Group({name: tree(value) if isinstance(value, dict) else value for name, value in inner.items()})

    module = types.ModuleType("h5py")
    parts = {"File": lambda path, mode: tree(content), "HardLink": Link, "Dataset": _Dataset, "Group": Group}
    vars(module).update(parts)
    return module


def test_hdf5(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.h5").write_bytes(b"x" * 100)
    text = np.array([name.encode() for name in TEXT[LABELS]], object)
    whole: dict[str, Any] = {
        "train": {"images": _Dataset(GREY), "labels": _Dataset(text)},
        "test": {"images": _Dataset(TEST), "labels": _Dataset(text[::-1])},
        "other": _Dataset(GREY),
    }
    monkeypatch.setitem(sys.modules, "h5py", _h5py(whole))
    data = quietly(tmp_path / "a.h5")
    check(data)
    assert data.train.spec.class_names == tuple(TEXT)
    assert quietly(tmp_path / "a.h5", classes=["eel", "cat"]).train.spec.class_names == ("eel", "cat")
    for dataset, told in (
        (_Dataset(GREY, external=[("/etc/passwd", 0, 100)]), "the values of images lie in another file"),
        (_Dataset(GREY, is_virtual=True), "the values of images lie in another file"),
        (_Dataset(GREY, nbytes=2**40), "its arrays would unpack to 1,099,511,627,776 bytes from 100: .*bomb"),
        (_Dataset(GREY, chunks=(2**30, 5, 7)), "the chunks of images have 37,580,963,840 bytes"),
        ("a link", "images is a link; only arrays in the file itself are read"),
    ):
        monkeypatch.setitem(sys.modules, "h5py", _h5py({"images": dataset, "labels": _Dataset(LABELS)}))
        (tmp_path / "a.h5").touch()
        with pytest.raises(InputError, match=rf"a\.h5: {told}"):
            quietly(tmp_path / "a.h5")


def test_hdf5_of_the_package_itself(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x_train", data=GREY, compression="gzip", chunks=(2, 5, 7))
        file.create_dataset("y_train", data=LABELS)
        file.create_dataset("test/images", data=TEST)
        file.create_dataset("test/labels", data=TEST_LABELS)
    check(quietly(tmp_path / "a.h5"))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images"] = h5py.ExternalLink("/etc/passwd", "/")
        file["labels"] = LABELS
    with pytest.raises(InputError, match="images is a link"):
        quietly(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("images", shape=(10**9, 30, 30), dtype="u1")
        file["labels"] = LABELS
    with pytest.raises(InputError, match="bomb"):
        quietly(tmp_path / "a.h5")


# --- what is not read, and what is not there -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("cifar-10-python.tar.gz", r"unpack it \(tar xf cifar-10-python\.tar\.gz\) and name the folder"),
        ("imagenette2-160.tgz", r"unpack it \(tar xf imagenette2-160\.tgz\)"),
        ("data.zip", r"unpack it \(unzip data\.zip\)"),
        ("data.7z", r"unpack it \(7z x data\.7z\)"),
        ("train.csv.gz", r"unpack it \(gunzip train\.csv\.gz\)"),
        ("mnist.pkl", r"pickles run code when they are loaded; save arrays: numpy\.savez"),
        ("mnist.pkl.gz", r"unpack it|pickles run code"),
        ("images.pt", r"save real images as arrays: numpy\.savez; synthetic ones: distillset import"),
        ("a.tfrecord", r"save arrays with numpy\.savez"),
        ("a.beton", r"write its images to a folder for each class"),
        (
            "notes.docx",
            r"allowed are \.npz, \.safetensors, \.mat, \.h5, \.hdf5, \.hdf, \.tar, \.csv, .*idx files and folders",
        ),
    ],
)
def test_files_that_are_not_read_say_what_would_do(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InputError, match=rf"a file of this kind is not read; ({told})"):
        quietly(tmp_path / name)


def test_a_hub_out_of_reach_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    for variable in ("HF_HUB_CACHE", "HF_DATASETS_CACHE"):
        monkeypatch.delenv(variable, raising=False)
    for module in ("datasets", "huggingface_hub"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    begun = time.monotonic()
    with pytest.raises(InputError, match=r"svhn: not found on this machine.*out of reach.*looked for as svhn") as told:
        quietly("svhn", data_dir=tmp_path)
    assert time.monotonic() - begun < 1
    assert "datasets" not in sys.modules
    assert "\n" not in str(told.value)


def test_a_hub_that_answers_is_reachable_and_one_that_is_silent_is_waited_for_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import socket
    import threading

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        assert hugging_face.reachable()
        thread.join()
        monkeypatch.setattr(hugging_face, "PATIENCE", 0.1)
        assert not hugging_face.reachable()  # nobody answers now
    monkeypatch.setenv("HF_ENDPOINT", "file:///etc")
    assert not hugging_face.reachable()
