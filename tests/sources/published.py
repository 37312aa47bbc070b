"""Published sets in miniature, in the forms in which they are handed out, byte by byte as their descriptions say."""

import gzip
import io
import struct
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.sources.on_disk import picture, png

# --- pickles, written by hand: the lint allows nothing that could load one -------------------------------------------


def pickled(value: Any, protocol: int = 2) -> bytes:
    """A pickle of plain values and arrays, as Python 2 (``bytes`` as its text) or 3 wrote them."""
    frame = b"\x95" + struct.pack("<Q", 0) if protocol >= 4 else b""
    return b"\x80" + bytes([protocol]) + frame + _value(value, protocol) + b"."


def _value(value: Any, protocol: int) -> bytes:
    if value is None:
        return b"N"
    if isinstance(value, bool):
        return b"\x88" if value else b"\x89"
    if isinstance(value, int):
        if 0 <= value < 256:
            return b"K" + bytes([value])
        return b"J" + struct.pack("<i", value)
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, bytes):
        short, long = (b"U", b"T") if protocol == 2 else (b"C", b"B")
        return short + bytes([len(value)]) + value if len(value) < 256 else long + struct.pack("<I", len(value)) + value
    if isinstance(value, str):
        raw = value.encode()
        return b"\x8c" + bytes([len(raw)]) + raw if protocol >= 4 else b"X" + struct.pack("<I", len(raw)) + raw
    if isinstance(value, tuple):
        return b"(" + b"".join(_value(item, protocol) for item in value) + b"t"
    if isinstance(value, list):
        return b"](" + b"".join(_value(item, protocol) for item in value) + b"e"
    if isinstance(value, dict):
        return b"}(" + b"".join(_value(k, protocol) + _value(v, protocol) for k, v in value.items()) + b"u"
    return _array(np.asarray(value), protocol)


def named(module: str, name: str, protocol: int = 2) -> bytes:
    """The instruction that names a function."""
    if protocol >= 4:
        return _value(module, 4) + _value(name, 4) + b"\x93"
    return b"c" + module.encode() + b"\n" + name.encode() + b"\n"


def _array(array: NDArray[Any], protocol: int) -> bytes:
    core = "numpy._core" if protocol >= 4 else "numpy.core"
    code = f"{array.dtype.kind}{array.dtype.itemsize}".encode()
    kind: Any = code if protocol == 2 else code.decode()
    dtype = named("numpy", "dtype", protocol) + _value((kind, 0, 1), protocol) + b"R"
    order: Any = b"|" if array.dtype.itemsize == 1 else b"<"
    state = (3, order if protocol == 2 else order.decode(), None, None, None, -1, -1, 0)
    dtype += _value(state, protocol) + b"b"
    if protocol == 5:
        raw = array.tobytes()
        buffer = b"\x96" + struct.pack("<Q", len(raw)) + raw
        tail = _value(array.shape, protocol) + _value("C", protocol)
        return named(f"{core}.numeric", "_frombuffer", 5) + b"(" + buffer + dtype + tail + b"tR"
    start = named(f"{core}.multiarray", "_reconstruct", protocol) + b"q\x01"
    start += b"(" + named("numpy", "ndarray", protocol) + _value((0,), protocol) + _value(b"b", protocol) + b"tR"
    fortran = bool(array.flags.f_contiguous and not array.flags.c_contiguous)
    raw = array.tobytes(order="F" if fortran else "C")
    content = b"(" + b"K\x01" + _value(array.shape, protocol) + dtype + _value(fortran, protocol)
    return start + content + _value(raw, protocol) + b"tb"


# --- CIFAR -----------------------------------------------------------------------------------------------------------

Pixels = NDArray[np.uint8]


def images(count: int, height: int = 32, width: int = 32, seed: int = 0) -> Pixels:
    """Random pixels [N, 3, H, W]."""
    return np.random.default_rng(seed).integers(0, 256, (count, 3, height, width), dtype=np.uint8)


TEN = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def cifar10_python(folder: Path, protocol: int = 2, each: int = 10) -> tuple[Pixels, Pixels]:
    """``cifar-10-batches-py``: (train, test); the label of image n is n modulo 10."""
    folder.mkdir(parents=True)
    pixels = images(6 * each)

    def text(name: str) -> Any:
        return name.encode() if protocol == 2 else name

    for number in range(6):
        rows = range(number * each, (number + 1) * each)
        name = f"data_batch_{number + 1}" if number < 5 else "test_batch"
        batch = {
            text("batch_label"): text(f"batch {number + 1} of 6"),
            text("labels"): [row % 10 for row in rows],
            text("data"): pixels[rows.start : rows.stop].reshape(each, -1),
            text("filenames"): [text(f"{row}.png") for row in rows],
        }
        (folder / name).write_bytes(pickled(batch, protocol))
    meta = {text("label_names"): [text(name) for name in TEN], text("num_cases_per_batch"): each}
    (folder / "batches.meta").write_bytes(pickled(meta, protocol))
    (folder / "readme.html").write_text("x")
    return pixels[: 5 * each], pixels[5 * each :]


def cifar10_binary(folder: Path, each: int = 10) -> tuple[Pixels, Pixels]:
    """``cifar-10-batches-bin``."""
    folder.mkdir(parents=True)
    pixels = images(6 * each)
    for number in range(6):
        rows = range(number * each, (number + 1) * each)
        name = f"data_batch_{number + 1}.bin" if number < 5 else "test_batch.bin"
        (folder / name).write_bytes(b"".join(bytes([row % 10]) + pixels[row].tobytes() for row in rows))
    (folder / "batches.meta.txt").write_text("\n".join(TEN) + "\n\n")
    return pixels[: 5 * each], pixels[5 * each :]


def cifar100_python(folder: Path) -> tuple[Pixels, Pixels]:
    """``cifar-100-python`` with four fine classes; the fine label of image n is n modulo 4, the coarse one modulo 2."""
    folder.mkdir(parents=True)
    pixels = images(12)
    for name, rows in (("train", range(8)), ("test", range(8, 12))):
        batch = {
            b"data": pixels[rows.start : rows.stop].reshape(len(rows), -1),
            b"fine_labels": [row % 4 for row in rows],
            b"coarse_labels": [row % 2 for row in rows],
        }
        (folder / name).write_bytes(pickled(batch))
    meta = {b"fine_label_names": [b"apple", b"bed", b"cup", b"dog"], b"coarse_label_names": [b"thing", b"being"]}
    (folder / "meta").write_bytes(pickled(meta))
    (folder / "file.txt~").write_text("")
    return pixels[:8], pixels[8:]


def cifar100_binary(folder: Path) -> tuple[Pixels, Pixels]:
    """``cifar-100-binary`` with the same."""
    folder.mkdir(parents=True)
    pixels = images(12)
    for name, rows in (("train.bin", range(8)), ("test.bin", range(8, 12))):
        (folder / name).write_bytes(b"".join(bytes([row % 2, row % 4]) + pixels[row].tobytes() for row in rows))
    (folder / "fine_label_names.txt").write_text("apple\nbed\ncup\ndog\n")
    (folder / "coarse_label_names.txt").write_text("thing\nbeing\n")
    return pixels[:8], pixels[8:]


# --- idx -------------------------------------------------------------------------------------------------------------


def idx(array: NDArray[Any]) -> bytes:
    """An idx file of unsigned bytes."""
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(np.uint8).tobytes()


def mnist(
    folder: Path, packed: bool = False, prefix: str = "", classes: int = 10, first: int = 0, dot: bool = False
) -> tuple[Pixels, Pixels]:
    """The four files of MNIST: (train, test) [N, 28, 28]; the label of image n is ``first`` + n modulo ``classes``."""
    folder.mkdir(parents=True, exist_ok=True)
    grey = images(60, 28, 28)[:, 0]
    test = "test" if prefix else "t10k"
    for split, rows in (("train", range(40)), (test, range(40, 60))):
        numbers = np.array([first + row % classes for row in rows])
        for what, array in (("images", grey[rows.start : rows.stop]), ("labels", numbers)):
            name = f"{prefix}{split}-{what}{'.' if dot else '-'}idx{array.ndim}-ubyte"
            content = idx(array)
            (folder / (name + ".gz" if packed else name)).write_bytes(gzip.compress(content) if packed else content)
    return grey[:40], grey[40:]


# --- MATLAB ----------------------------------------------------------------------------------------------------------

_STORED = {"|u1": (2, 9), "<i4": (5, 12), "<f8": (9, 6), "<u2": (4, 11)}


def element(kind: int, content: bytes, small: bool = False) -> bytes:
    """An element, filled up to eight bytes."""
    if small and len(content) <= 4:
        return struct.pack("<HH", kind, len(content)) + content.ljust(4, b"\0")
    return struct.pack("<II", kind, len(content)) + content + b"\0" * (-len(content) % 8)


def matrix(name: str, value: Any) -> bytes:
    """A variable: an array, text, a dict (a structure) or a list of dicts."""
    if isinstance(value, str):
        kind, shape = 4, (1, len(value))
        body = element(16, value.encode())
    elif isinstance(value, dict | list):
        records = value if isinstance(value, list) else [value]
        kind, shape = 2, (len(records), 1)
        fields = list(records[0])
        body = element(5, struct.pack("<i", 32), small=True)
        body += element(1, b"".join(field.encode().ljust(32, b"\0") for field in fields))
        body += b"".join(matrix("", record[field]) for record in records for field in fields)
    else:
        stored, kind = _STORED[value.dtype.newbyteorder("<").str if value.dtype.itemsize > 1 else "|u1"]
        shape = value.shape
        body = element(stored, value.tobytes(order="F"))
    head = element(6, struct.pack("<II", kind, 0)) + element(5, struct.pack(f"<{len(shape)}i", *shape))
    return element(14, head + element(1, name.encode(), small=True) + body)


def mat(variables: Mapping[str, Any], packed: bool = True) -> bytes:
    """A ``.mat`` file of version 5, its variables compressed or not."""
    head = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x0100) + b"IM"
    parts = [matrix(name, value) for name, value in variables.items()]
    if packed:
        parts = [struct.pack("<II", 15, len(body := zlib.compress(part))) + body for part in parts]
    return head + b"".join(parts)


def svhn(folder: Path, extra: bool = False) -> tuple[Pixels, Pixels]:
    """SVHN's cropped digits; the digit of image n is n modulo 10, and 0 is called 10."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = images(30)
    for name, rows in (("train", range(20)), ("test", range(20, 30)), ("extra", range(10))):
        if name != "extra" or extra:
            digits = np.array([row % 10 or 10 for row in rows], np.uint8)[:, None]
            turned = pixels[rows.start : rows.stop].transpose(2, 3, 1, 0)
            (folder / f"{name}_32x32.mat").write_bytes(mat({"X": turned, "y": digits}))
    return pixels[:20], pixels[20:]


def emnist_mat(file: Path, classes: int = 26, first: int = 1) -> tuple[Pixels, Pixels]:
    """One of EMNIST's files: a structure of structures; images stored column by column."""
    file.parent.mkdir(parents=True, exist_ok=True)
    grey = images(3 * classes, 28, 28)[:, 0]
    parts: dict[str, Any] = {}
    for name, rows in (("train", slice(0, 2 * classes)), ("test", slice(2 * classes, None))):
        numbers = (np.arange(len(grey[rows])) % classes + first).astype(np.float64)[:, None]
        parts[name] = {"images": grey[rows].reshape(-1, 784), "labels": numbers, "writers": numbers}
    mapping = np.array([[number, 64 + number] for number in range(1, classes + 1)], np.float64)
    file.write_bytes(mat({"dataset": {**parts, "mapping": mapping}}))
    return grey[: 2 * classes], grey[2 * classes :]


# --- STL-10, ImageNet and shards -------------------------------------------------------------------------------------


def stl10(folder: Path) -> tuple[Pixels, Pixels]:
    """STL-10's binary files: images column by column, labels from 1."""
    folder.mkdir(parents=True)
    pixels = images(6, 96, 96)
    for name, rows in (("train", range(4)), ("test", range(4, 6))):
        turned = pixels[rows.start : rows.stop].transpose(0, 1, 3, 2)
        (folder / f"{name}_X.bin").write_bytes(turned.tobytes())
        (folder / f"{name}_y.bin").write_bytes(bytes(1 + row % 2 for row in rows))
    (folder / "unlabeled_X.bin").write_bytes(b"x")
    (folder / "class_names.txt").write_text("airplane\nbird\n")
    (folder / "fold_indices.txt").write_text("0 1\n2 3\n")
    return pixels[:4], pixels[4:]


def synsets(folder: Path, wnids: Sequence[str], inner: str = "", val: str = "folders") -> Path:
    """A train folder of two images per class, and two for validation, in folders or flat, of each class in turn."""
    for label, wnid in enumerate(wnids):
        (folder / "train" / wnid / inner).mkdir(parents=True)
        for number in range(2):
            image = png(picture(10 * label + number))
            (folder / "train" / wnid / inner / f"{wnid}_{number}.JPEG").write_bytes(image)
    for number in range(2 * len(wnids)):
        wnid = wnids[number % len(wnids)]
        place = folder / "val" / {"folders": f"{wnid}/{inner}", "flat": "", "images": "images"}[val]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"ILSVRC2012_val_{number + 1:08}.JPEG").write_bytes(png(picture(100 + number)))
    return folder


def shard(file: Path, samples: Sequence[Mapping[str, bytes]], start: int = 0) -> Path:
    """A shard of webdataset: extension to content of each sample."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as archive:
        for number, sample in enumerate(samples, start=start):
            for extension, content in sample.items():
                member = tarfile.TarInfo(f"{number:06}.{extension}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return file
