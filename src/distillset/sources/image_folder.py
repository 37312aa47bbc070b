"""A folder with one sub-folder of images a class, with or without a level of train and test folders above them."""

from collections.abc import Iterable
from pathlib import Path

import torch

from distillset.errors import InputError
from distillset.sources.splits import TEST_SPLITS, TRAIN_SPLITS, Split

ANNOTATIONS = "val_annotations.txt"

TABLES = {".csv": "csv", ".jsonl": "json", ".parquet": "parquet"}
"""Files that may list images, and what `datasets` calls their kind."""

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
    if (path / "val" / ANNOTATIONS).is_file():
        return _tiny_imagenet(path)
    if listing(path):
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


def listing(path: Path) -> list[Path]:
    """The tables of a folder that list its images; none where there are no images, or their folders are classes.

    They do so where the images lie beside them, or in a single folder, or in folders that are called like splits.
    """
    tables = [entry for entry in _visible(path) if entry.suffix.lower() in TABLES and entry.is_file()]
    if not tables:
        return []
    folders = [folder for folder in _folders(path) if _images(folder)]
    splits = all(folder.name.lower() in (*TRAIN_SPLITS, *TEST_SPLITS) for folder in folders)
    found = (bool(folders) and (len(folders) == 1 or splits)) or (not folders and bool(_images(path)))
    return tables if found else []


def _classes(path: Path, folders: list[Path], name: str, inner: str = "") -> Split:
    files: list[Path] = []
    labels: list[int] = []
    for label, folder in enumerate(folders):
        images = _images(folder / inner)
        if not images:
            raise InputError(f"{folder}: no images in the folder of this class; each class needs at least one")
        files += images
        labels += [label] * len(images)
    return _split(name, files, labels, tuple(folder.name for folder in folders))


def _tiny_imagenet(path: Path) -> dict[str, Split]:
    """The layout in which Tiny ImageNet is handed out: the classes of ``val`` stand in a file; ``test`` has none.

    Raises:
        InputError: a line of that file is not ``FILE CLASS ...``, or its class is not in ``train``.
    """
    folders = _folders(path / "train")
    names = tuple(folder.name for folder in folders)
    numbers = {name: number for number, name in enumerate(names)}
    annotations = path / "val" / ANNOTATIONS
    files: list[Path] = []
    labels: list[int] = []
    try:
        lines = annotations.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{annotations}: cannot be read ({error})") from None
    for number, line in enumerate(lines, start=1):
        fields = line.split()
        if len(fields) < 2 or fields[1] not in numbers:
            raise InputError(
                f"{annotations}, line {number}: {line!r}; needed are a file's name and one of the {len(names)} classes"
            )
        files.append(path / "val" / "images" / fields[0])
        labels.append(numbers[fields[1]])
    return {
        "train": _classes(path, folders, f"{path}, split train", "images"),
        "val": _split(f"{path}, split val", files, labels, names),
    }


def _split(name: str, files: list[Path], labels: list[int], class_names: tuple[str, ...]) -> Split:
    return Split(
        name=name,
        labels=torch.tensor(labels, dtype=torch.int64),
        class_names=class_names,
        read=lambda rows: [files[row] for row in rows],
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
