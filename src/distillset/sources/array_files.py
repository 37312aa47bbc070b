"""Arrays in a file: ``.safetensors`` (memory-mapped) or ``.npz``; never a pickle.

A set too large to be carried in one file may be cut into shards, ``NAME-00001-of-00004.safetensors`` and so on: arrays
of the same names, whose rows follow each other.
"""

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open

from distillset.errors import InputError, reason, shown
from distillset.sources.array_roles import CLASS_NAMES as NAMED
from distillset.sources.array_roles import Roles, role_of
from distillset.sources.array_sets import splits_of_arrays
from distillset.sources.bounds import check_npz
from distillset.sources.splits import Split
from distillset.store import READING, parse

SUFFIXES = (".npz", ".safetensors")
CLASS_NAMES = "class_names"
"""In the metadata of a ``.safetensors`` file: a JSON list of the classes' names."""

_Arrays = tuple[list[str], dict[str, Any], tuple[str, ...] | None]
"""All names in a file, the arrays that matter here, and the names of the classes where it has them."""

SHARD = re.compile(r"(?P<name>.+)-(?P<part>\d{5})-of-(?P<parts>\d{5})\.safetensors")


def named(folder: Path, name: str) -> Path | None:
    """The file ``NAME.safetensors`` in ``folder``, else the first shard of that name; None where there is neither."""
    whole = folder / f"{name}.safetensors"
    if whole.is_file():
        return whole
    paths = sorted(
        path for path in folder.glob("*.safetensors") if (m := SHARD.fullmatch(path.name)) and m["name"] == name
    )
    return paths[0] if paths else None


def files(path: Path) -> list[Path]:
    """``path``, or if it is a shard, all shards of its set in their order.

    Raises:
        InputError: a shard is missing.
    """
    match = SHARD.fullmatch(path.name)
    if match is None:
        return [path]
    count = int(match["parts"])
    shards = [path.with_name(f"{match['name']}-{part:05}-of-{count:05}.safetensors") for part in range(1, count + 1)]
    for shard in shards:
        if not shard.is_file():
            raise InputError.about(shard, f"no such file; {path.name} is one of {count} shards, and all are needed")
    return shards


def open_arrays(path: Path) -> dict[str, Split]:
    """The splits of a file with the arrays ``images`` and ``labels``, and perhaps ``test_images`` and ``test_labels``.

    Names alike are read as well: ``x_train`` and ``y_train``, ``train_images``, ``val_images``; see `Roles`.

    Images are [N, C, H, W], [N, H, W, C] or [N, H, W], uint8 or floating point in [0, 1]; labels are whole numbers or
    names [N], or one-hot rows [N, classes].

    Raises:
        InputError: the file cannot be read or holds pickled objects; an array is missing, or of another shape or type.
    """
    names, arrays, class_names = read_npz(path) if path.suffix.lower() == ".npz" else _read_shards(files(path))
    return splits_of_arrays(Roles.of(names, str(path)), arrays, lambda name: f"{path}, {name}", class_names)


def _read_shards(paths: Sequence[Path]) -> _Arrays:
    parts = [_read_safetensors(path) for path in paths]
    names, arrays, class_names = parts[0]
    for path, (others, more, _) in zip(paths[1:], parts[1:], strict=True):
        for name in sorted(set(names) ^ set(others)):
            raise InputError.about(path, f"the array {name} is not in all shards of this set")
        for name, first in arrays.items():
            if first.shape[1:] != more[name].shape[1:] or first.dtype != more[name].dtype:
                raise InputError.about(
                    path,
                    f"{name} is {more[name].dtype} {list(more[name].shape)}, in the first shard {first.dtype} "
                    f"{list(first.shape)}",
                )
    if len(parts) > 1:
        arrays = {name: torch.cat([part[name] for _, part, _ in parts]) for name in arrays}
    return names, arrays, class_names


def _read_safetensors(path: Path) -> _Arrays:
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            stated = parse((file.metadata() or {}).get(CLASS_NAMES, "null"))
            arrays = {name: file.get_tensor(name) for name in names if role_of(name)}
    except READING as error:
        raise InputError.about(path, f"damaged, or not a safetensors file ({reason(error)})") from None
    if stated is not None and not (isinstance(stated, list) and all(isinstance(name, str) for name in stated)):
        raise InputError.about(path, f"{CLASS_NAMES} in its metadata is {shown(stated)}; it must be a list of text")
    return names, arrays, None if stated is None else tuple(stated)


def read_npz(path: Path, wanted: Sequence[str] | None = None) -> _Arrays:
    """All names in an ``.npz`` file, and its arrays: those of ``wanted``, by default those that `Roles` may need.

    Raises:
        InputError: it is damaged, a bomb, or one of them holds pickled objects.
    """
    if not zipfile.is_zipfile(path):
        raise InputError.about(path, "damaged, or not an .npz file as numpy.savez writes it")
    try:
        check_npz(path)
        with np.load(path, allow_pickle=False) as file:
            if wanted is None:
                wanted = [name for name in file.files if role_of(name) or name in NAMED]
            return file.files, {name: _member(path, file, name) for name in wanted}, None
    except InputError:
        raise
    except Exception as error:  # a header is a Python literal: thousands of brackets end in whatever the parser raises
        raise InputError.about(path, f"damaged, or not an .npz file ({reason(error)})") from None


def _member(path: Path, file: Any, name: str) -> Any:
    try:
        return file[name]
    except ValueError as error:
        if "allow_pickle=False" not in str(error):
            raise
        images = (role_of(name) or ("", ""))[1] == "images"
        instead = "numbers: np.stack(images)" if images else "text or numbers: labels.astype(str)"
        raise InputError.about(
            path, f"{name} is an array of Python objects: pickled objects, which are never loaded; save it as {instead}"
        ) from None
