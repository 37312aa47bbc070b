"""Which columns of a table are the images and the labels, and how what they hold is read."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from distillset.errors import InputError
from distillset.sources.image_folder import SUFFIXES
from distillset.sources.splits import Picture

IMAGE_NAMES = ("image", "img")
LABEL_NAMES = ("label", "labels", "fine_label", "class", "target", "cls", "category", "class_name")
"""Columns preferred where several have the type of an image or of a label. Those of text are labels by name only."""

PATH_NAMES = (*IMAGE_NAMES, "path", "file", "filename", "file_name", "image_path", "filepath")
"""Columns of text that hold the paths of images."""

ID_NAMES = ("id", "idx", "index", "__index_level_0__")
"""Columns of numbers that are no classes."""

Read = Callable[[Sequence[int]], list[Picture]]


def flattened(rows: Any) -> Any:
    """The table with the fields of nested columns as columns, called ``outer.inner``."""
    import datasets

    for name, feature in rows.features.items():
        if isinstance(feature, dict) and set(feature) == {"bytes", "path"}:  # an image whose metadata were lost
            rows = rows.cast_column(name, datasets.Image())
    # An image counts as nested to `flatten` if it is to be decoded.
    if any(isinstance(feature, dict) for feature in rows.features.values()):
        return rows.flatten()
    return rows


def image_reader(rows: Any, where: str, folder: Path | None) -> Read:
    """How the pictures of some rows are read.

    Images are an image column, bytes, arrays or nested lists of numbers, or paths, relative to ``folder``.

    Raises:
        InputError: no column holds images, or several do and none is called image.
    """
    import datasets

    kinds = {name: _image_kind(name, feature) for name, feature in rows.features.items()}
    candidates = [name for name, kind in kinds.items() if kind == "encoded"]
    candidates = candidates or [name for name, kind in kinds.items() if kind == "array"]
    candidates = candidates or [name for name, kind in kinds.items() if kind == "path" and _holds_paths(rows, name)]
    column = _chosen(candidates, PATH_NAMES, "image", rows.features, where)
    table = rows.select_columns([column])
    if kinds[column] == "encoded":
        encoded = table.cast_column(column, datasets.Image(decode=False))
        return lambda wanted: [_encoded(value) for value in encoded[wanted][column]]
    if kinds[column] == "array":
        table = table.with_format("numpy")  # as Python's numbers they would take a hundred times as long
        return lambda wanted: [_array(value) for value in table[wanted][column]]
    return lambda wanted: [_path(value, folder) for value in table[wanted][column]]


def label_column(features: Mapping[str, Any], where: str) -> str:
    """The column of the labels: class labels, else whole numbers, else names or lists in a column called like a label.

    Raises:
        InputError: there is none, or several and none is called label.
    """
    import datasets

    candidates = [name for name, feature in features.items() if isinstance(_inner(feature), datasets.ClassLabel)]
    if not candidates:
        plain = {
            name: feature.dtype
            for name, feature in features.items()
            if isinstance(feature, datasets.Value) and _last(name) not in ID_NAMES
        }
        candidates = [name for name, kind in plain.items() if kind.startswith(("int", "uint"))]
        candidates += [name for name, kind in plain.items() if kind.endswith("string") and _last(name) in LABEL_NAMES]
        candidates += [name for name in features if name not in plain and _depth(features[name]) == 1]
        named = [name for name in candidates if _last(name) in LABEL_NAMES]
        candidates = named or [name for name in candidates if name in plain]
    return _chosen(candidates, LABEL_NAMES, "label", features, where)


def class_names(feature: Any) -> tuple[str, ...] | None:
    """The names that a column of class labels, or of lists of them, comes with."""
    names = getattr(_inner(feature), "names", None)
    return None if names is None else tuple(names)


def _image_kind(name: str, feature: Any) -> str | None:
    import datasets

    if isinstance(feature, datasets.Image):
        return "encoded"
    if isinstance(feature, datasets.Value):
        if feature.dtype in ("binary", "large_binary"):
            return "encoded"
        return "path" if feature.dtype.endswith("string") and _last(name) in PATH_NAMES else None
    return "array" if _depth(feature) in (2, 3) and not _innermost(feature).dtype.endswith("string") else None


def _depth(feature: Any) -> int | None:
    """How many lists lie around the numbers, or names, of a column; None where something else is inside."""
    import datasets

    if isinstance(feature, datasets.Array2D | datasets.Array3D):
        return len(feature.shape)
    if isinstance(feature, datasets.List | datasets.LargeList):
        inner = _depth(feature.feature)
        return None if inner is None else inner + 1
    plain = isinstance(feature, datasets.Value | datasets.ClassLabel)
    return 0 if plain and feature.dtype not in ("binary", "large_binary") else None


def _inner(feature: Any) -> Any:
    """What a list holds; anything else as it is."""
    import datasets

    return feature.feature if isinstance(feature, datasets.List | datasets.LargeList) else feature


def _innermost(feature: Any) -> Any:
    inner = _inner(feature)
    return feature if inner is feature else _innermost(inner)


def _last(name: str) -> str:
    return name.rsplit(".", 1)[-1].lower()


def _holds_paths(rows: Any, name: str) -> bool:
    """Whether the first text of a column ends as an image file does."""
    first = rows[:1][name]
    return bool(first) and isinstance(first[0], str) and Path(first[0]).suffix.lower() in SUFFIXES


def _encoded(value: Any) -> Picture:
    if not isinstance(value, dict):
        return None
    return value["bytes"] if value.get("bytes") is not None else Path(value["path"]) if value.get("path") else None


def _path(value: str | None, folder: Path | None) -> Picture:
    return None if value is None else Path(value) if folder is None else folder / value


def _array(value: Any) -> Picture:
    """Numbers as an array. Whole ones are stored as 64 bits by default, whatever their range."""
    array = np.asarray(value)
    if array.dtype == object:
        return None if array.ndim == 0 else array.tolist()
    if array.dtype.kind in "iu" and array.size and array.min() >= 0 and array.max() <= 255:
        return array.astype(np.uint8)
    return array


def _chosen(candidates: list[str], preferred: Sequence[str], kind: str, features: Mapping[str, Any], where: str) -> str:
    for wanted in preferred:
        for name in candidates:
            if name == wanted or ("." in name and _last(name) == wanted):
                return name
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        raise InputError(
            f"{where}: several columns could be the {kind}: {', '.join(candidates)}; call one of them {kind}"
        )
    columns = ", ".join(
        f"{name} ({getattr(feature, 'dtype', type(feature).__name__)})" for name, feature in features.items()
    )
    needed = "images" if kind == "image" else "class names or whole numbers, or one sub-folder of images a class"
    raise InputError(f"{where}: no {kind} column; its columns are {columns or 'none'}; needed is a column of {needed}")
