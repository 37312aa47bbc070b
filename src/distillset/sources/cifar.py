"""CIFAR-10 and CIFAR-100 as they are handed out: the Python version and the binary version.

After the description at https://www.cs.toronto.edu/~kriz/cifar.html: an image is 3,072 bytes, the red plane, then green
and blue, each row by row. The Python version holds them in pickles, which `pickled` reads; of CIFAR-100 the fine labels
are taken.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distillset.errors import InputError
from distillset.sources.pickled import read_pickle
from distillset.sources.raw_arrays import array_split, names_under, whole_file
from distillset.sources.splits import Split

FOLDERS = ("cifar-10-batches-py", "cifar-10-batches-bin", "cifar-100-python", "cifar-100-binary")
SHAPE = (3, 32, 32)
PIXELS = 3 * 32 * 32
LARGEST = 2**29
"""Bytes of a file; the largest of the published ones has 155 million."""

TEN = [f"data_batch_{number}" for number in range(1, 6)]


def is_cifar(folder: Path) -> bool:
    """Whether the names in a folder are those of one of the four versions, as far as it was copied."""
    return _kind(names_under(folder)) is not None


def _kind(names: dict[str, Path]) -> str | None:
    ten_python = any(name in names for name in (*TEN, "test_batch"))
    if ten_python and not any(name.endswith(".bin") for name in names):
        return "10 python"
    if any(f"{name}.bin" in names for name in TEN):
        return "10 binary"
    if "train" in names and names["train"].is_file() and "meta" in names:
        return "100 python"
    if "train.bin" in names and ("fine_label_names.txt" in names or "coarse_label_names.txt" in names):
        return "100 binary"
    return None


def open_cifar(folder: Path) -> dict[str, Split]:
    """The splits of such a folder.

    Raises:
        InputError: a file is missing, damaged, or of another kind.
    """
    names = names_under(folder)
    kind = _kind(names)
    if kind in ("10 python", "10 binary"):
        suffix = ".bin" if kind == "10 binary" else ""
        parts = {"train": [name + suffix for name in TEN], "test": ["test_batch" + suffix]}
    else:
        suffix = ".bin" if kind == "100 binary" else ""
        parts = {"train": ["train" + suffix], "test": ["test" + suffix]}
    if "test" in parts and parts["test"][0] not in names:
        del parts["test"]
    for wanted in (name for files in parts.values() for name in files):
        if wanted not in names:
            raise InputError.about(
                folder / wanted, f"no such file; the training images of this set lie in {_all(parts)}"
            )
    ten = kind in ("10 python", "10 binary")
    classes = _class_names(names, ten, suffix)
    return {
        split: _split(folder, split, [names[name] for name in parts[split]], ten, suffix, classes) for split in parts
    }


def _all(parts: dict[str, list[str]]) -> str:
    return ", ".join(parts["train"])


def _split(
    folder: Path, split: str, files: list[Path], ten: bool, suffix: str, classes: tuple[str, ...] | None
) -> Split:
    read = _binary if suffix else _batch
    batches = [read(file, ten) for file in files]
    pixels = np.concatenate([part for part, _ in batches]) if len(batches) > 1 else batches[0][0]
    labels = np.concatenate([part for _, part in batches])
    ends = np.cumsum([len(part) for part, _ in batches])

    def row(number: int) -> str:
        place = int(np.searchsorted(ends, number, side="right"))
        return f"{files[place]}, row {number - (int(ends[place - 1]) if place else 0)}"

    return array_split(f"{folder}, split {split}", pixels.reshape(-1, *SHAPE), labels, classes, row)


def _binary(file: Path, ten: bool) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """Records of one label and an image; of CIFAR-100 two labels, the coarse one first."""
    content, size = whole_file(file, LARGEST), PIXELS + (1 if ten else 2)
    if not content or len(content) % size:
        raise InputError.about(
            file, f"{len(content)} bytes; needed are {size} for each image: damaged, or another file"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, size)
    return records[:, -PIXELS:], records[:, size - PIXELS - 1]


def _batch(file: Path, ten: bool) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    batch = _dict(file)
    field = "labels" if ten else "fine_labels"
    pixels, labels = batch.get("data"), batch.get(field)
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.shape[1] != PIXELS:
        raise InputError.about(file, f"no array data of uint8 [N, {PIXELS}]; this is not a batch of CIFAR")
    whole = isinstance(labels, list) and all(isinstance(label, int) and 0 <= label < 2**31 for label in labels)
    if isinstance(labels, np.ndarray) and labels.ndim == 1 and labels.dtype.kind in "iu":
        return pixels, labels
    if not whole:
        raise InputError.about(file, f"no list {field} of whole numbers; this is not a batch of CIFAR")
    return pixels, np.array(labels, dtype=np.int64)


def _dict(file: Path) -> dict[str, Any]:
    """The fields of a pickled dict; Python 2 wrote their names as bytes."""
    value = read_pickle(whole_file(file, LARGEST), str(file))
    if not isinstance(value, dict):
        raise InputError.about(file, f"a {type(value).__name__} found; a dict, as CIFAR's batches are, is needed")
    return {_text(key): item for key, item in value.items() if isinstance(key, str | bytes)}


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _class_names(names: dict[str, Path], ten: bool, suffix: str) -> tuple[str, ...] | None:
    """The names of the classes where their file was copied as well."""
    name = ("batches.meta" if ten else "meta" if not suffix else "fine_label_names") + (".txt" if suffix else "")
    if name not in names:
        return None
    if suffix:
        lines = whole_file(names[name], 2**20).decode("utf-8", "replace").splitlines()
        names_of_classes: Any = [line.strip() for line in lines if line.strip()]
    else:
        names_of_classes = _dict(names[name]).get("label_names" if ten else "fine_label_names")
    if (
        not isinstance(names_of_classes, list)
        or not all(isinstance(item, str | bytes) for item in names_of_classes)
        or len(names_of_classes) < 2
    ):
        raise InputError.about(names[name], "no list of the names of the classes")
    return tuple(_text(item) for item in names_of_classes)
