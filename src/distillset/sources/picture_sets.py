"""A small set stored as pictures, one sub-folder per class, as `export` and other code write it."""

import re
from collections.abc import Sequence
from pathlib import Path

import torch

from distillset.arguments import path_of
from distillset.data.spec import Spec
from distillset.data.synthetic import CARD, SyntheticSet
from distillset.errors import InputError
from distillset.sources.in_memory import gathered
from distillset.sources.kinds import COMMON
from distillset.sources.splits import Split, few
from distillset.watch import Watcher, watching

NUMBERED = re.compile(r"(\d+)-")
"""How an export begins the names of its folders where their order is not that of the labels."""


def holds_pictures(folder: str | Path) -> bool:
    """Whether a folder is no artifact and has a sub-folder with pictures."""
    path = path_of("folder", folder)
    if not path.is_dir() or (path / CARD).exists() or (path / "checkpoints").exists():
        return False
    return any(_pictures(inner)[0] for inner in _visible(path) if inner.is_dir())


def read_pictures(
    folder: str | Path, spec: Spec, watcher: Watcher | None = None, method: str = "imported"
) -> SyntheticSet:
    """The pictures of a folder as a set, normalised as ``spec`` says.

    Classes are the sub-folders: those of ``spec`` by name, or by number where all names are numbers or begin with one
    and a hyphen, as exports have it.

    Args:
        folder: with one sub-folder of pictures per class.
        spec: of the data; the pictures must have its size and channels.
        watcher: hears how the folders were understood, and what was left out.
        method: what to call the method in the card.

    Raises:
        InputError: a folder is of no class, or a picture cannot be read or has another size.
    """
    path, watcher = path_of("folder", folder), watching(watcher)
    folders = sorted(entry for entry in _visible(path) if entry.is_dir())
    pictures = {inner: _pictures(inner) for inner in folders}
    folders = [inner for inner in folders if pictures[inner][0]]
    if not folders:
        raise InputError.about(path, "no sub-folder with pictures; needed is one sub-folder of pictures per class")
    numbers, how = _classes([inner.name for inner in folders], spec, path)
    order = sorted(range(len(folders)), key=lambda position: numbers[position])
    files = [file for position in order for file in pictures[folders[position]][0]]
    labels = torch.tensor([numbers[position] for position in order for _ in pictures[folders[position]][0]])
    _tell(path, files, [file for _, others in pictures.values() for file in others], spec, labels, how, watcher)
    split = Split(
        str(path),
        labels,
        spec.class_names,
        read=lambda rows: [files[row] for row in rows],
        row=lambda row: str(files[row]),
    )
    pixels = gathered(split, None, watcher)
    if tuple(pixels.shape[1:]) != spec.shape:
        raise InputError.about(path, f"pictures of {list(pixels.shape[1:])}; the data have {list(spec.shape)}")
    card = {"method": method, "imported": path.name}
    return SyntheticSet(spec.normalise(pixels), labels, spec, card)


def _classes(names: Sequence[str], spec: Spec, path: Path) -> tuple[list[int], str]:
    """The class of each folder, and how that was found."""
    known = {_plain(name): number for number, name in enumerate(spec.class_names)}
    if len(known) == spec.classes and all(_plain(name) in known for name in names):
        return [known[_plain(name)] for name in names], "by their names"
    starts = [NUMBERED.match(name) for name in names]
    for digits in ([start[1] for start in starts if start], [name for name in names if name.isdecimal()]):
        numbers = [int(text) for text in digits]
        if len(numbers) == len(names) == len(set(numbers)) and max(numbers) < spec.classes:
            return numbers, "by their numbers"
    strange = next((name for name in names if _plain(name) not in known), names[0])
    raise InputError.about(
        path,
        f"folder {strange} is none of the classes {few(spec.class_names)}; folders are called like the "
        f"classes, or by their numbers from 0 to {spec.classes - 1}",
    )


def _tell(
    path: Path,
    files: Sequence[Path],
    others: Sequence[Path],
    spec: Spec,
    labels: torch.Tensor,
    how: str,
    watcher: Watcher,
) -> None:
    counts = torch.bincount(labels, minlength=spec.classes)
    watcher.note(
        f"{path}: {len(files)} pictures in {int((counts > 0).sum())} folders, whose classes were found {how}; pixels "
        "normalised as the data are"
    )
    if others:
        watcher.note(f"{path}: {len(others)} files left out, which are no pictures (such as {others[0].name})")
    missing = [name for name, count in zip(spec.class_names, counts.tolist(), strict=True) if not count]
    if missing:
        watcher.note(f"{path}: no pictures of {len(missing)} classes: {few(missing)}")


def _pictures(folder: Path) -> tuple[list[Path], list[Path]]:
    """The pictures of a folder in the order of their names, and its other files."""
    files = sorted(entry for entry in _visible(folder) if entry.is_file())
    pictures = [file for file in files if file.suffix.lower() in COMMON]
    return pictures, [file for file in files if file.suffix.lower() not in COMMON]


def _visible(folder: Path) -> list[Path]:
    return [entry for entry in folder.iterdir() if not entry.name.startswith(".")]


def _plain(name: str) -> str:
    return " ".join(re.sub(r"[^\w]+|_", " ", name).lower().split())
