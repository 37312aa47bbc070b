"""Origin of an artifact's images in its card; paths are cut before a card leaves this machine."""

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

PATHS = {"data": ("source", "test"), "settings": ("init", "experts")}
"""Fields of a card that may hold paths of this machine."""


def real_images(rows: Sequence[int], files: Sequence[str] | None) -> dict[str, Any]:
    """The field ``real`` of a card: which real images those of the set are, or were learned from.

    Args:
        rows: their numbers in the training set as it was loaded, image by image; several an image where one was put
            together of several.
        files: their names below the folder of the data, where they are files.
    """
    return {"rows": list(rows), **({} if files is None else {"files": list(files)})}


def without_paths(card: Mapping[str, Any]) -> dict[str, Any]:
    """A card whose paths are their last names alone: what is passed on tells nobody how this machine is laid out."""
    short = dict(card)
    for name, fields in PATHS.items():
        inner = card.get(name)
        if isinstance(inner, dict):
            short[name] = {
                field: _last(value) if field in fields and isinstance(value, str) else value
                for field, value in inner.items()
            }
    return short


def row_without_path(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of an evaluation whose set is called by the last name of its folder."""
    return {**row, "artifact": _last(str(row.get("artifact", "")))}


def in_words(real: Any, most: int = 12) -> dict[str, str]:
    """The field ``real`` of a card in words: the first of the rows and files, and how many there are."""
    if not isinstance(real, dict):
        return {}
    names = {"rows": "real images, rows of the training set", "files": "real images, files"}
    return {
        words: ", ".join(map(str, real[name][:most])) + (f", ... ({len(real[name])})" if len(real[name]) > most else "")
        for name, words in names.items()
        if isinstance(real.get(name), list) and real[name]
    }


def _last(path: str) -> str:
    """The last name of a path; of what is none as it is."""
    return PurePath(path.replace("\\", "/")).name or path
