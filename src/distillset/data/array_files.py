"""Arrays in a file: ``.safetensors`` (memory-mapped) or ``.npz``; never a pickle."""

import zipfile
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from torch import Tensor

from distillset.data import arrays
from distillset.data.splits import Split, file_rows
from distillset.errors import InputError

SUFFIXES = (".npz", ".safetensors")
NAMES = ("images", "labels", "test_images", "test_labels")


def open_arrays(path: Path) -> dict[str, Split]:
    """The splits of a file with the arrays ``images`` and ``labels``, and perhaps ``test_images`` and ``test_labels``.

    Images are [N, C, H, W], [N, H, W, C] or [N, H, W], uint8 or floating point in [0, 1]; labels whole numbers [N].

    Raises:
        InputError: the file cannot be read or holds pickled objects; an array is missing, or of another shape or type.
    """
    found = _read_npz(path) if path.suffix == ".npz" else _read_safetensors(path)
    splits = {"train": _split(path, found, "images", "labels")}
    if "test_images" in found or "test_labels" in found:
        splits["test"] = _split(path, found, "test_images", "test_labels")
    return splits


def _split(path: Path, found: dict[str, Tensor], images: str, labels: str) -> Split:
    for name in (images, labels):
        if name not in found:
            held = ", ".join(found) or "nothing"
            raise InputError(f"{path}: there is no array {name}; found {held}; needed are images and labels")
    what = f"{path}, {images}"
    pixels = arrays.channels_first(found[images], what)
    numbers = arrays.labels(found[labels], f"{path}, {labels}")
    if len(pixels) != len(numbers):
        raise InputError(
            f"{path}: {len(pixels)} {images} but {len(numbers)} {labels}; there must be one label per image"
        )
    return Split(
        name=what,
        labels=numbers,
        class_names=None,
        read=lambda start, stop: arrays.to_bytes(pixels[start:stop], what, start),
        row=file_rows(path),
    )


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys() if name in NAMES}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path}: damaged, or not a safetensors file ({error})") from None


def _read_npz(path: Path) -> dict[str, Tensor]:
    try:
        with np.load(path, allow_pickle=False) as file:
            if isinstance(file, np.ndarray):
                raise InputError(f"{path}: a single array found; needed are images and labels (numpy.savez)")
            return {name: arrays.tensor(file[name], f"{path}, {name}") for name in file.files if name in NAMES}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, InputError):
            raise
        if "allow_pickle" in str(error):
            raise InputError(
                f"{path}: it holds pickled objects, which are never loaded; save plain arrays of numbers"
            ) from None
        raise InputError(f"{path}: damaged, or not an .npz file ({' '.join(str(error).split())})") from None
