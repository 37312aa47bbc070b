"""Formats in which data sets and arrays are published, recognised by the names of their files."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from distillset.errors import InputError, reason
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
from distillset.sources.kinds import TABLES
from distillset.sources.raw_arrays import names_under
from distillset.sources.splits import Split
from distillset.tables import PluginTable, instance_of

Open = Callable[..., Mapping[str, Split]]


@dataclass(frozen=True)
class Form:
    """One form.

    Args:
        claims: whether a folder or a file has it, by names alone.
        open: its splits by name (``train``, ``test``), of the folder or file.
        suffixes: of single files that have it, such as ``.npz``; small letters.
        files: the files that are read for a file, when others go with it.
        check: refuses what the names alone show cannot be read, before a large folder is gone through.
        families: whether ``open`` has a second argument: which of EMNIST's sets is meant where there are several.
    """

    claims: Callable[[Path], bool]
    open: Open
    suffixes: tuple[str, ...] = ()
    files: Callable[[Path], list[Path]] = lambda path: [path]
    check: Callable[[Path], None] = lambda path: None
    families: bool = False

    def splits(self, path: Path, family: str) -> Mapping[str, Split]:
        """Its splits; ``family`` as ``open`` may take it."""
        return self.open(path, family) if self.families else self.open(path)


def _array_file(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in array_files.SUFFIXES


FORMS: PluginTable[Form] = PluginTable(
    "source",
    "distillset.sources",
    {
        "arrays": Form(_array_file, array_files.open_arrays, array_files.SUFFIXES, array_files.files),
        "cifar": Form(cifar.is_cifar, cifar.open_cifar),
        "idx": Form(idx.is_idx, idx.open_idx, files=idx.files_of_idx, families=True),
        "stl10": Form(stl10.is_stl10, stl10.open_stl10),
        "mat": Form(mat_files.is_mat, mat_files.open_mat, (mat_files.SUFFIX,), mat_files.files_of_mat, families=True),
        "synsets": Form(synset_folders.is_synsets, synset_folders.open_synsets, check=synset_folders.check_synsets),
        "hdf5": Form(hdf5.is_hdf5, hdf5.open_hdf5, hdf5.SUFFIXES),
        "webdataset": Form(webdataset.is_webdataset, webdataset.open_webdataset, (webdataset.SUFFIX,)),
        "pixel-table": Form(pixel_table.is_pixel_table, pixel_table.open_pixel_table),
        "array-folder": Form(array_folder.is_array_folder, array_folder.open_array_folder),
    },
    instance_of(Form),
)
"""What a folder or file is asked for, in this order."""


def suffixes() -> tuple[str, ...]:
    """Of files that hold a whole set, or a table of its images."""
    forms = (suffix for form in FORMS.loaded().values() for suffix in form.suffixes)
    return tuple(dict.fromkeys([*forms, *sorted(TABLES)]))


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
    name = form_named(path)
    return None if name is None else FORMS[name]


def form_named(path: Path) -> str | None:
    """What `form_of` is called in the table."""
    return next((name for name in FORMS if _claims(name, path)), None)


def _claims(name: str, path: Path) -> bool:
    if name in FORMS.built_in:
        return FORMS[name].claims(path)
    if FORMS.usable(name) is None:
        return False
    try:
        return bool(FORMS[name].claims(path))
    except Exception as error:  # whatever the package's code raises
        FORMS.complain(name, f"fails on {path}: {type(error).__name__}: {reason(error)}")
        return False


def descended(path: Path, depth: int = 3) -> Path:
    """The folder inside ``path`` that holds the set, where ``path`` is only what an archive was unpacked in.

    Raises:
        InputError: there are several.
    """
    if depth == 0 or not path.is_dir() or form_of(path) is not None:
        return path
    inner = [entry for name, entry in names_under(path).items() if plain(name) in INNER and entry.is_dir()]
    places = [place for entry in inner if _is_set(place := descended(entry, depth - 1))]
    if len(places) > 1:
        names = ", ".join(os.path.relpath(place, path) for place in places)
        raise InputError.about(path, f"it holds {len(places)} sets: {names}; name one of them, such as {places[0]}")
    return places[0] if places else path


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
