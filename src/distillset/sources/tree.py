"""Contents of a folder: images, tables and sub-folders, and a list of everything that is not read."""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from distillset.errors import InputError
from distillset.sources import kinds

DEPTH = 100
VISITS = 8
"""How often one folder may be reached by links."""


@dataclass
class Folder:
    """A folder and what is in it, in the order of names; hidden files are not in it.

    Args:
        path: of the folder.
        images: names of the images that lie in it.
        tables: names of the tables that lie in it.
        folders: the folders in it.
        others: names of other files.
    """

    path: Path
    images: list[str] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    folders: list["Folder"] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.path.name

    def count(self) -> int:
        """Images in it and in all folders below."""
        return len(self.images) + sum(folder.count() for folder in self.folders)

    def filled(self) -> list["Folder"]:
        """The folders in it with images in them or below."""
        return [folder for folder in self.folders if folder.count()]

    def walk(self) -> Iterator["Folder"]:
        """It and all folders below."""
        yield self
        for folder in self.folders:
            yield from folder.walk()

    def files(self) -> list[Path]:
        """All images in it and below."""
        return [folder.path / name for folder in self.walk() for name in folder.images]


@dataclass
class Account:
    """What was left of a folder, by reason: how many, and one of them.

    Args:
        top: the folder.
    """

    top: Path
    left: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)

    def leave(self, kind: str, path: Path, why: str, count: int = 1) -> None:
        """Count ``count`` things left. ``kind`` follows their number, ``why`` is said in brackets or is empty."""
        before, first = self.left.get((kind, why), (0, _relative(path, self.top)))
        self.left[kind, why] = (before + count, first)

    def leave_folder(self, folder: Folder, why: str) -> None:
        """Leave a folder with the images in it."""
        self.leave("images", folder.path, why, folder.count())

    def leave_file(self, path: Path, why: str | None = None) -> None:
        """Leave a file; the reason is what would read files of its kind, unless another is given."""
        suffix = kinds.suffix_of(path.name)
        reason = kinds.ADVICE.get(suffix, "") if why is None else why
        self.leave(f"{suffix} files" if suffix else "files without a suffix", path, reason)

    def line(self, count: int, folders: int, things: str = "images") -> str:
        """One line of what was taken and what was left.

        Args:
            count: how many things were taken.
            folders: out of how many.
            things: what they are.
        """
        taken = f"{self.top}: took {many(count, things)} out of {many(folders, 'folders')}"
        return f"{taken}; left {said}" if (said := self.said()) else taken

    def said(self) -> str:
        """What was left, in words; empty where nothing was."""
        parts = [
            f"{many(count, kind)} ({first}{': ' + why if why else ''})"
            for (kind, why), (count, first) in sorted(self.left.items(), key=lambda item: -item[1][0])
        ]
        more = f", and {len(parts) - 8} other kinds" if len(parts) > 8 else ""
        return ", ".join(parts[:8]) + more


def look(path: Path) -> tuple[Folder, Account]:
    """What lies in a folder and below, and what was left there.

    Raises:
        InputError: a folder cannot be read.
    """
    account = Account(path)
    return _look(str(path), account, (), {}), account


def _look(path: str, account: Account, above: tuple[str, ...], visits: dict[str, int]) -> Folder:
    folder, real = Folder(Path(path)), os.path.realpath(path)
    visits[real] = visits.get(real, 0) + 1
    if real in above or len(above) > DEPTH or visits[real] > VISITS:
        account.leave("folders", folder.path, "a link that leads round" if len(above) <= DEPTH else "too deep")
        return folder
    try:
        with os.scandir(path) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
    except OSError as error:
        raise InputError.about(path, f"cannot be read ({error.strerror})") from None
    for entry in entries:
        _sort(entry, folder, account, (*above, real), visits)
    return folder


def _sort(
    entry: os.DirEntry[str], folder: Folder, account: Account, above: tuple[str, ...], visits: dict[str, int]
) -> None:
    name, path = entry.name, folder.path / entry.name
    if kinds.silent(name):
        return
    if entry.is_dir():
        if name.startswith("."):
            account.leave("hidden folders", path, "")
            return
        inner = _look(entry.path, account, above, visits)
        folder.folders.append(inner)
    elif name.startswith("."):
        account.leave("hidden files", path, "")
    elif not entry.is_file():
        account.leave("files", path, "a link to nowhere, or no regular file")
    elif kinds.is_image(entry.path, name):
        folder.images.append(name)
    elif kinds.suffix_of(name) in kinds.TABLES:
        folder.tables.append(name)
    else:
        folder.others.append(name)
        account.leave_file(path)


def walk_files(path: Path) -> list[Path]:
    """All files of a folder and below that are no images, hidden ones apart, in the order of their paths."""
    tree, _ = look(path)
    return [folder.path / name for folder in tree.walk() for name in sorted((*folder.tables, *folder.others))]


def regular(path: Path) -> bool:
    """Whether a path is a file with content of its own: no device, no pipe."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def unread_reason(folder: Folder) -> str | None:
    """Why a folder without images has none, where it holds images of other kinds; else None."""
    names = [name for inner in folder.walk() for name in inner.others if kinds.suffix_of(name) in kinds.UNREAD_IMAGES]
    if not names:
        return None
    suffix = kinds.suffix_of(names[0])
    advice = kinds.ADVICE.get(suffix)
    return f"{many(len(names), f'{suffix} files')} in its folder are not read{f'; {advice}' if advice else ''}"


def many(count: int, things: str) -> str:
    """A number of things, such as files, folders or images; one of them in the singular."""
    if count != 1:
        return f"{count:,} {things}"
    for plural, one in (("files", "file"), ("folders", "folder"), ("images", "image")):
        if plural in things:
            return f"1 {things.replace(plural, one, 1)}"
    return f"1 {things}"


def _relative(path: Path, top: Path) -> str:
    return str(path.relative_to(top)) if path.is_relative_to(top) else str(path)


def few(names: Sequence[str], most: int = 4) -> str:
    """The first of some names, and how many there are."""
    return ", ".join(names[:most]) + (f", ... ({len(names)} in all)" if len(names) > most else "")
