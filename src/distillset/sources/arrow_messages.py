"""Arrow's files, as `save_to_disk` writes them, by the heads of their messages: none of them may be compressed.

After "Arrow columnar format", IPC (https://arrow.apache.org/docs/format/Columnar.html): a message is four bytes of
ones, the length of its head, the head as a FlatBuffer, and a body. Plain bodies are mapped from the disk and unfold to
nothing more. Compressed ones are unpacked whole when a file is opened, whatever they unfold to; `datasets` writes none.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

from distillset.errors import InputError

MAGIC = b"ARROW1\0\0"
MORE = b"\xff\xff\xff\xff"
DICTIONARY_BATCH, RECORD_BATCH = 2, 3
KIND, HEADER, BODY_LENGTH = 1, 2, 3
"""Fields of a message."""
DATA, COMPRESSION = 1, 3
"""Fields of a batch: of a dictionary, its values; of values, how they are compressed."""

LARGEST_HEAD = 2**26


def check_arrow(path: Path) -> None:
    """Refuse a file with compressed values.

    Raises:
        InputError: they are compressed, or the heads of its messages are damaged.
    """
    try:
        packed = any(map(_compressed, _heads(path)))
    except (OSError, struct.error, ValueError):
        raise InputError.about(path, "damaged, or not a file of Arrow") from None
    if packed:
        raise InputError.about(
            path, "its values are compressed, and could unfold to anything; save them plain, as save_to_disk does"
        )


def _heads(path: Path) -> Iterator[bytes]:
    """The heads of all messages; the bodies are passed over."""
    with path.open("rb") as file:
        if file.read(8) != MAGIC:
            file.seek(0)
        while (start := file.read(8)) and start[:4] == MORE and start[4:] != b"\0\0\0\0":
            (length,) = struct.unpack("<i", start[4:])
            if not 0 < length <= LARGEST_HEAD:
                raise ValueError
            head = file.read(length)
            yield head
            place = _field(head, _root(head), BODY_LENGTH)
            body = struct.unpack_from("<q", head, place)[0] if place else 0
            if body < 0:
                raise ValueError
            file.seek(body, 1)


def _compressed(head: bytes) -> bool:
    """Whether a message says that its values are compressed."""
    message = _root(head)
    place = _field(head, message, KIND)
    kind = head[place] if place else 0
    batch = _table(head, message, HEADER) if kind in (DICTIONARY_BATCH, RECORD_BATCH) else 0
    if kind == DICTIONARY_BATCH:
        batch = _table(head, batch, DATA)
    return bool(batch and _field(head, batch, COMPRESSION))


def _root(head: bytes) -> int:
    return int(struct.unpack_from("<I", head)[0])


def _field(head: bytes, table: int, number: int) -> int:
    """Where a field of a table lies; 0 where it has none."""
    fields = table - struct.unpack_from("<i", head, table)[0]
    if fields < 0:
        raise ValueError
    if 6 + 2 * number > struct.unpack_from("<H", head, fields)[0]:
        return 0
    offset = struct.unpack_from("<H", head, fields + 4 + 2 * number)[0]
    if table + offset >= len(head):
        raise ValueError
    return table + offset if offset else 0


def _table(head: bytes, table: int, number: int) -> int:
    """Where the table lies to which a field of another leads; 0 where there is none."""
    place = _field(head, table, number)
    return place + int(struct.unpack_from("<I", head, place)[0]) if place else 0
