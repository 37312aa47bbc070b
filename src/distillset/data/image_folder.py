"""A folder with one sub-folder of images a class, with or without a level of train and test folders above them."""

from collections.abc import Iterable
from pathlib import Path

import torch

from distillset.data.splits import TEST_SPLITS, TRAIN_SPLITS, Split
from distillset.errors import InputError

SUFFIXES = frozenset([".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"])


def open_image_folder(path: Path) -> dict[str, Split] | None:
    """The splits of an image folder; None where ``path`` is not laid out as one.

    Classes are the sub-folders in the order of their names, images the files in them in the order of theirs. The folder
    is read here and not by `datasets`, which takes a class called "train" or "val" for a split and drops the others.

    Raises:
        InputError: a class has no images.
    """
    folders = _folders(path)
    if any(_has_metadata(folder) for folder in (path, *folders)):
        return None
    if any(_images(folder) for folder in folders):
        return {"train": _classes(path, folders, str(path))}
    if folders and all(folder.name.lower() in (*TRAIN_SPLITS, *TEST_SPLITS) for folder in folders):
        levels = {folder: _folders(folder) for folder in folders}
        if all(any(_images(inner) for inner in inners) for inners in levels.values()):
            return {
                folder.name.lower(): _classes(folder, inners, f"{path}, split {folder.name}")
                for folder, inners in levels.items()
            }
    return None


def _classes(path: Path, folders: list[Path], name: str) -> Split:
    files: list[Path] = []
    labels: list[int] = []
    for label, folder in enumerate(folders):
        images = _images(folder)
        if not images:
            raise InputError(f"{folder}: no images in the folder of this class; each class needs at least one")
        files += images
        labels += [label] * len(images)
    return Split(
        name=name,
        labels=torch.tensor(labels, dtype=torch.int64),
        class_names=tuple(folder.name for folder in folders),
        read=lambda start, stop: files[start:stop],
        row=lambda row: f"{files[row]} (row {row})",
    )


def _folders(path: Path) -> list[Path]:
    return [entry for entry in _visible(path) if entry.is_dir()]


def _images(path: Path) -> list[Path]:
    return [entry for entry in _visible(path) if entry.suffix.lower() in SUFFIXES and entry.is_file()]


def _visible(path: Path) -> Iterable[Path]:
    try:
        return sorted(entry for entry in path.iterdir() if not entry.name.startswith((".", "__")))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None


def _has_metadata(path: Path) -> bool:
    """Whether the folder says itself what its images are, in a way that `datasets` reads."""
    return any((path / f"metadata.{suffix}").exists() for suffix in ("csv", "jsonl", "parquet"))
