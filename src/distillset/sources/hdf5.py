"""HDF5 files (``.h5``, ``.hdf5``) with an array of images and one of labels. Read by h5py, an optional extra.

An HDF5 file can lead elsewhere: links to other files, arrays whose values lie in a file outside, arrays put together of
others. None of them is followed. Images are read a block at a time.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np

from distillset.errors import InputError, reason
from distillset.sources.array_roles import Roles, role_of
from distillset.sources.array_sets import splits_of_arrays
from distillset.sources.bounds import HARMLESS, check_declared
from distillset.sources.splits import Split

SUFFIXES = (".h5", ".hdf5", ".hdf")
MOST_NAMES = 10_000


def is_hdf5(path: Path) -> bool:
    """Whether a file is one, by name."""
    return path.is_file() and path.suffix.lower() in SUFFIXES


def open_hdf5(path: Path) -> dict[str, Split]:
    """The splits of such a file; names are as in `.npz` files, also in groups: ``train/images``.

    Raises:
        InputError: h5py is not installed; the file is damaged; an array is missing, leads elsewhere or is a bomb.
    """
    try:
        import h5py
    except ImportError:
        raise InputError.about(
            path,
            "reading HDF5 needs the package h5py; install it with: pip install distillset[hdf5]; or save the "
            "arrays with numpy.savez",
        ) from None
    try:
        file = h5py.File(path, "r")
        arrays = _arrays(h5py, file, path)
        roles = Roles.of(list(arrays), str(path))
        declared = 0
        for name in roles.names():
            _check(path, name, arrays[name])
            declared += arrays[name].nbytes
            check_declared(path, declared, "its arrays")
        by_name = {name: arrays[name] for name in roles.names()}
        for _, labels in roles.splits.values():
            by_name[labels] = _text(arrays[labels])
    except InputError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        raise InputError.about(path, f"damaged, or not an HDF5 file ({reason(error)})") from None
    return splits_of_arrays(roles, by_name, lambda name: f"{path}, {name}")


def _arrays(h5py: Any, file: Any, path: Path) -> dict[str, Any]:
    """The arrays of the file and of its groups of one level, by name; nothing that leads elsewhere."""
    arrays: dict[str, Any] = {}
    for name in list(file)[:MOST_NAMES]:
        if not isinstance(file.get(name, getlink=True), h5py.HardLink):
            if role_of(name):
                raise InputError.about(path, f"{name} is a link; only arrays in the file itself are read")
            continue
        entry = file[name]
        if isinstance(entry, h5py.Dataset):
            arrays[name] = entry
        elif isinstance(entry, h5py.Group):
            for inner in list(entry)[:MOST_NAMES]:
                hard = isinstance(entry.get(inner, getlink=True), h5py.HardLink)
                if hard and isinstance(entry[inner], h5py.Dataset):
                    arrays[f"{name}/{inner}"] = entry[inner]
    return arrays


def _check(path: Path, name: str, array: Any) -> None:
    if array.external or array.is_virtual:
        raise InputError.about(
            path, f"the values of {name} lie in another file; only arrays in the file itself are read"
        )
    chunk = array.dtype.itemsize * math.prod(array.chunks or ())
    if chunk > HARMLESS:
        raise InputError.about(path, f"the chunks of {name} have {chunk:,} bytes; allowed are {HARMLESS:,}")
    if not array.shape:
        raise InputError.about(path, f"{name} is a single value; an array is needed")


def _text(labels: Any) -> Any:
    """Labels in memory; text, which h5py gives as bytes in an array of objects, as an array of text."""
    values = labels[()]
    if getattr(values, "dtype", None) is not None and values.dtype.kind == "O":
        if not all(isinstance(value, bytes | str) for value in values.reshape(-1)):
            raise ValueError("labels of an unknown type")
        return np.array([value.decode() if isinstance(value, bytes) else value for value in values.reshape(-1)])
    return values
