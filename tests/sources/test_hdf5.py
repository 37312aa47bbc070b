"""HDF5 files."""

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distillset.errors import InputError
from tests.sources.arrays import GREY, LABELS, TEST, TEST_LABELS, check, quietly

TEXT = np.array(["cat", "dog", "eel"])


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
