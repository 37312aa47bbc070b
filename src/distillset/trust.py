"""Ownership of files: nothing that other users can change is run, followed or trusted.

Trusted are this user and root, who can do everything anyway. A group counts as others, unless it is the user's own, as
many systems make one for every user: named like the user, and without another member.
"""

import errno
import functools
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from distillset.errors import InputError

PRIVATE = 0o700
"""Mode of the folders of the cache: this user's alone."""

CAREFULLY = 0
for _name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):  # not every system has each
    CAREFULLY |= getattr(os, _name, 0)


def doubt(path: Path) -> str | None:
    """Why others could have changed ``path``, in words that follow its name; None where they could not.

    A symbolic link is doubted, wherever it leads, and so is what cannot be looked at.
    """
    try:
        return _doubt(path.lstat())
    except OSError as error:
        return f"cannot be looked at ({error.strerror})"


def doubt_of(opened: int) -> str | None:
    """The same of an open file."""
    return _doubt(os.fstat(opened))


def own_folder(folder: Path, variable: str = "DISTILLSET_CACHE") -> Path:
    """A folder for this user alone, made with mode 0700 where it is missing; where that cannot be, it stays missing.

    Args:
        folder: the folder.
        variable: of the environment, names another.

    Raises:
        InputError: others can write in it, or replace it: anybody may write in a folder above it, which is not sticky.
    """
    try:
        folder.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        real = folder.resolve(strict=True)
    except (OSError, RuntimeError):  # whoever writes there says it
        return folder
    doubtful = doubt(real)
    if doubtful is None:
        above = next((above for above in real.parents if _open_to_all(above)), None)
        doubtful = f"others can write in {above} and replace it" if above else None
    if doubtful:
        raise InputError.about(
            folder,
            f"{doubtful}, so what lies there may be theirs; keep others out (chown, chmod go-w), or name "
            f"another folder with {variable}",
        )
    return folder


def sound(folder: Path) -> bool:
    """Whether a folder and all in it are this user's, files and folders only, and no file has a second name elsewhere:
    what is written there changes nothing outside.
    """
    return doubt(folder) is None and folder.is_dir() and all(map(_inside, _walk(folder)))


def shut(path: Path) -> None:
    """Let nobody else write ``path``, whatever the user's mask lets new files be."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        path.chmod(mode & ~(stat.S_IWGRP | stat.S_IWOTH))


def open_own(path: str | Path, flags: int, mode: int = 0o666) -> int:
    """`os.open`, following no link at the end of ``path``, and waiting for no writer of a pipe; in binary mode."""
    return os.open(path, flags | CAREFULLY, mode)


def read_own(path: Path) -> bytes:
    """The bytes of a file of this user's.

    Raises:
        OSError: there is none, or others could have changed it.
    """
    with os.fdopen(open_own(path, os.O_RDONLY), "rb") as file:
        if doubtful := doubt_of(file.fileno()):
            raise PermissionError(errno.EPERM, doubtful, str(path))
        return file.read()


def _walk(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            yield entry
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path))


def _inside(entry: os.DirEntry[str]) -> bool:
    status = entry.stat(follow_symlinks=False)
    return _doubt(status) is None and (stat.S_ISDIR(status.st_mode) or status.st_nlink == 1)


def _doubt(status: os.stat_result) -> str | None:
    mode = status.st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        return "is a symbolic link" if stat.S_ISLNK(mode) else "is neither a file nor a folder"
    if os.name == "nt":  # its owners and rights are not told by `stat`
        return None
    if status.st_uid not in (0, os.getuid()):
        return f"belongs to user {status.st_uid}, not to you ({os.getuid()})"
    writers = stat.S_IWOTH | (0 if status.st_gid == _own_group() else stat.S_IWGRP)
    return f"others can write there (mode {stat.S_IMODE(mode):04o})" if mode & writers else None


def _open_to_all(folder: Path) -> bool:
    mode = folder.stat().st_mode
    return bool(mode & stat.S_IWOTH) and not mode & stat.S_ISVTX


@functools.cache
def _own_group() -> int | None:
    """The group that this user has alone."""
    import grp
    import pwd

    try:
        user = pwd.getpwuid(os.getuid())
        group = grp.getgrgid(user.pw_gid)
    except KeyError:
        return None
    alone = group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name}
    return group.gr_gid if alone else None
