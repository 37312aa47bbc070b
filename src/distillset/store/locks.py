"""Who may write in a folder: one process at a time, by locks of the operating system, which go with their process."""

import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from distillset.errors import BusyError, GoneError, InputError, unwritable
from distillset.trust import open_own

LOCK = ".lock"

_HELD: dict[Path, tuple[int, int]] = {}
"""Folders that this process holds, with device and inode of their locks: nothing is written where one went away."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold ``folder`` for this process. The lock goes with the process, so a crash leaves none behind.

    Raises:
        BusyError: another process holds it.
        InputError: it cannot be written.
    """
    place = folder.resolve()
    with _taken(folder) as mark:
        _HELD[place] = mark
        try:
            yield
        finally:
            if _HELD.get(place) == mark:  # else it was removed, and another holds one of that name
                del _HELD[place]


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """`locked`, without what a killed process was writing. If it was made for this and stays empty, it is gone again.

    Raises:
        InputError: see `locked`.
    """
    try:
        exists = folder.exists()
    except OSError as error:  # a name that is too long, say
        raise InputError.about(folder, f"cannot be written ({error.strerror})") from None
    with locked(folder):
        sweep(folder)
        try:
            yield
        finally:
            ours = _mark(folder / LOCK) == _HELD.get(folder.resolve())  # else it was removed, and perhaps made anew
            if not exists and ours and [path.name for path in folder.iterdir()] == [LOCK]:
                (folder / LOCK).unlink()
                folder.rmdir()


@contextmanager
def _taken(folder: Path) -> Iterator[tuple[int, int]]:
    """The lock itself; gives what tells it from a later one of the same name."""
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # Not emptied, and no link: it might lead to what is not ours.
            file = os.fdopen(open_own(folder / LOCK, os.O_RDWR | os.O_CREAT), "r+b")
        except OSError as error:
            raise unwritable(folder, error) from None
        with file:
            if not _lock(file.fileno()):
                raise BusyError.about(folder, "another run is using this folder; wait for it, or choose another `out`")
            status = os.fstat(file.fileno())
            mark = (status.st_dev, status.st_ino)
            if _mark(folder / LOCK) == mark:  # else whoever held it before removed it: it would lock nobody out
                yield mark
                return


def sweep(folder: Path, pattern: str = "**/.*.tmp") -> None:
    """Remove temporary files and folders that killed processes left; those being written are locked, and stay."""
    for path in list(folder.glob(pattern)):
        try:
            opened = os.open(path, os.O_RDONLY)
        except OSError:
            continue  # gone in the meantime
        try:
            if not _lock(opened):
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        except OSError:
            continue
        finally:
            os.close(opened)


def temporaries(path: Path) -> str:
    """The pattern of temporary files that become ``path``."""
    return f".{glob.escape(path.name[:50])}.*.tmp"


def claim(opened: int) -> None:
    """Show those who sweep that this is being written."""
    with suppress(OSError):  # a file system without locks: nobody sweeps there either
        _lock(opened, wait=True)


def _lock(opened: int, wait: bool = False) -> bool:
    """Take the lock of an open file or folder; False where another process has it and is not waited for.

    Of what `filelock` offers it is the one that opens no file by itself: what is locked here has been opened without
    following a link, and is not emptied.
    """
    try:
        from filelock import lock_descriptor  # only those who write need it
    except ImportError:  # where the library is run without having been installed
        raise InputError.about("filelock", "3.30 or later is needed: pip install 'filelock>=3.30'") from None
    return lock_descriptor(opened, blocking=wait)


def check_still_held(path: Path) -> None:
    """Whether ``path`` may be written.

    Raises:
        GoneError: it is in a folder that this process holds and that went away: made anew it would be another one,
            without its lock.
    """
    for folder, mark in _HELD.items():
        if path.resolve().is_relative_to(folder) and _mark(folder / LOCK) != mark:
            raise GoneError(f"{folder}: was removed or replaced during the run; what lay in it is gone with it")


def _mark(path: Path) -> tuple[int, int] | None:
    """What tells a file from another of the same name; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
