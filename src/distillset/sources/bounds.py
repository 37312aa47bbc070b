"""What a file may grow to when it is unpacked: a small one that declares more is refused before anything is read.

Pictures have a bound of their own, Pillow's: one of more than 179 million pixels is refused as a decompression bomb.
"""

import zipfile
from pathlib import Path

from distillset.errors import InputError

HARMLESS = 2**28
"""Bytes that anything may unpack to."""

RATIO = 200
"""Beyond that, how many times its size a file may declare. Images pack 2 to 5 times, blank ones 20 or so."""

ROWS = 10**8
"""Rows of a parquet file; the largest published sets have a seventh of that."""


UNPACKED = "; if it is your own, save it without compression: numpy.savez"


def allowed(size: int) -> int:
    """Bytes that a file of ``size`` bytes may unpack to."""
    return max(HARMLESS, RATIO * size)


def check_declared(path: Path, declared: int, what: str, instead: str = "") -> None:
    """Refuse a file that says it unpacks to far more than it can hold.

    Args:
        path: the file.
        declared: bytes.
        what: names them in the message.
        instead: what whoever made the file can do.

    Raises:
        InputError: it is a bomb.
    """
    size = path.stat().st_size
    if declared > allowed(size):
        raise InputError.about(
            path,
            f"{what} would unpack to {declared:,} bytes from {size:,}: a decompression bomb; allowed are "
            f"{HARMLESS:,}, or {RATIO} times the file{instead}",
        )


def check_npz(path: Path) -> None:
    """The members of an ``.npz`` file by what its directory declares; reading stops there whatever follows.

    Raises:
        InputError: it is a bomb.
    """
    with zipfile.ZipFile(path) as archive:
        check_declared(path, sum(member.file_size for member in archive.infolist()), "its arrays", UNPACKED)
