"""Arrays in a file: ``.safetensors`` (memory-mapped) or ``.npz``; never a pickle."""

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from torch import Tensor

from distillset.data import arrays
from distillset.data.splits import Split, rows_of_tensor
from distillset.errors import InputError

SUFFIXES = (".npz", ".safetensors")
NAMES = ("images", "labels", "test_images", "test_labels")


def open_arrays(path: Path) -> dict[str, Split]:
    """The splits of a file with the arrays ``images`` and ``labels``, and perhaps ``test_images`` and ``test_labels``.

    Images are [N, C, H, W], [N, H, W, C] or [N, H, W], uint8 or floating point in [0, 1]; labels are whole numbers or
    names [N], or one-hot rows [N, classes].

    Raises:
        InputError: the file cannot be read or holds pickled objects; an array is missing, or of another shape or type.
    """
    names, found = _read_npz(path) if path.suffix == ".npz" else _read_safetensors(path)
    parts = {"train": ("images", "labels")}
    if "test_images" in names or "test_labels" in names:
        parts["test"] = ("test_images", "test_labels")
    for name in (name for pair in parts.values() for name in pair):
        if name not in found:
            raise InputError(
                f"{path}: no array {name}; found {', '.join(names) or 'nothing'}; needed are images, labels"
            )
    return {
        part: _split(path, images, found[images], labels, found[labels]) for part, (images, labels) in parts.items()
    }


def _split(path: Path, images: str, stored: Any, labels: str, given: Any) -> Split:
    what = f"{path}, {images}"
    pixels = arrays.channels_first(arrays.tensor(stored, what), what)
    numbers, class_names = arrays.labels(given, f"{path}, {labels}")
    if len(pixels) != len(numbers):
        raise InputError(
            f"{path}: {len(pixels)} {images} but {len(numbers)} {labels}; there must be one label per image"
        )

    def read(rows: Sequence[int]) -> Tensor:
        return arrays.to_bytes(rows_of_tensor(pixels, rows), what, rows)

    return Split(
        name=what,
        labels=numbers,
        class_names=class_names,
        read=read,
        row=lambda row: f"{path}, {images}, row {row}",
    )


def _read_safetensors(path: Path) -> tuple[list[str], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            return names, {name: file.get_tensor(name) for name in names if name in NAMES}
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path}: damaged, or not a safetensors file ({error})") from None


def _read_npz(path: Path) -> tuple[list[str], dict[str, Any]]:
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path}: damaged, or not an .npz file as numpy.savez writes it")
    try:
        with np.load(path, allow_pickle=False) as file:
            return file.files, {name: file[name] for name in file.files if name in NAMES}
    except (OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        if "allow_pickle" in str(error):
            raise InputError(
                f"{path}: it holds pickled objects, which are never loaded; save arrays of numbers"
            ) from None
        raise InputError(f"{path}: damaged, or not an .npz file ({' '.join(str(error).split())})") from None
