"""Which columns of a table are the images and the labels, and how what they hold is read."""

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from distillset.errors import InputError
from distillset.sources.kinds import suffix_of, suffixes
from distillset.sources.listed import PATH_NAMES
from distillset.sources.roles import plain
from distillset.sources.splits import Picture, Unusable, few
from distillset.sources.table_columns import IDS, LABEL_NAMES, MASKED, NO_LABELS
from distillset.sources.within import inside

IMAGE_NAMES = ("image", "img")
BASE64 = ("iVBOR", "/9j/", "R0lGOD", "UklGR", "Qk0")
"""How text begins that holds a PNG, JPEG, GIF, WebP or BMP file in base 64."""

Read = Callable[[Sequence[int]], list[Picture]]


@dataclass(frozen=True)
class Named:
    """Where files lie that rows name.

    Args:
        folder: which they must be in; None for rows of a program, which may name any.
        allow_outside: whether they may lie elsewhere.
    """

    folder: Path | None
    allow_outside: bool

    def picture(self, path: str) -> Picture:
        """The file, or why it is not read."""
        try:
            return Path(path) if self.folder is None else inside(Path(path), self.folder, self.allow_outside)
        except InputError as error:
            return Unusable(str(error))


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


def image_reader(rows: Any, where: str, named: Named) -> Read:
    """How the pictures of some rows are read.

    Images are an image column, bytes, arrays or nested lists of numbers, files in base 64, or paths.

    Raises:
        InputError: no column holds images, or several do and none is called image.
    """
    import datasets

    kinds = {name: _image_kind(name, feature) for name, feature in rows.features.items()}
    candidates = [name for name, kind in kinds.items() if kind == "encoded"]
    candidates = candidates or [name for name, kind in kinds.items() if kind == "array"]
    candidates = candidates or [name for name, kind in kinds.items() if kind == "text" and _holds_images(rows, name)]
    column = _chosen(candidates, PATH_NAMES, "image", rows.features, where)
    table = rows.select_columns([column])
    if kinds[column] == "encoded":
        encoded = table.cast_column(column, datasets.Image(decode=False))
        return lambda wanted: [_encoded(value, named) for value in encoded[wanted][column]]
    if kinds[column] == "array":
        table = table.with_format("numpy")  # as Python's numbers they would take a hundred times as long
        return lambda wanted: [_array(value) for value in table[wanted][column]]
    return lambda wanted: [_text(value, named) for value in table[wanted][column]]


def label_column(rows: Any, where: str) -> str:
    """The column of the labels: class labels, else one called like a label, else whole numbers or a few texts.

    Raises:
        InputError: there is none, or several and none is called label.
    """
    import datasets

    features = rows.features
    candidates = [name for name, feature in features.items() if isinstance(_inner(feature), datasets.ClassLabel)]
    if not candidates:
        plain = {name: feature.dtype for name, feature in features.items() if isinstance(feature, datasets.Value)}
        named = [
            name
            for name in features
            if _last(name) in LABEL_NAMES and (_depth(features[name]) == 1 or plain.get(name) not in (None, *_BINARY))
        ]
        numbers = [name for name, kind in plain.items() if kind.startswith(("int", "uint")) and _may_be_label(name)]
        texts = [name for name, kind in plain.items() if kind.endswith("string") and _may_be_label(name)]
        candidates = named or numbers or [name for name in texts if _few_texts(rows, name)]
    return _chosen(candidates, LABEL_NAMES, "label", features, where)


def plain_labels(values: Sequence[Any]) -> list[Any]:
    """Labels of a column: whole floats (pandas makes them of numbers with gaps) as numbers, truth values as names."""
    return [_plain_label(value) for value in values]


_BINARY = ("binary", "large_binary")


def _plain_label(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, float):
        return None if math.isnan(value) else int(value) if value.is_integer() else value
    if isinstance(value, str):
        return plain(value) or None
    return value


def _may_be_label(name: str) -> bool:
    return _last(name) not in (*IDS, *NO_LABELS, *MASKED, *PATH_NAMES, "__index_level_0__")


def _few_texts(rows: Any, name: str) -> bool:
    values = rows.select_columns([name])[:][name]
    return 2 <= len(set(values) - {None}) <= max(2, len(values) // 2)


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
        return "text" if feature.dtype.endswith("string") and _last(name) in PATH_NAMES else None
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


def _holds_images(rows: Any, name: str) -> bool:
    """Whether the first text of a column ends as an image file does, or is one in base 64."""
    first = rows[:1][name]
    text = first[0] if first and isinstance(first[0], str) else ""
    return suffix_of(text) in suffixes() or text.startswith(BASE64)


def _encoded(value: Any, named: Named) -> Picture:
    if not isinstance(value, dict):
        return None
    return (
        value["bytes"]
        if value.get("bytes") is not None
        else named.picture(value["path"])
        if value.get("path")
        else None
    )


def _text(value: str | None, named: Named) -> Picture:
    if value is None:
        return None
    if not value.startswith(BASE64):
        return named.picture(value)
    try:
        return base64.b64decode(value)
    except ValueError as error:
        return Unusable(f"the text is no image in base 64 ({error})")


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
        raise InputError.about(
            where, f"several columns could be the {kind}: {', '.join(candidates)}; call one of them {kind}"
        )
    columns = [f"{name} ({getattr(feature, 'dtype', type(feature).__name__)})" for name, feature in features.items()]
    needed = "images" if kind == "image" else "class names or whole numbers, called label"
    raise InputError.about(
        where, f"no {kind} column; its columns are {few(columns) or 'none'}; needed is a column of {needed}"
    )
