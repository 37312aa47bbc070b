"""The images that a table names, among those of a folder: with or without folder and suffix, as Windows writes them."""

import os
import posixpath
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from distillset.errors import InputError
from distillset.sources import roles
from distillset.sources.splits import few
from distillset.sources.tables import Cell
from distillset.sources.tree import Folder, regular

SAMPLE = 60
"""Rows by which it is seen how a table names its images."""


class NamedFiles:
    """The images of a folder, found by what a table calls them.

    Args:
        tree: the folder.
        base: where the table lies.
        allow_outside: whether a table may name files elsewhere.
    """

    def __init__(self, tree: Folder, base: Path, allow_outside: bool) -> None:
        self.top, self.allow_outside = tree.path, allow_outside
        self._base = _key(os.path.relpath(base, tree.path))
        self._paths: dict[str, Path] = {}
        self._stems: dict[str, list[str]] = {}
        self._names: dict[str, list[str]] = {}
        self._real: dict[Path, str] = {}
        self._real_top = Path(os.path.realpath(tree.path))
        for folder in tree.walk():
            inside = _key(os.path.relpath(folder.path, tree.path))
            for name in folder.images:
                key = posixpath.join(inside, unicodedata.normalize("NFC", name))
                self._paths[key] = folder.path / name
                self._stems.setdefault(posixpath.splitext(key)[0], []).append(key)
                for known in {posixpath.basename(key), posixpath.splitext(posixpath.basename(key))[0]}:
                    self._names.setdefault(known, []).append(inside)

    def key(self, cell: str) -> str | None:
        """What a cell names, relative to the folder or to a folder in it; None where that lies outside."""
        text = unicodedata.normalize("NFC", cell).strip()
        if "\\" in text and "/" not in text:
            text = text.replace("\\", "/")
        if text.startswith("/"):
            path = os.path.normpath(text)
            for top in (str(self.top), str(self._real_top)):
                if path.startswith(top + os.sep):
                    return "/" + _key(path[len(top) + 1 :])
            return None
        if text.startswith("~") or text[1:3] == ":/" or "\0" in text:
            return None
        return text

    def find(self, key: str | None, base: str) -> Path | None:
        """The image called ``key`` in the folder ``base`` (relative), with or without its suffix."""
        if key is None:
            return None
        full = key[1:] if key.startswith("/") else posixpath.normpath(posixpath.join(base, key))
        if full in self._paths:
            return self._paths[full]
        stems = self._stems.get(full, ())
        return self._paths[stems[0]] if len(stems) == 1 else None

    def has(self, cell: str) -> bool:
        """Whether a cell names an image here: of a table whose first line may be no header."""
        key = self.key(cell)
        return key is not None and any(self.find(key, base) for base in {self._base, "", *self._bases(key)})

    def base_of(self, cells: Sequence[str], role: str | None) -> tuple[str | None, float]:
        """(the folder that cells are relative to, None to look for each in all folders; the share of them found).

        The table's own folder goes first, then the folder with most of them; of several alike the one that is called as
        the table's split is.

        Raises:
            InputError: several folders have them all.
        """
        keys = [self.key(cell) for cell in cells[:: max(1, len(cells) // SAMPLE)]]
        for base in dict.fromkeys((self._base, "")):
            if all(self.find(key, base) for key in keys):
                return base, 1.0
        counts = Counter(
            base for key in keys if key is not None for base in set(self._bases(key)) if self.find(key, base)
        )
        most = max(counts.values(), default=0)
        if most < len(keys) and sum(self._single(key) is not None for key in keys) > most:
            return None, sum(self._single(key) is not None for key in keys) / len(keys)
        best = [base for base, count in counts.items() if count == most]
        if len(best) > 1:
            best = [base for base in best if role is not None and _role(base) == role] or best
        if len(best) > 1:
            raise InputError.about("", f"images of these names lie in several folders: {few(sorted(best))}")
        return (best[0], most / len(keys)) if best else (self._base, 0.0)

    def _bases(self, key: str) -> list[str]:
        """Folders relative to which ``key`` may name an image."""
        if key.startswith("/"):
            return [""]
        inner, name = posixpath.split(posixpath.normpath(key))
        folders = self._names.get(name, [])
        if not inner:
            return folders
        return [
            folder[: -len(inner)].rstrip("/") for folder in folders if folder == inner or folder.endswith(f"/{inner}")
        ]

    def _single(self, key: str | None) -> Path | None:
        """The one image of this name in all folders."""
        matches = {self.find(key, base) for base in self._bases(key)} - {None} if key is not None else set()
        return matches.pop() if len(matches) == 1 else None

    def path(self, cell: Cell, base: str | None) -> Path:
        """The image that a cell names.

        Raises:
            InputError: it is not there, no regular file, or outside the folder and that is not allowed.
        """
        if cell is None:
            raise InputError.about("", "there is no image")
        key = self.key(cell)
        path = self._single(key) if base is None else self.find(key, base)
        if path is not None:
            return self._inside(path)
        outside = self._elsewhere(cell)
        if key is not None and (
            outside is None or not posixpath.normpath(posixpath.join(base or "", key)).startswith("..")
        ):
            raise InputError.about("", f"No such file: {cell}; no image of this name is in {self.top}")
        if not self.allow_outside:
            raise InputError.about("", f"{cell} is outside the data's folder; `allow_outside=True` reads images there")
        if outside is None or not regular(outside):
            raise InputError.about("", f"No such file: {cell}, or no regular one")
        return outside

    def _elsewhere(self, cell: str) -> Path | None:
        try:
            return (self.top / self._base / Path(cell).expanduser()).resolve()
        except (OSError, ValueError, RuntimeError):
            return None

    def _inside(self, path: Path) -> Path:
        """``path``, which may be a link, or lie in a linked folder.

        Raises:
            InputError: it leads outside the folder.
        """
        if self.allow_outside:
            return path
        folder = path.parent
        if folder not in self._real:  # of 100,000 images in a folder, each part of its path is looked at once
            self._real[folder] = os.path.realpath(folder)
        real = os.path.realpath(path) if path.is_symlink() else os.path.join(self._real[folder], path.name)  # noqa: PTH118
        if not real.startswith(str(self._real_top) + os.sep):
            raise InputError.about(
                "", f"{path} is a link that leads outside the data's folder; `allow_outside=True` follows it"
            )
        return path


def _key(path: str) -> str:
    text = unicodedata.normalize("NFC", path.replace(os.sep, "/"))
    return "" if text == "." else text


def _role(base: str) -> str | None:
    names = [roles.role_of(part) for part in base.split("/")]
    return next((role[0] for role in names if role is not None), None)
