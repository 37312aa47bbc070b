"""A folder of array files: ``images.npy`` and ``labels.npy``, ``x_train.npy`` ..., or one ``.npz`` with all of them."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from distillset.errors import InputError, reason
from distillset.sources.array_files import SUFFIXES, open_arrays, read_npz
from distillset.sources.array_roles import Roles, role_of
from distillset.sources.array_sets import splits_of_arrays
from distillset.sources.hdf5 import SUFFIXES as HDF5
from distillset.sources.hdf5 import open_hdf5
from distillset.sources.kinds import COMMON
from distillset.sources.raw_arrays import names_under
from distillset.sources.splits import Split
from distillset.sources.tree import regular

WHOLE = (*SUFFIXES, *HDF5)


def is_array_folder(folder: Path) -> bool:
    """Whether a folder holds array files and neither folders nor pictures."""
    names = {name: path for name, path in names_under(folder).items() if not name.startswith((".", "__"))}
    if any(path.suffix.lower() in COMMON or path.is_dir() for path in names.values()):
        return False
    return any(name.endswith((".npy", *WHOLE)) for name in names)


def open_array_folder(folder: Path) -> dict[str, Split]:
    """The splits of such a folder.

    Raises:
        InputError: an array is damaged, missing or holds pickled objects; several files hold whole sets.
    """
    names = names_under(folder)
    alone = {path.stem: path for name, path in names.items() if name.endswith((".npy", ".npz"))}
    whole = [path for name, path in names.items() if name.endswith(WHOLE) and not _single(path)]
    if not whole:
        short = {stem: _short(stem) for stem in alone}
        twice = len(set(short.values())) < len(short)
        arrays = {stem if twice else short[stem]: path for stem, path in alone.items()}
        roles = Roles.of(list(arrays), str(folder))
        by_name = {name: _array(arrays[name]) for name in roles.names()}
        return splits_of_arrays(roles, by_name, lambda name: str(arrays[name]))
    if len(whole) > 1:
        listed = ", ".join(path.name for path in whole[:8])
        raise InputError.about(
            folder, f"it holds several sets of arrays: {listed}; name one of them, such as {whole[0]}"
        )
    return open_hdf5(whole[0]) if whole[0].suffix.lower() in HDF5 else open_arrays(whole[0])


def _single(path: Path) -> bool:
    """Whether a file holds one array without a name of its own, as `numpy.savez` with a single array writes it."""
    return path.suffix.lower() == ".npz" and read_npz(path, ())[0] == ["arr_0"]


def _short(stem: str) -> str:
    """A name from where it says its role: ``k49-train-imgs`` is ``train-imgs``."""
    tokens = re.split(r"[-_. ]", stem)
    ends = ("-".join(tokens[start:]) for start in range(len(tokens)))
    return next((end for end in ends if role_of(end)), stem)


def _array(path: Path) -> Any:
    """The array of a file, memory-mapped where it is an ``.npy``."""
    if not regular(path):
        raise InputError.about(path, "not a regular file")
    try:
        if path.suffix.lower() == ".npz":
            return read_npz(path, ("arr_0",))[1]["arr_0"]
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except InputError:
        raise
    except Exception as error:  # see `array_files`
        if "allow_pickle" in str(error) or "Python objects" in str(error):
            raise InputError.about(
                path,
                "an array of Python objects: pickled objects, which are never loaded; save text or numbers: "
                "labels.astype(str)",
            ) from None
        raise InputError.about(path, f"damaged, or not an .npy file ({reason(error)})") from None
