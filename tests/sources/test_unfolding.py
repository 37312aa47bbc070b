"""Small files that say they are large: each is stopped at the bound, by what is read and not by what it declares."""

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from distillset.errors import InputError
from distillset.sources import bounds, parquet_pages
from distillset.sources.arrow_messages import check_arrow
from distillset.sources.load import load
from distillset.sources.parquet_pages import Decoded, check_parquet
from distillset.watch import Watcher
from tests.sources.on_disk import picture, png, write_parquet

PICTURE = png(picture(0, 80, 80))
ROWS = 5_000
LABELS = pa.array(np.arange(ROWS) % 2)


def one(value: bytes, rows: int = ROWS) -> pa.Array:
    """The same value in every row, by a dictionary of one."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([value], pa.binary()))


def in_lists(value: bytes, count: int = 5_000) -> pa.Array:
    starts = pa.array(np.array([0, count // 2, count], np.int32))
    return pa.ListArray.from_arrays(starts, one(value, count))


BOMBS: dict[str, Callable[[], tuple[dict[str, Any], dict[str, Any]]]] = {
    "a picture thousands of times": lambda: ({"image": one(PICTURE), "label": LABELS}, {}),
    "a page of zeros a thousand times": lambda: ({"image": one(bytes(10**5), 1000), "label": LABELS[:1000]}, {}),
    "long texts with shared beginnings": lambda: (
        {"image": pa.array([b"a" * 4_000] * 4_000, pa.binary()), "label": LABELS[:4_000]},
        {"use_dictionary": False, "column_encoding": {"image": "DELTA_BYTE_ARRAY", "label": "PLAIN"}},
    ),
    "lists of one text": lambda: ({"image": in_lists(b"x" * 10_000), "label": LABELS[:2]}, {}),
    "a column that is called like a path": lambda: ({"a.b": one(PICTURE), "label": LABELS}, {}),
    "structures": lambda: (
        {"image": pa.StructArray.from_arrays([one(PICTURE)], ["bytes"]), "label": LABELS},
        {},
    ),
    "numbers": lambda: ({**{f"c{n}": pa.array(np.zeros(10**6, np.int64)) for n in range(3)}}, {}),
}


def write(folder: Path, columns: dict[str, Any], **options: Any) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "train.parquet"
    pq.write_table(pa.table(columns), path, **{"compression": "zstd", "store_schema": False, **options})
    return path


@pytest.mark.parametrize("name", BOMBS)
def test_parquet_that_unfolds_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for module in (bounds, parquet_pages):
        monkeypatch.setattr(module, "HARMLESS", 2**23)
    columns, options = BOMBS[name]()
    path = write(tmp_path / "d", columns, **options)
    assert path.stat().st_size < 30_000
    before = pa.total_allocated_bytes()
    with pytest.raises(InputError, match=r"train\.parquet: .*bomb|train\.parquet: column a\.b cannot be told"):
        check_parquet(path)
    assert pa.total_allocated_bytes() - before < 2**24


def test_the_command_line_stops_it_too_and_leaves_nothing(tmp_path: Path, cache: Path) -> None:
    write(tmp_path / "d", {"image": one(PICTURE, 20_000), "label": pa.array(np.arange(20_000) % 2)})
    with pytest.raises(InputError, match=r"its columns unpack to more than 268,435,456 bytes from \d\d,\d+: a decomp"):
        load(tmp_path / "d", watcher=Watcher())
    assert not list(cache.rglob("*"))


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_the_pages_are_counted_as_arrow_writes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    # what was written is known: 300 texts of 100 bytes, 250 of them different, in pages of about 1,000 bytes
    texts = [b"%03d" % (n % 250) + b"x" * 97 for n in range(300)]
    columns = {"image": pa.array(texts, pa.binary()), "label": pa.array(range(300), pa.int32())}
    path = write(
        tmp_path / "d", columns, data_page_version=version, data_page_size=1000, dictionary_pagesize_limit=2000
    )
    counted: list[Any] = []
    whole = parquet_pages._count

    def count(file: Any, chunk: Any, kind: Any, pages: Any) -> None:
        whole(file, chunk, kind, pages)
        counted.append((chunk.path_in_schema, pages.declared, pages.possible))

    monkeypatch.setattr(parquet_pages, "_count", count)
    check_parquet(path)
    (name, texts_declared, texts_possible), (_, both, _) = counted
    total = pq.read_metadata(path).row_group(0)
    assert name == "image"
    assert texts_declared >= 300 * 4
    # at least what the metadata of an honest file declare, less the heads themselves
    assert (
        total.column(0).total_uncompressed_size * 0.9
        <= texts_declared
        <= total.column(0).total_uncompressed_size + 1200
    )
    assert both - texts_declared >= 1200
    assert texts_possible > 0


def test_an_honest_file_that_could_be_a_bomb_by_its_heads_is_counted_and_read(tmp_path: Path) -> None:
    # a dictionary with one long value, which a single row uses, and 100,000 short ones
    texts = [b"y" * 400_000, *[b"%d" % (n % 9) for n in range(ROWS - 1)]]
    for column in (pa.array(texts, pa.binary()), pa.array([[text] for text in texts], pa.list_(pa.binary()))):
        check_parquet(write(tmp_path / "d", {"image": column, "label": LABELS}, dictionary_pagesize_limit=10**6))


def test_images_in_parquet_are_still_read(tmp_path: Path) -> None:
    write_parquet(tmp_path / "d", "train", [picture(n) for n in range(4)] * 50, [0, 1, 0, 1] * 50)
    assert len(load(tmp_path / "d", watcher=Watcher()).train) == 160


def test_totals_that_lie_are_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The heads of the pages decide: the metadata at the end of the file may say anything."""
    path = write(
        tmp_path / "d", {"image": pa.array([bytes(3 * 10**6)], pa.binary()), "label": [0]}, use_dictionary=False
    )
    honest = pq.read_metadata(path)
    assert honest.row_group(0).column(0).total_uncompressed_size > 3 * 10**6
    monkeypatch.setattr(bounds, "HARMLESS", 10**6)
    monkeypatch.setattr(parquet_pages, "HARMLESS", 10**6)

    class Lying:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def __getattr__(self, name: str) -> Any:
            found = getattr(self.inner, name)
            if name in ("total_uncompressed_size", "total_byte_size"):
                return 10
            return (
                (lambda number: Lying(found(number))) if name in ("row_group", "column") and callable(found) else found
            )

    monkeypatch.setattr(pq, "read_metadata", lambda path: Lying(honest))
    with pytest.raises(InputError, match=r"its columns would unpack to 3,000,\d+ bytes"):
        check_parquet(path)


@pytest.mark.parametrize("seed", range(40))
def test_flipped_heads_are_an_input_error_or_nothing(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    path = write(tmp_path / "d", {"image": pa.array([PICTURE, b"a"] * 20, pa.binary()), "label": pa.array([0, 1] * 20)})
    content = bytearray(path.read_bytes())
    for _ in range(3):
        content[int(random.integers(4, 60 if seed % 2 else len(content)))] = int(random.integers(0, 256))
    path.write_bytes(bytes(content))
    try:
        check_parquet(path)
    except InputError as error:
        told = str(error)
        path.write_bytes(b"")
        assert "\n" not in told


def test_a_reader_is_stopped_where_it_decodes_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "HARMLESS", 10_000)
    (tmp_path / "f").write_bytes(b"x" * 10)
    given: list[int] = []

    def tables() -> Any:
        for number in range(100):
            given.append(number)
            yield number, pa.table({"x": np.zeros(100)})

    with pytest.raises(InputError, match="its tables unpack to more than 10,000 bytes from 10: a decompression bomb"):
        list(Decoded(tmp_path, [tmp_path / "f"]).counted(tables)())
    assert len(given) == 13  # 800 bytes each


@pytest.mark.parametrize("file", [False, True])
@pytest.mark.parametrize("compression", [None, "zstd", "lz4"])
def test_compressed_files_of_arrow_are_refused(tmp_path: Path, file: bool, compression: str | None) -> None:
    table = pa.table({"x": np.zeros(10_000), "y": pa.array(["a", "b"] * 5_000).dictionary_encode()})
    options = pa.ipc.IpcWriteOptions(compression=compression)
    buffer = io.BytesIO()
    writer = (pa.ipc.new_file if file else pa.ipc.new_stream)(buffer, table.schema, options=options)
    with writer:
        writer.write_table(table)
    path = tmp_path / "data.arrow"
    path.write_bytes(buffer.getvalue())
    if compression is None:
        check_arrow(path)
        return
    with pytest.raises(InputError, match=r"data\.arrow: its values are compressed"):
        check_arrow(path)


def test_a_saved_data_set_with_compressed_values_is_refused(tmp_path: Path) -> None:
    import datasets

    rows = datasets.Dataset.from_dict({"image": [picture(n).tolist() for n in range(4)], "label": [0, 1, 0, 1]})
    rows.save_to_disk(str(tmp_path / "d"))
    assert len(load(tmp_path / "d", watcher=Watcher()).train) == 2
    (arrow,) = (tmp_path / "d").glob("*.arrow")
    table = pa.ipc.open_stream(arrow.read_bytes()).read_all()
    with pa.ipc.new_stream(str(arrow), table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    with pytest.raises(InputError, match=r"\.arrow: its values are compressed"):
        load(tmp_path / "d", watcher=Watcher())
    arrow.write_bytes(b"\xff\xff\xff\xff" + struct.pack("<i", 2**30) + b"x")
    with pytest.raises(InputError, match=r"\.arrow: damaged, or not a file of Arrow"):
        load(tmp_path / "d", watcher=Watcher())
