"""The forms in which researchers have published sets and their own arrays, told apart by the names of files alone."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from distillset.errors import InputError
from distillset.sources import (
    array_files,
    array_folder,
    cifar,
    hdf5,
    idx,
    mat_files,
    pixel_table,
    stl10,
    synset_folders,
    webdataset,
)
from distillset.sources.raw_arrays import names_under
from distillset.sources.splits import Split


@dataclass(frozen=True)
class Form:
    """One form.

    Args:
        name: what it is called in messages.
        claims: whether a folder or a file has it, by names alone.
        open: its splits; the second argument says which of EMNIST's sets is meant where there are several.
        files: the files that are read for a file, when others go with it.
        check: refuses what the names alone show cannot be read, before a large folder is gone through.
    """

    name: str
    claims: Callable[[Path], bool]
    open: Callable[[Path, str], Mapping[str, Split]]
    files: Callable[[Path], list[Path]] = lambda path: [path]
    check: Callable[[Path], None] = lambda path: None


def _array_file(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in array_files.SUFFIXES


FORMS = (
    Form("arrays", _array_file, lambda path, family: array_files.open_arrays(path), array_files.files),
    Form("CIFAR", cifar.is_cifar, lambda path, family: cifar.open_cifar(path)),
    Form("idx", idx.is_idx, idx.open_idx, idx.files_of_idx),
    Form("STL-10", stl10.is_stl10, lambda path, family: stl10.open_stl10(path)),
    Form(".mat", mat_files.is_mat, mat_files.open_mat, mat_files.files_of_mat),
    Form(
        "synsets",
        synset_folders.is_synsets,
        lambda path, family: synset_folders.open_synsets(path),
        check=synset_folders.check_synsets,
    ),
    Form("HDF5", hdf5.is_hdf5, lambda path, family: hdf5.open_hdf5(path)),
    Form("webdataset", webdataset.is_webdataset, lambda path, family: webdataset.open_webdataset(path)),
    Form(
        "table of pixels",
        pixel_table.is_pixel_table,
        lambda path, family: pixel_table.open_pixel_table(path),
    ),
    Form("folder of arrays", array_folder.is_array_folder, lambda path, family: array_folder.open_array_folder(path)),
)

INNER = frozenset([
    "raw", "mnist", "fashionmnist", "kmnist", "qmnist", "emnist", "gzip", "matlab", "svhn", "stl10binary",
    "cifar10batchespy", "cifar10batchesbin", "cifar100python", "cifar100binary", "tinyimagenet200",
    *(f"{name}2{size}" for name in ("imagenette", "imagewoof") for size in ("", "160", "320")),
])  # fmt: skip
"""Folders that archives and download programs make inside the folder that a user names."""

FOUND_BY_NAME = ("imagenette2", "imagewoof2", "tinyimagenet200")
"""Of these, what needs no form of its own: folders of classes."""

ARCHIVES = re.compile(r".*\.(tar\.gz|tgz|tar\.bz2|tbz2?|tar\.xz|txz|tar\.zst|zip|7z|rar|gz|bz2|xz|zst)", re.IGNORECASE)
UNREAD = {
    **dict.fromkeys((".pkl", ".pickle", ".joblib"), "pickles run code when they are loaded; save arrays: numpy.savez"),
    **dict.fromkeys((".pt", ".pth"), "save real images as arrays: numpy.savez; synthetic ones: `read_pt()`"),
    **dict.fromkeys((".tfrecord", ".tfrecords"), "save arrays with numpy.savez, or images in a folder for each class"),
    **dict.fromkeys((".lmdb", ".mdb", ".rec", ".beton"), "write its images to a folder for each class, or to an .npz"),
    **dict.fromkeys((".xlsx", ".xls", ".ods"), "save it as .csv, in a folder with the images that it lists"),
}
"""What would do in place of files that are not read."""


def plain(name: str) -> str:
    """A name without capitals, dashes, underscores and spaces: ``Fashion-MNIST`` and ``fashion_mnist`` are one."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def form_of(path: Path) -> Form | None:
    """The form of a folder or file, by names; None for folders of images, tables and whatever `datasets` opens."""
    return next((form for form in FORMS if form.claims(path)), None)


def descended(path: Path, depth: int = 3) -> Path:
    """The folder inside ``path`` that holds the set, where ``path`` is only what an archive was unpacked in.

    Raises:
        InputError: there are several.
    """
    if depth == 0 or not path.is_dir() or form_of(path) is not None:
        return path
    inner = [entry for name, entry in names_under(path).items() if plain(name) in INNER and entry.is_dir()]
    found = [place for entry in inner if _is_set(place := descended(entry, depth - 1))]
    if len(found) > 1:
        names = ", ".join(os.path.relpath(place, path) for place in found)
        raise InputError.about(path, f"it holds {len(found)} sets: {names}; name one of them, such as {found[0]}")
    return found[0] if found else path


def _is_set(path: Path) -> bool:
    return form_of(path) is not None or plain(path.name).startswith(FOUND_BY_NAME)


def instead_of(path: Path) -> str | None:
    """What would do in place of a file of a kind that is not read; None where nothing is known of it."""
    if ARCHIVES.fullmatch(path.name):
        how = {".zip": "unzip", ".7z": "7z x", ".rar": "unrar x"}.get(path.suffix.lower(), "tar xf")
        if how == "tar xf" and ".tar" not in path.name.lower() and not path.suffix.lower().startswith(".t"):
            how = "gunzip" if path.suffix.lower() == ".gz" else "unpack"
        return f"unpack it ({how} {path.name}) and name the folder"
    return UNREAD.get(path.suffix.lower())
