"""STL-10's binary files.

After https://cs.stanford.edu/~acoates/stl10: an image is 96x96, the red plane, then green and blue, each *column by
column*; labels are bytes from 1 to 10. The 100,000 images without labels are left.
"""

from pathlib import Path

import numpy as np

from distillset.errors import InputError
from distillset.sources.raw_arrays import array_split, names_under, whole_file
from distillset.sources.splits import Split

SIDE = 96
PIXELS = 3 * SIDE * SIDE
LARGEST = 2**32


def is_stl10(folder: Path) -> bool:
    """Whether the names in a folder are those of these files."""
    names = names_under(folder)
    return any(f"{split}_x.bin" in names for split in ("train", "test"))


def open_stl10(folder: Path) -> dict[str, Split]:
    """The splits of such a folder.

    Raises:
        InputError: a file is missing, cut short, or of another kind.
    """
    names = names_under(folder)
    classes = None
    if "class_names.txt" in names:
        lines = whole_file(names["class_names.txt"], 2**16).decode("utf-8", "replace").splitlines()
        classes = tuple(line.strip() for line in lines if line.strip())
    return {split: _split(folder, split, names, classes) for split in ("train", "test") if f"{split}_x.bin" in names}


def _split(folder: Path, split: str, names: dict[str, Path], classes: tuple[str, ...] | None) -> Split:
    images = names[f"{split}_x.bin"]
    if f"{split}_y.bin" not in names:
        raise InputError.about(f"{folder / f'{split}_y.bin'}", f"no such file; the labels of {images.name} lie in it")
    size = images.stat().st_size if images.is_file() else 0
    if not 0 < size <= LARGEST or size % PIXELS:
        raise InputError.about(images, f"{size} bytes; needed are {PIXELS} for each image: cut short, or another file")
    pixels = np.memmap(images, np.uint8, "r", shape=(size // PIXELS, 3, SIDE, SIDE)).transpose(0, 1, 3, 2)
    labels = np.frombuffer(whole_file(names[f"{split}_y.bin"], 2**24), np.uint8).astype(np.int64) - 1
    return array_split(str(images), pixels, labels, classes)
