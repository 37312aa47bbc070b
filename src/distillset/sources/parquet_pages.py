"""What a parquet file unfolds to, from the heads of its pages: a small file may say one picture a million times.

After the Parquet format (parquet.thrift, https://parquet.apache.org/docs/file-format): before each page stands its head
in Thrift's compact protocol, with its size unpacked and the number of its values. Arrow believes these heads, not the
totals in the metadata at the end of the file, so they are what is checked. Values of a fixed width are counted from the
heads alone. How long texts and pictures are that stand in a dictionary is known only when they are read: where they
could be too many they are read once to be counted, in blocks of so few rows that none can be large.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from distillset.errors import InputError, reason
from distillset.sources.bounds import HARMLESS, RATIO, ROWS, allowed, check_declared

BLOCK_ROWS, BLOCK_BYTES = 1000, 2**26
"""What is read at a time to be counted, at most."""

WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8, "BYTE_ARRAY": 4}
"""Bytes of a value in memory, at least; of texts the place where they begin."""

DICTIONARY_PAGE = 2
DATA_PAGE, DATA_PAGE_2 = 0, 3
BODIES = {DATA_PAGE: 5, DICTIONARY_PAGE: 7, DATA_PAGE_2: 8}
"""Kind of page to the field of its own part of the head."""

BY_DICTIONARY, DELTA_TEXT = (2, 8), 7
"""Encodings in which few bytes stand for many."""

LARGEST_HEAD = 2**24


class _Malformed(Exception):
    """The head of a page is not one."""


@dataclass
class _Pages:
    """What the pages of a file say.

    Args:
        declared: bytes they unpack to, at least.
        possible: bytes of texts that few bytes may stand for beyond that, at most.
        flat: columns of such texts, and the longest value of each.
        nested: the same of texts in lists.
    """

    declared: int = 0
    possible: int = 0
    flat: dict[str, int] = field(default_factory=dict)
    nested: dict[str, int] = field(default_factory=dict)


def check_parquet(path: Path) -> None:
    """Check a file by the heads of its pages; where these leave it open, count what it unpacks to, block by block.

    A file that is not parquet passes: what reads the data says it better.

    Raises:
        InputError: it is a bomb, or the heads of its pages are damaged.
    """
    import pyarrow.parquet

    try:
        metadata = pyarrow.parquet.read_metadata(path)
    except (OSError, ValueError):
        return
    if metadata.num_rows > ROWS:
        raise InputError.about(path, f"{metadata.num_rows:,} rows; allowed are {ROWS:,}")
    pages, most = _Pages(), allowed(path.stat().st_size)
    with path.open("rb") as file:
        for group in range(metadata.num_row_groups):
            row_group = metadata.row_group(group)
            for column in range(row_group.num_columns):
                chunk = row_group.column(column)
                try:
                    _count(file, chunk, metadata.schema.column(column), pages)
                except _Malformed:
                    raise InputError.about(path, f"damaged: column {chunk.path_in_schema} has no whole pages") from None
                check_declared(path, pages.declared, "its columns")
    if pages.declared + pages.possible <= most:
        return
    decoded = pages.declared
    for size in _sizes(path, pages, metadata.num_rows):
        decoded += size
        if decoded > most:
            raise InputError.about(
                path,
                f"its columns unpack to more than {most:,} bytes from {path.stat().st_size:,}: a decompression "
                f"bomb; allowed are {HARMLESS:,}, or {RATIO} times the file",
            )


def _sizes(path: Path, pages: _Pages, rows: int) -> Iterator[int]:
    """Bytes of the texts that few bytes may stand for, as they are counted.

    Raises:
        InputError: they cannot be read, or not all of the ``rows``.
    """
    import pyarrow.parquet

    for name, longest in {**pages.flat, **pages.nested}.items():
        seen, nested = 0, name in pages.nested
        block = BLOCK_ROWS if nested else max(1, min(BLOCK_ROWS, BLOCK_BYTES // max(1, longest)))
        try:
            # A row of a list may hold any number of texts: they stay numbers of a dictionary, and lengths are added up.
            with pyarrow.parquet.ParquetFile(path, read_dictionary=[name] if nested else []) as file:
                for batch in file.iter_batches(batch_size=block, columns=[name], use_threads=False):
                    seen += batch.num_rows if batch.num_columns else 0
                    yield from (map(_unfolded, batch.columns) if nested else (batch.nbytes,))
        except (OSError, ValueError) as error:
            raise InputError.about(path, f"column {name} is damaged ({reason(error)})") from None
        if seen != rows:
            raise InputError.about(path, f"column {name} cannot be told from others, and could be a decompression bomb")


def _unfolded(array: Any) -> int:
    """Bytes of the texts of an array of lists, were each written out."""
    import pyarrow as pa
    from pyarrow import compute

    if isinstance(array, pa.ExtensionArray):
        return _unfolded(array.storage)
    if isinstance(array, pa.DictionaryArray):
        lengths = compute.binary_length(array.dictionary)
        return int(compute.sum(lengths.take(array.indices)).as_py() or 0)
    if isinstance(array, pa.StructArray):
        return sum(map(_unfolded, array.flatten()))
    if isinstance(array, pa.MapArray):
        return _unfolded(array.keys) + _unfolded(array.items)
    return _unfolded(array.flatten()) if hasattr(array, "flatten") else int(array.nbytes)


def _count(file: BinaryIO, chunk: Any, kind: Any, pages: _Pages) -> None:
    """Add a column of a group of rows."""
    width = WIDTHS.get(chunk.physical_type) or max(1, kind.length)
    texts, dictionary = chunk.physical_type == "BYTE_ARRAY", 0
    for head in _heads(file, chunk):
        page, unpacked = head.get(1, -1), head.get(2, 0)
        body = head.get(BODIES.get(page, 0), {})
        count = body.get(1, 0)
        if min(unpacked, count) < 0:
            raise _Malformed
        pages.declared += max(unpacked, count * width)
        if page == DICTIONARY_PAGE:
            dictionary = unpacked
        encoding = body.get(4 if page == DATA_PAGE_2 else 2)
        if not texts or page == DICTIONARY_PAGE or encoding not in (*BY_DICTIONARY, DELTA_TEXT):
            continue
        longest = unpacked if encoding == DELTA_TEXT else dictionary
        if kind.max_repetition_level and encoding == DELTA_TEXT and count * longest > HARMLESS:
            pages.declared += count * longest  # nothing reads these but whole
        pages.possible += count * longest
        columns = pages.nested if kind.max_repetition_level else pages.flat
        columns[kind.path] = max(columns.get(kind.path, 0), longest)


def _heads(file: BinaryIO, chunk: Any) -> Iterator[dict[int, Any]]:
    """The heads of the pages of a column of a group of rows, as Arrow comes across them."""
    start = chunk.data_page_offset
    if chunk.dictionary_page_offset and 0 < chunk.dictionary_page_offset < start:
        start = chunk.dictionary_page_offset
    end, seen = start + chunk.total_compressed_size, 0
    while start < end and seen < chunk.num_values:
        head, length = _head(file, start)
        yield head
        packed = head.get(3, -1)
        if packed < 0:
            raise _Malformed
        seen += 0 if head.get(1) == DICTIONARY_PAGE else head.get(BODIES.get(head.get(1, -1), 0), {}).get(1, 0)
        start += length + packed


def _head(file: BinaryIO, start: int) -> tuple[dict[int, Any], int]:
    """The head at a place, and its length."""
    size = 2**10
    while size <= LARGEST_HEAD:
        file.seek(start)
        content = file.read(size)
        reader = _Compact(content)
        try:
            return reader.fields(0), reader.at
        except IndexError:
            if len(content) < size:
                raise _Malformed from None
            size *= 16
    raise _Malformed


class _Compact:
    """Reads a structure in Thrift's compact protocol: field to number or structure; all else is passed over."""

    def __init__(self, content: bytes) -> None:
        self.content, self.at = content, 0

    def byte(self) -> int:
        self.at += 1
        return self.content[self.at - 1]

    def number(self) -> int:
        """A variable-length number, with its sign."""
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 63:
                raise _Malformed

    def signed(self) -> int:
        value = self.number()
        return (value >> 1) ^ -(value & 1)

    def fields(self, depth: int) -> dict[int, Any]:
        """A structure."""
        if depth > 8:
            raise _Malformed
        values: dict[int, Any] = {}
        field = 0
        while head := self.byte():
            field = field + (head >> 4) if head >> 4 else self.signed()
            value = self.value(head & 0x0F, depth)
            if value is not None:
                values[field] = value
        return values

    def value(self, kind: int, depth: int) -> Any:
        """A value by its type."""
        if kind in (1, 2):  # true and false stand in the type
            return None
        if kind == 3:
            self.byte()
        elif kind in (4, 5, 6):
            return self.signed()
        elif kind == 7:
            self.skip(8)
        elif kind == 8:
            self.skip(self.number())
        elif kind in (9, 10):
            head = self.byte()
            for _ in range(head >> 4 if head >> 4 < 15 else self.number()):
                self.value(head & 0x0F, depth + 1)
        elif kind == 12:
            return self.fields(depth + 1)
        else:
            raise _Malformed
        return None

    def skip(self, count: int) -> None:
        self.at += count
        if self.at > len(self.content):
            raise IndexError


class Decoded:
    """Counts the bytes of the tables that a reader makes, and stops it where they are too many for its files.

    Args:
        where: what messages call them.
        files: what is read.
    """

    def __init__(self, where: Path, files: list[Path]) -> None:
        self.where = where
        self.packed = sum(file.stat().st_size for file in files if file.is_file())
        self.decoded = 0

    def counted(self, generate: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        """``generate`` with its tables counted; it gives pairs of a key and a table of Arrow."""
        most = allowed(self.packed)

        def counting(*arguments: Any, **named: Any) -> Iterator[Any]:
            for key, table in generate(*arguments, **named):
                self.decoded += table.nbytes
                if self.decoded > most:
                    raise InputError.about(
                        self.where,
                        f"its tables unpack to more than {most:,} bytes from {self.packed:,}: a "
                        f"decompression bomb; allowed are {HARMLESS:,}, or {RATIO} times the files",
                    )
                yield key, table

        return counting
