"""Files and folders that are whole or not there, also after a crash or a power cut."""

import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from safetensors import SafetensorError

from distillset.errors import DiskError
from distillset.store.locks import check_still_held, claim, sweep, temporaries
from distillset.trust import open_own


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, flush it to the disk and rename it over ``path``.

    Whoever reads ``path`` sees the old file or the whole new one, also after a crash or a power cut.

    Raises:
        DiskError: the disk is full or cannot be written, or a folder that this process holds went away.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent, temporaries(path))
        temporary = _temporary(path)
        with temporary.open("xb") as mine:
            claim(mine.fileno())
            try:
                write(temporary)
                # Some writers put a file of their own in its place, which only its owner may read.
                temporary.chmod(stat.S_IMODE(os.fstat(mine.fileno()).st_mode))
                with temporary.open("rb") as file:
                    os.fsync(file.fileno())
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
        with _opened_folder(path.parent) as folder:
            if folder is not None:
                os.fsync(folder)


def write_folder(path: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a temporary folder beside ``path`` and rename it to ``path``, which is missing or empty.

    Whoever looks sees nothing or the whole folder; what a crash leaves is hidden, and swept away the next time.

    Raises:
        DiskError: see `write_atomically`.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent, temporaries(path))
        temporary = _temporary(path)
        temporary.mkdir()
        with _opened_folder(temporary) as mine:
            if mine is not None:
                claim(mine)
            try:
                write(temporary)
                for file in temporary.rglob("*"):
                    if file.is_file():
                        with file.open("rb") as opened:
                            os.fsync(opened.fileno())
                temporary.replace(path)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _opened_folder(folder: Path) -> Iterator[int | None]:
    """A folder's descriptor, to be locked or flushed; None on Windows, which opens no folders."""
    if os.name == "nt":
        yield None
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        yield opened
    finally:
        os.close(opened)


def append(path: Path, line: str) -> None:
    """Add a line to a log. A crash may cut it short; readers leave such a line out.

    Raises:
        DiskError: see `write_atomically`; or the log is a symbolic link.
    """
    with writing(path), _appended(path) as file:
        file.write(line + "\n")


def _appended(path: Path) -> TextIO:
    return os.fdopen(open_own(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "a", encoding="utf-8")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What the disk says while ``path`` is written, as one line.

    Raises:
        DiskError: it is full or cannot be written, or ``path`` is in a folder that this process holds and that went
            away: made anew it would be another one, without its lock.
    """
    check_still_held(path)
    try:
        yield
    except DiskError:
        raise
    except OSError as error:
        raise DiskError(
            f"{path}: cannot be written ({error.strerror or error}); files that were complete are unchanged"
        ) from error
    except SafetensorError as error:
        raise DiskError(f"{path}: cannot be written ({error}); files that were complete are unchanged") from error


def _temporary(path: Path) -> Path:
    """Of this process alone: containers that share a folder may have equal process numbers."""
    return path.with_name(f".{path.name[:50]}.{os.getpid()}-{secrets.token_hex(4)}.tmp")


def write_text(path: Path, text: str) -> None:
    """Write ``text`` (UTF-8) to ``path`` atomically."""

    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8")

    write_atomically(path, write)
