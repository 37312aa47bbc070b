"""Libraries that were built, in the cache: loaded only if they are, byte for byte, what this user's own build wrote.

Loading runs code. So nothing is loaded by its name alone: folder and files must be this user's, closed to others and no
links, and a library's SHA-256 the one that was recorded after the build, beside it. What is checked is what is loaded:
both go through one opened folder, in the place of which nobody can put another.
"""

import ctypes
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from distillset.errors import DiskError
from distillset.store import write_atomically, write_text
from distillset.trust import PRIVATE, doubt_of, open_own, read_own, shut


def load(folder: Path, name: str, build: Callable[[Path], object]) -> ctypes.CDLL:
    """A library of ``folder``, which is closed to others first; built where it is missing or doubtful.

    Two processes that build the same at once do not meet: a library's file is named by what it holds, too.

    Args:
        folder: this user's own.
        name: names what it is made of.
        build: writes the library to a path.

    Raises:
        DiskError, OSError: it cannot be kept or loaded.
    """
    opened = open_own(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        if doubt := doubt_of(opened):
            raise DiskError(f"{folder}: {doubt}; nothing is loaded from there")
        os.fchmod(opened, PRIVATE)
        within = Path(f"/proc/self/fd/{opened}")
        digest = _recorded(within / _record(name))
        if digest is None or not _is(within / _file(name, digest), digest):
            digest = _built(folder, name, build)
            if not _is(within / _file(name, digest), digest):
                raise DiskError(f"{folder / _file(name, digest)}: is not what was built; another process changed it")
        return ctypes.CDLL(str(within / _file(name, digest)))
    finally:
        os.close(opened)


def _built(folder: Path, name: str, build: Callable[[Path], object]) -> str:
    """Build it, record what was built, and give that."""
    with tempfile.TemporaryDirectory(prefix="distillset-") as aside:
        built = Path(aside) / f"{name}.so"
        build(built)
        library = built.read_bytes()
    digest = hashlib.sha256(library).hexdigest()
    write_atomically(folder / _file(name, digest), lambda temporary: temporary.write_bytes(library))
    write_text(folder / _record(name), digest + "\n")
    for path in (folder / _file(name, digest), folder / _record(name)):
        shut(path)
    return digest


def _record(name: str) -> str:
    return f"{name}.sha256"


def _file(name: str, digest: str) -> str:
    return f"{name}-{digest[:16]}.so"


def _recorded(path: Path) -> str | None:
    """The SHA-256 of the library that was built last."""
    try:
        digest = read_own(path).decode("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return digest if len(digest) == 64 and digest.isalnum() else None


def _is(path: Path, digest: str) -> bool:
    try:
        return hashlib.sha256(read_own(path)).hexdigest() == digest
    except OSError:
        return False
