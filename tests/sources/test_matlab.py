"""The reader of ``.mat`` files against what SciPy writes, and against files that are damaged or hostile."""

import contextlib
import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distillset.errors import InputError
from distillset.sources.load import load
from distillset.sources.matlab import read_mat
from distillset.watch import Watcher
from tests.sources.published import element, images, mat

VARIABLES: dict[str, Any] = {
    "X": np.arange(120, dtype=np.uint8).reshape(2, 3, 4, 5),
    "y": np.array([[1], [10], [3]], np.uint8),
    "f": np.array([[0.5, -1.0]]),
    "i": np.arange(-3, 3, dtype=np.int16).reshape(2, 3),
    "name": "hello",
    "s": {"a": np.array([[7]], np.int32), "t": {"b": "deep"}},
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.filterwarnings("ignore")
def test_what_scipy_writes_is_read(tmp_path: Path, packed: bool) -> None:
    import scipy.io

    records = np.array([("n1", 3), ("n2", 1)], dtype=[("WNID", object), ("ID", object)])
    more = {"logical": np.array([[True, False]]), "complex": np.array([[1j]]), "list": np.array([[1, "a"]], object)}
    scipy.io.savemat(tmp_path / "a.mat", {**VARIABLES, "r": records, **more}, do_compression=packed)
    found = read_mat(tmp_path / "a.mat")
    for name in ("X", "y", "f", "i"):
        assert found[name].dtype == VARIABLES[name].dtype
        assert np.array_equal(found[name], VARIABLES[name])
    assert found["name"] == "hello"
    assert found["s"]["a"].tolist() == [[7]]
    assert found["s"]["t"] == {"b": "deep"}
    assert [(record["WNID"], record["ID"].item()) for record in found["r"]] == [("n1", 3), ("n2", 1)]
    assert found["logical"].tolist() == [[1, 0]]
    assert "complex" not in found  # passed over, as are cells
    assert "list" not in found


@pytest.mark.parametrize("packed", [False, True])
def test_what_the_tests_write_is_read_by_scipy(packed: bool) -> None:
    import scipy.io

    found = scipy.io.loadmat(io.BytesIO(mat({name: VARIABLES[name] for name in "Xyf"}, packed)))
    assert all(np.array_equal(found[name], VARIABLES[name]) for name in "Xyf")
    dataset = scipy.io.loadmat(io.BytesIO(mat({"s": VARIABLES["s"]}, packed)), simplify_cells=True)["s"]
    assert (int(dataset["a"]), dataset["t"]["b"]) == (7, "deep")


HEAD = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x0100) + b"IM"


def packed_element(kind: int, declared: int, content: bytes) -> bytes:
    body = zlib.compress(struct.pack("<II", kind, declared) + content)
    return HEAD + struct.pack("<II", 15, len(body)) + body


NESTED = element(6, struct.pack("<II", 2, 0)) + element(5, struct.pack("<2i", 1, 1)) + element(1, b"s", small=True)
NESTED += element(5, struct.pack("<i", 32), small=True) + element(1, b"a".ljust(32, b"\0"))


def nested(levels: int) -> bytes:
    body = b""
    for _ in range(levels):
        body = element(14, NESTED + body)
    return HEAD + body


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "not a .mat file"),
        (b"x" * 500, "not a .mat file"),
        (HEAD + b"abc" * 10, "cut short|damaged"),
        (mat({"X": np.zeros((4, 4))}, packed=False)[:-20], "cut short"),
        (mat({"X": np.zeros((4, 4))})[:-20], "cut short"),
        (packed_element(14, 2**31, b""), "its variables would unpack to 2,147,483,648 bytes from .* bomb"),
        (packed_element(14, 1000, b"x" * 10), "cut short, or damaged"),
        (HEAD + element(14, b"\xff" * 64), "damaged|cut short|unknown"),
        (HEAD[:-2] + b"XX" + element(14, b""), "not a .mat file"),
        (nested(40), "structures of more than 6 levels|damaged"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 600, r"version 7\.3, which is HDF5; rename it to \.h5"),
        (b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF\r\n\x1a\n", r"version 7\.3"),
    ],
)
def test_damaged_and_hostile_files_are_one_line(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(InputError, match=rf"a\.mat: .*({told})") as refused:
        read_mat(tmp_path / "a.mat")
    assert "\n" not in str(refused.value)


def test_a_shape_that_its_values_do_not_fill_is_refused(tmp_path: Path) -> None:
    content = mat({"X": np.zeros((2, 3), np.uint8)}, packed=False).replace(
        struct.pack("<2i", 2, 3), struct.pack("<2i", 2**30, 3)
    )
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(InputError, match=r"the array 'X' has 6 values; its shape \[1073741824, 3\] needs 3221225472"):
        read_mat(tmp_path / "a.mat")


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_flipped_bytes_are_an_input_error_or_values(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    some = {name: VARIABLES[name] for name in ("X", "y", "name", "s")}
    content = bytearray(mat(some, packed=data.draw(st.booleans())))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(120, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "flipped.mat"
    path.write_bytes(bytes(content))
    with contextlib.suppress(InputError):
        assert isinstance(read_mat(path), dict)


def test_any_file_with_images_and_labels(tmp_path: Path) -> None:
    pixels, labels = images(12, 6, 5), np.arange(12) % 3
    turned = pixels.transpose(2, 3, 1, 0)  # MATLAB counts images in the last side
    test = {"test_images": turned, "test_labels": labels.astype(np.uint8)[:, None]}
    train = {"images": turned, "labels": labels.astype(np.float64)[None], "note": "x"}
    (tmp_path / "mine.mat").write_bytes(mat({**train, **test}))
    for path in (tmp_path / "mine.mat", tmp_path):
        data = load(path, watcher=Watcher())
        assert np.array_equal(data.train.images.numpy(), pixels)
        assert data.train.labels.tolist() == data.test.labels.tolist() == labels.tolist()
    (tmp_path / "mine.mat").write_bytes(mat({"A": turned, "b": np.array([[1.5]])}))
    with pytest.raises(InputError, match=r"mine\.mat: no array images; found A, b; needed are images, labels"):
        load(tmp_path / "mine.mat", watcher=Watcher())
