"""Folders named by WordNet's numbers: ImageNet, Tiny ImageNet, Imagenette and their like, as they are handed out.

``train/n01440764/*.JPEG`` or, in Tiny ImageNet, ``train/n01440764/images/*.JPEG``. The validation images lie in folders
of the same names, or all in one, flat; then a list says their classes, of which five kinds are in use (`LISTS`).
Classes are called by their numbers in WordNet, ascending, whatever lists of English names lie beside them: that order
is the papers' order.
"""

import csv
import os
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import torch

from distillset.errors import InputError
from distillset.sources.kinds import COMMON, suffixes
from distillset.sources.matlab import read_mat
from distillset.sources.raw_arrays import names_under, whole_file
from distillset.sources.splits import Split, of_files

WNID = re.compile(r"n\d{8}")
NESTED = ("", "Data/CLS-LOC", "ILSVRC/Data/CLS-LOC", "tiny-imagenet-200")
"""Where below the folder that is given ``train`` may lie: Kaggle's download of ImageNet has it deep inside."""

PAIRS = ("val_annotations.txt", "LOC_val_solution.csv", "val.txt", "val_map.txt", "val_labels.txt", "val_list.txt")
ORDERED = ("imagenet_2012_validation_synset_labels.txt", "synset_labels.txt", "val_synsets.txt")
DEVKIT = "ILSVRC2012_validation_ground_truth.txt"
LISTS = f"{', '.join(PAIRS)} (a file and its class in a line), {', '.join(ORDERED)}, or {DEVKIT} with meta.mat"
LARGEST = 2**27
"""Bytes of a list; that of Kaggle, with boxes, has 2.3 million."""


def is_synsets(folder: Path) -> bool:
    """Whether a folder is laid out so and flat or deep inside, by names; plain folders of classes need no form."""
    root = _root(folder)
    if root is None:
        return False
    return root != folder or _is_flat(root / "val")


def _root(folder: Path) -> Path | None:
    """The folder with ``train``, or that of the classes themselves."""
    for nested in NESTED:
        if _classes(folder / nested / "train"):
            return folder / nested
    return folder if _classes(folder) else None


def _classes(folder: Path) -> list[str]:
    """The sub-folders, where all are called by numbers of WordNet, ascending."""
    classes = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith((".", "__")) or not entry.is_dir():
                    continue
                if not WNID.fullmatch(entry.name):
                    return []
                classes.append(entry.name)
    except OSError:
        return []
    return sorted(classes)


def open_synsets(folder: Path) -> dict[str, Split]:
    """The splits of such a folder.

    Raises:
        InputError: a list of the validation images cannot be read or names another class.
    """
    root = _root(folder)
    assert root is not None
    train = root / "train" if _classes(root / "train") else root
    wnids = _classes(train)
    splits = {"train": _in_folders(train, wnids, wnids)}
    if train == root:
        return splits
    for name in ("val", "test"):
        place = root / name
        if inner := _classes(place):
            splits[name] = _in_folders(place, inner, wnids)
        elif (flat := _flat(place)) is not None:
            splits[name] = _listed(folder, place, flat, wnids) if name == "val" else _unlabelled(place, flat, wnids)
    return splits


def _in_folders(folder: Path, inner: list[str], wnids: list[str]) -> Split:
    files, labels = [], []
    numbers = {wnid: number for number, wnid in enumerate(wnids)}
    for wnid in inner:
        if wnid not in numbers:
            raise InputError.about(folder / wnid, f"class {wnid} is not among the {len(wnids)} classes of train")
        images = _images(folder / wnid) or _images(folder / wnid / "images")
        files += images
        labels += [numbers[wnid]] * len(images)
    return _split(folder, files, labels, wnids)


def _split(folder: Path, files: list[str], labels: list[int], wnids: list[str]) -> Split:
    paths, numbers = [Path(file) for file in files], torch.tensor(labels, dtype=torch.int64)
    return of_files(str(folder), paths, numbers, tuple(wnids))


def _images(folder: Path) -> list[str]:
    """The paths of the images in a folder, ascending; text and not `Path`, for there may be a million."""
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith("."))  # noqa: PTH208
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise InputError.about(folder, f"cannot be read ({error.strerror})") from None
    return [f"{folder}{os.sep}{name}" for name in names if os.path.splitext(name)[1].lower() in suffixes()]  # noqa: PTH122


def _is_flat(folder: Path) -> bool:
    """Whether a folder has images and no classes, by the first of its names."""
    if _classes(folder):
        return False
    for place in (folder, folder / "images"):
        try:
            with os.scandir(place) as entries:
                names = [entry.name for entry in islice(entries, 100)]
        except OSError:
            continue
        if any(os.path.splitext(name)[1].lower() in COMMON for name in names):  # noqa: PTH122
            return True
    return False


def _flat(folder: Path) -> list[str] | None:
    """The images of a folder that has them all in one place."""
    return _images(folder) or _images(folder / "images") or None


def _unlabelled(folder: Path, files: list[str], wnids: list[str]) -> Split:
    return _split(folder, files, [-1] * len(files), wnids)


def check_synsets(folder: Path) -> None:
    """Refuse flat validation images without a list of their classes.

    Raises:
        InputError: there is no list of a known name.
    """
    root = _root(folder)
    if root is not None and _is_flat(root / "val"):
        _list_of(folder, root / "val", _flat(root / "val") or ())


def _list_of(start: Path, folder: Path, files: Sequence[str]) -> Path:
    """The list of the classes of flat validation images."""
    places = (folder, folder.parent, start, start / "ILSVRC2012_devkit_t12" / "data", folder.parent / "devkit" / "data")
    for name in (*PAIRS, *ORDERED, DEVKIT):
        for place in places:
            if (place / name).is_file():
                return place / name
    raise InputError.about(
        folder,
        f"{len(files):,} images without folders of classes, and no list of their classes; one of these would "
        f"do beside them: {LISTS}; or give `data={str(folder.parent / 'train')!r}`, of which 20% are then held out",
    )


def _listed(start: Path, folder: Path, files: list[str], wnids: list[str]) -> Split:
    """Flat validation images by the list of their classes, in the order of the list."""
    path = _list_of(start, folder, files)
    if path.name in PAIRS:
        return _split(folder, *_pairs(path, files, wnids), wnids)
    read = _of_devkit if path.name == DEVKIT else _ordered
    return _split(folder, files, read(path, files, wnids), wnids)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        text = whole_file(path, LARGEST).decode("utf-8")
    except UnicodeDecodeError:
        raise InputError.about(path, "cannot be read (it is not text, UTF-8)") from None
    return ((number, line.strip()) for number, line in enumerate(text.splitlines(), start=1) if line.strip())


def _pairs(path: Path, files: list[str], wnids: list[str]) -> tuple[list[str], list[int]]:
    """(files, labels) of a list with a file and its class in a line; numbers count the classes from 0."""
    numbers = {wnid: number for number, wnid in enumerate(wnids)}
    by_name = {os.path.basename(file): file for file in files}  # noqa: PTH119
    by_stem = {os.path.splitext(name)[0]: file for name, file in by_name.items()}  # noqa: PTH122
    paths, labels = [], []
    for number, line in _lines(path):
        fields = next(csv.reader([line])) if path.suffix.lower() == ".csv" else line.split()
        if number == 1 and fields[0].strip().lower() in ("imageid", "image", "file", "filename"):
            continue
        value = fields[1].split()[0] if len(fields) > 1 and fields[1].split() else ""
        label = numbers.get(value, int(value) if value.isascii() and value.isdecimal() and len(value) < 7 else -1)
        if not 0 <= label < len(wnids):
            raise InputError.about(
                f"{path}, line {number}",
                f"{line[:120]!r}; needed are a file's name and one of the {len(wnids)} classes",
            )
        name = fields[0].strip().replace("\\", "/").rsplit("/", 1)[-1]
        file = by_name.get(name) or by_stem.get(name)
        if file is None:
            raise InputError.about(f"{path}, line {number}", f"no image {name[:80]!r} among the {len(files)} it lists")
        paths.append(file)
        labels.append(label)
    return paths, labels


def _ordered(path: Path, files: list[str], wnids: list[str]) -> list[int]:
    """Labels of a list with a class in each line, in the order of the files' names."""
    numbers = {wnid: number for number, wnid in enumerate(wnids)}
    labels = []
    for number, line in _lines(path):
        if line not in numbers:
            raise InputError.about(f"{path}, line {number}", f"{line[:80]!r} is not one of the {len(wnids)} classes")
        labels.append(numbers[line])
    _same(path, len(labels), files)
    return labels


def _of_devkit(path: Path, files: list[str], wnids: list[str]) -> list[int]:
    """Labels of the development kit: its own numbers, which ``meta.mat`` translates."""
    meta = names_under(path.parent).get("meta.mat")
    if meta is None:
        raise InputError.about(path, "its numbers are those of meta.mat, which is not beside it; copy it there as well")
    records = read_mat(meta).get("synsets")
    wnid_of = {}
    for record in records if isinstance(records, list) else [records]:
        if isinstance(record, dict) and getattr(record.get("ILSVRC2012_ID"), "size", 0) == 1:
            wnid_of[str(int(record["ILSVRC2012_ID"].item()))] = record.get("WNID")
    labels = []
    for number, line in _lines(path):
        wnid = wnid_of.get(line)
        if wnid not in wnids:
            raise InputError.about(
                f"{path}, line {number}", f"{line[:80]!r}, which is class {wnid}, is not one of those of train"
            )
        labels.append(wnids.index(wnid))
    _same(path, len(labels), files)
    return labels


def _same(path: Path, count: int, files: list[str]) -> None:
    if count != len(files):
        raise InputError.about(path, f"{count} classes for {len(files)} images; there must be one for each")
