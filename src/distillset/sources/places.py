"""Where a name or a path leads: to a folder or file of this disk, to the hub, or to what is embedded."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distillset.data.spec import check_text
from distillset.errors import InputError
from distillset.sources import array_files, cache, digits, hugging_face, image_folder
from distillset.sources.known import KNOWN, Known, unknown
from distillset.sources.splits import Split


@dataclass(frozen=True)
class Place:
    """A source on this disk or on the hub.

    Args:
        name: of the data set.
        path: the folder or file; None for what is embedded or on the hub.
        known: the row of the table of known names, where it was found by one.
    """

    name: str
    path: Path | None
    known: Known | None

    @property
    def source(self) -> str:
        """What finds it again."""
        return self.name if self.known is not None else str(self.path)

    def identity(self) -> dict[str, Any]:
        """What the cache's key is made of: where it is, and when its files changed; the hub is taken as unchanging."""
        stated = None if self.known is None else self.known.identity()
        if self.path is None:
            return {"name": self.name, "known": stated}
        files = [seen for file in array_files.files(self.path) for seen in cache.files_of(file)]
        return {"name": self.name, "known": stated, "path": str(self.path), "files": files}

    def open(self, scratch: Path) -> Mapping[str, Split]:
        """Its splits. ``scratch`` is a folder for what a reader has to write, needed until the splits are read."""
        if self.path is not None:
            if self.path.is_file():
                return array_files.open_arrays(self.path)
            return image_folder.open_image_folder(self.path) or hugging_face.open_folder(self.path, scratch)
        assert self.known is not None
        return digits.open_digits() if self.known.hub is None else hugging_face.open_hub(self.name, self.known)


def expanded(path: str | Path) -> Path:
    """``path`` with ``~`` replaced by the home it stands for, where there is one."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def there(path: Path) -> bool:
    """Whether a path exists; a name that no file system takes does not."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _of_the_hub(name: str) -> str:
    known = next((known for known, row in KNOWN.items() if row.hub == name and row.classes is None), None)
    return "" if known is None else f" (did you mean {known}?)"


def find(data: str | os.PathLike[str], data_dir: str | Path | None = None, flag: str = "--data") -> Place:
    """Where a name or path leads: a known name (under ``data_dir`` or on the hub), a path, a folder under ``data_dir``.

    Raises:
        InputError: it leads nowhere, or to a file of another kind.
    """
    name = os.fspath(data)
    given = data_dir or os.environ.get("DISTILLSET_DATA")
    folder = expanded(given) if given else None
    if data_dir and (folder is None or not folder.is_dir()):
        raise InputError(f"--data-dir {data_dir}: no such folder")
    if name in KNOWN and isinstance(data, str):
        known = KNOWN[name]
        if folder is None or known.hub is None:
            return Place(name, None, known)
        folders = (folder / inner for inner in (name, *known.folders))
        found = next((place for place in folders if place.is_dir()), None) or array_files.named(folder, name)
        return Place(name, None if found is None else found.resolve(), known)
    path = expanded(name)
    if not there(path) and folder is not None and name and there(folder / name):
        path = folder / name
    if not name or not there(path):
        if name and os.sep not in name and path.suffix not in array_files.SUFFIXES:
            raise unknown(name, flag)
        raise InputError(f"{flag} {name}: no such folder or file{_of_the_hub(name)}")
    path = path.resolve()
    check_text(f"{flag}: the path", str(path))
    if not path.is_dir() and path.suffix not in array_files.SUFFIXES:
        raise InputError(
            f"{flag} {name}: a file of this kind is not read; allowed are {', '.join(array_files.SUFFIXES)} and folders"
        )
    return Place(path.stem if path.is_file() else path.name, path, None)
