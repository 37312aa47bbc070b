"""MATLAB's ``.mat`` files of version 5 (since 1996; what ``save -v7`` writes), read within bounds.

After MathWorks' "MAT-File Format": a head of 128 bytes, then elements, each with a tag of its type and length.
Variables are elements that hold others: flags, lengths of the sides, a name, values. What comes out is arrays of
numbers, text, dicts (a structure) and lists of dicts (an array of structures). Objects, functions and sparse matrices
are passed over. Version 7.3 is HDF5.
"""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from distillset.errors import InputError, reason
from distillset.sources.bounds import check_declared
from distillset.sources.raw_arrays import whole_file

LARGEST = 2**33
"""Bytes of a file; SVHN's extra images have 1.3 billion."""

BLOCK = 2**20
"""Bytes that are unpacked at a time."""

DEEPEST = 6
"""Structures in structures."""

FIELDS = 100_000
"""Of all elements of an array of structures; ImageNet's list of classes has 15,000."""

TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8", 16: "u1", 17: "u2"}
MATRIX, COMPRESSED = 14, 15
STRUCTURE, TEXT, NUMBERS = 2, 4, range(6, 16)
COMPLEX = 0x0800


class _Malformed(Exception):
    """The message says what is wrong."""


def read_mat(path: Path) -> dict[str, Any]:
    """The variables of a file by name.

    Raises:
        InputError: it is damaged, cut short, a bomb, of version 7.3 or no such file.
    """
    content = whole_file(path, LARGEST)
    if content[:8] == b"\x89HDF\r\n\x1a\n" or content[512:520] == b"\x89HDF\r\n\x1a\n":
        raise InputError.about(path, "a .mat file of version 7.3, which is HDF5; rename it to .h5, or save it with -v7")
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    if order is None or len(content) < 136:
        raise InputError.about(path, "damaged, or not a .mat file of version 5 or 7")
    try:
        return _Reader(path, order).variables(memoryview(content)[128:])
    except _Malformed as fault:
        raise InputError.about(path, str(fault)) from None
    except InputError:
        raise
    except (struct.error, IndexError, ValueError, TypeError, zlib.error, OverflowError) as error:
        raise InputError.about(path, f"damaged or cut short ({reason(error)})") from None


class _Reader:
    """Reads the elements of one file; ``order`` is its byte order."""

    def __init__(self, path: Path, order: str) -> None:
        self.path, self.order = path, order
        self.unpacked = 0
        self.fields = 0

    def variables(self, content: memoryview) -> dict[str, Any]:
        """All variables of the file."""
        variables = {}
        while len(content) >= 8:
            kind, body, content = self.element(content)
            if kind == COMPRESSED:
                kind, body, _ = self.element(memoryview(self.decompressed(body)))
            if kind == MATRIX:
                name, value = self.matrix(body, 0)
                if value is not None:
                    variables[name] = value
        return variables

    def element(self, content: memoryview) -> tuple[int, memoryview, memoryview]:
        """(type, its bytes, what follows) of the next element."""
        first, length = struct.unpack_from(f"{self.order}II", content)
        if first >> 16:  # a small one, of up to four bytes in its tag
            kind, length = first & 0xFFFF, first >> 16
            if length > 4:
                raise _Malformed("damaged: a small element of more than four bytes")
            return kind, content[4 : 4 + length], content[8:]
        if length > len(content) - 8:
            raise _Malformed("cut short, or damaged")
        end = 8 + length
        # Compressed elements are not filled up to eight bytes.
        return first, content[8:end], content[end if first == COMPRESSED else end + -length % 8 :]

    def decompressed(self, packed: memoryview) -> bytearray:
        """What an element holds, a block at a time, up to what its first bytes say and the bound allows."""
        stream = zlib.decompressobj()
        content = bytearray(stream.decompress(packed[:BLOCK], 8))
        _, length = struct.unpack_from(f"{self.order}II", content)
        self.unpacked += length
        check_declared(self.path, self.unpacked, "its variables")
        whole, block, start = 8 + length, stream.unconsumed_tail, BLOCK
        while len(content) < whole and (block or start < len(packed)):
            if not block:
                block, start = bytes(packed[start : start + BLOCK]), start + BLOCK
            content += stream.decompress(block, whole - len(content))
            block = stream.unconsumed_tail
        if len(content) < whole:
            content += stream.flush(whole - len(content) + 1)[: whole - len(content)]
        if len(content) < whole:
            raise _Malformed("cut short, or damaged")
        return content

    def matrix(self, body: memoryview, depth: int) -> tuple[str, Any]:
        """(name, value) of a variable or field; None where it is of a kind that is passed over."""
        if not len(body):
            return "", None
        if depth > DEEPEST:
            raise _Malformed(f"structures of more than {DEEPEST} levels")
        _, flags, rest = self.element(body)
        _, sides, rest = self.element(rest)
        _, name, rest = self.element(rest)
        (word,) = struct.unpack_from(f"{self.order}I", flags)
        kind = word & 0xFF
        shape = tuple(int(side) for side in np.frombuffer(sides, f"{self.order}i4"))
        if not 2 <= len(shape) <= 8 or min(shape) < 0:
            raise _Malformed("damaged: an array of an impossible shape")
        label = bytes(name).decode("ascii", "replace")
        if kind == STRUCTURE:
            return label, self.structure(shape, rest, depth)
        if kind not in (TEXT, *NUMBERS) or word & COMPLEX:
            return label, None
        stored, values, _ = self.element(rest)
        if stored not in TYPES:
            raise _Malformed(f"values of the unknown type {stored}")
        array = np.frombuffer(values, self.order + TYPES[stored])
        if kind == TEXT:
            return label, "".join(map(chr, array[:4096].tolist()))
        size = 1
        for side in shape:
            size *= side
        if size != array.size:
            raise _Malformed(f"the array {label[:60]!r} has {array.size} values; its shape {list(shape)} needs {size}")
        return label, array.reshape(shape, order="F")

    def structure(self, shape: tuple[int, ...], rest: memoryview, depth: int) -> Any:
        """A structure as a dict, an array of them as a list."""
        _, length, rest = self.element(rest)
        _, text, rest = self.element(rest)
        (width,) = struct.unpack_from(f"{self.order}i", length)
        if not 1 <= width <= 256:
            raise _Malformed("damaged: the names of fields")
        raw = bytes(text)
        names = [raw[at : at + width].split(b"\0")[0].decode("ascii", "replace") for at in range(0, len(raw), width)]
        count = 1
        for side in shape:
            count *= side
        self.fields += count * max(1, len(names))
        if self.fields > FIELDS:
            raise _Malformed(f"more than {FIELDS:,} fields of structures")
        fields = []
        for _ in range(count):
            record = {}
            for name in names:
                kind, body, rest = self.element(rest)
                record[name] = self.matrix(body, depth + 1)[1] if kind == MATRIX else None
            fields.append(record)
        return fields[0] if count == 1 else fields
