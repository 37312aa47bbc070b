"""``.pt`` files read without running anything: tensors, lists, dictionaries, text and numbers are built, nothing else.

NumPy's single numbers are numbers too (Zhao et al.'s code keeps its accuracies as such): stand-ins of our own take the
place of what NumPy would be asked for.
"""

import io
import re
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from distillset.errors import InputError, shown


def load_plain(path: Path) -> Any:
    """What a file holds.

    Raises:
        InputError: it is missing, is no ``.pt`` file, or holds objects, which loading would have to run code for.
    """
    if not path.is_file():
        raise InputError.about(path, "no such file")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError.about(path, f"cannot be read ({error.strerror})") from None
    try:
        with torch.serialization.safe_globals(list(STAND_INS)):
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler of hostile bytes raises whatever it likes
        named = re.search(r"GLOBAL (\S+)", str(error))
        # What PyTorch advises, to load it all the same, would run the code of whoever wrote the file.
        why = f"it holds {named[1]}, an object" if named else "it is damaged, or another kind of file"
        raise InputError.about(path, f"not read; it has to be a .pt file of tensors and plain values ({why})") from None


class _Kind:
    """Stands in for a NumPy type: of single numbers."""

    def __init__(self, code: Any, *_: Any) -> None:
        if code not in FORMATS:
            raise InputError.about("a NumPy number", f"its kind {shown(code)} is not read")
        self.code, self.order = code, "<"

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, tuple) and len(state) > 1 and state[1] == ">":
            self.order = ">"


def _single(kind: Any, content: Any) -> Any:
    """Stands in for the making of a NumPy number."""
    if not isinstance(kind, _Kind) or not isinstance(content, bytes):
        raise InputError.about("a NumPy number", "its kind is not read")
    (number,) = struct.unpack(kind.order + FORMATS[kind.code], content)
    return number


def _encode(text: Any, coding: Any) -> bytes:
    """Stands in for the way in which old pickles hold bytes."""
    if not isinstance(text, str) or coding != "latin1":
        raise InputError.about("bytes", "their kind is not read")
    return text.encode("latin1")


FORMATS = {
    "f8": "d", "f4": "f", "f2": "e", "i8": "q", "i4": "i", "i2": "h", "i1": "b",
    "u8": "Q", "u4": "I", "u2": "H", "u1": "B", "b1": "?",
}  # fmt: skip
"""NumPy's kinds of numbers to those of `struct`."""

STAND_INS: Sequence[tuple[Any, str]] = (
    (_single, "numpy._core.multiarray.scalar"),
    (_single, "numpy.core.multiarray.scalar"),
    (_Kind, "numpy.dtype"),
    (_encode, "_codecs.encode"),
)
