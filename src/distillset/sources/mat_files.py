"""Sets in MATLAB's files: SVHN's cropped digits, EMNIST, and others with an array of images and one of labels.

SVHN's ``train_32x32.mat`` and ``test_32x32.mat`` hold ``X`` [32, 32, 3, N] and ``y`` [N, 1], where 10 stands for the
digit 0 (http://ufldl.stanford.edu/housenumbers). EMNIST's hold a structure ``dataset`` with ``train`` and ``test``, of
which ``images`` are [N, 784], column by column: read row by row they lie on their side, as they do in its idx files.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from distillset.errors import InputError
from distillset.sources.array_roles import Roles
from distillset.sources.array_sets import splits_of_arrays
from distillset.sources.idx import EMNIST
from distillset.sources.matlab import read_mat
from distillset.sources.raw_arrays import array_split, names_under
from distillset.sources.splits import Split

SVHN = re.compile(r"(?P<split>train|test|extra)_32x32\.mat", re.IGNORECASE)
SUFFIX = ".mat"


def is_mat(path: Path) -> bool:
    """Whether a folder holds SVHN's or EMNIST's files or a single one of this kind, or a file is one, by name."""
    if path.is_file():
        return path.suffix.lower() == SUFFIX
    names = [name for name in names_under(path) if name.endswith(SUFFIX)]
    return len(names) == 1 or any(SVHN.fullmatch(name) or name.startswith("emnist-") for name in names)


def named_by_files(folder: Path) -> str | None:
    """``svhn`` where the files in a folder are SVHN's, whatever the folder is called."""
    return "svhn" if any(SVHN.fullmatch(name) for name in names_under(folder)) else None


def files_of_mat(path: Path) -> list[Path]:
    """The files that are read for ``path``: with one of SVHN's its others."""
    if path.is_file() and not SVHN.fullmatch(path.name):
        return [path]
    folder = path if path.is_dir() else path.parent
    files = [file for name, file in names_under(folder).items() if name.endswith(SUFFIX)]
    return [file for file in files if SVHN.fullmatch(file.name)] or files


def open_mat(path: Path, family: str = "") -> dict[str, Split]:
    """The splits of such a folder or file.

    Args:
        path: the folder or the file.
        family: which of EMNIST's sets to take where a folder holds several.

    Raises:
        InputError: a file is damaged, or holds no images and labels; several sets lie in the folder.
    """
    files = files_of_mat(path)
    parts = {match["split"].lower(): file for file in files if (match := SVHN.fullmatch(file.name))}
    if parts:
        splits = {name: _svhn(parts[name]) for name in ("train", "test") if name in parts}
        if "extra" in parts:
            splits = {**splits, "extra": _unread(parts["extra"])} if splits else {"train": _svhn(parts["extra"])}
        return splits
    if len(files) > 1:
        named = [file for file in files if family and file.stem.lower() == f"emnist-{family}"]
        if not named:
            names = ", ".join(file.name for file in files)
            raise InputError.about(path, f"it holds {len(files)} sets: {names}; name one of them, such as {files[0]}")
        files = named
    variables = read_mat(files[0])
    dataset = variables.get("dataset")
    if isinstance(dataset, dict) and isinstance(dataset.get("train"), dict):
        return _emnist(files[0], dataset)
    arrays = {name: value for name, value in variables.items() if isinstance(value, np.ndarray)}
    roles = Roles.of(list(arrays), str(files[0]))
    turned = {name: _images_first(array, arrays, roles, name) for name, array in arrays.items()}
    return splits_of_arrays(roles, turned, lambda name: f"{files[0]}, {name}")


def _unread(file: Path) -> Split:
    """A part that is not trained on; it only stands among those that are left."""
    return Split(str(file), torch.empty(0, dtype=torch.int64), None, lambda rows: (), lambda row: f"{file}, row {row}")


def _svhn(file: Path) -> Split:
    variables = read_mat(file)
    images, labels = variables.get("X"), variables.get("y")
    if not isinstance(images, np.ndarray) or images.ndim != 4 or images.shape[2] != 3 or images.dtype != np.uint8:
        raise InputError.about(file, "no array X of bytes [32, 32, 3, N], as SVHN's cropped digits have it")
    if not isinstance(labels, np.ndarray) or labels.size != len(labels):
        raise InputError.about(file, "no array y of labels [N, 1], as SVHN's cropped digits have it")
    numbers = labels.reshape(-1).astype(np.int64)
    return array_split(str(file), images.transpose(3, 2, 0, 1), numbers % 10 if numbers.max() <= 10 else numbers, None)


def _emnist(file: Path, dataset: dict[str, Any]) -> dict[str, Split]:
    splits = {}
    for split in ("train", "test"):
        part = dataset.get(split)
        images, labels = (part.get("images"), part.get("labels")) if isinstance(part, dict) else (None, None)
        if not isinstance(images, np.ndarray) or images.shape[1:] != (784,) or images.dtype != np.uint8:
            raise InputError.about(
                file, f"no array dataset.{split}.images of bytes [N, 784], as EMNIST's files have it"
            )
        if not isinstance(labels, np.ndarray) or labels.size != len(labels):
            raise InputError.about(file, f"no array dataset.{split}.labels [N, 1], as EMNIST's files have it")
        name = file.stem.lower().removeprefix("emnist-")
        numbers = labels.reshape(-1).astype(np.int64) - (1 if name == "letters" else 0)
        characters = tuple(EMNIST[name]) if name in EMNIST else None
        pixels = np.ascontiguousarray(images).reshape(-1, 1, 28, 28)
        splits[split] = array_split(f"{file}, dataset.{split}", pixels, numbers, characters)
    return splits


def _images_first(array: NDArray[Any], arrays: dict[str, NDArray[Any]], roles: Roles, name: str) -> NDArray[Any]:
    """MATLAB counts images in the last side; where their number is that of the labels they are brought to the front."""
    labels = roles.labels_of(name)
    if labels is None:
        return array.reshape(-1) if 1 in array.shape and array.ndim == 2 else array
    count = arrays[labels].size
    if array.ndim in (3, 4) and array.shape[-1] == count and array.shape[0] != count:
        return np.moveaxis(array, -1, 0)
    return array
