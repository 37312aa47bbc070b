"""Malformed sources: each function gives one that makes the source below a folder and returns its path."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.sources.on_disk import picture, png, write_classes, write_parquet

Make = Callable[[Path], Path | str]

GOOD = np.zeros((4, 5, 7), np.uint8)
LABELS = np.array([0, 1, 0, 1])
PICKLE = b"(lp0\nI1\naI2\na."  # the list [1, 2]
PICTURES = [picture(n) for n in range(4)]


def encoded(kind: str, mode: str = "RGB", size: tuple[int, int] = (4, 6)) -> bytes:
    """An image file of this kind."""
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, kind)
    return buffer.getvalue()


def header_of(width: int, height: int) -> bytes:
    """A PNG that says it is so large, and ends where its pixels begin."""
    fields = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + fields
    pixels = struct.pack(">I", 1000) + b"IDAT" + b"\x78\x9c"
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + pixels


def classes(**images: list[Any]) -> Make:
    """A folder with these classes."""
    return lambda folder: write_classes(folder / "c", images)


def with_file(content: bytes, name: str = "x.png") -> Make:
    """A folder with two whole classes and one more file in the second, called ``b``."""

    def make(folder: Path) -> Path:
        write_classes(folder / "c", {"a": PICTURES, "b": PICTURES})
        (folder / "c" / "b" / name).write_bytes(content)
        return folder / "c"

    return make


def with_link(target: str, name: str = "x.png") -> Make:
    """A folder with two whole classes and a link in the second."""

    def make(folder: Path) -> Path:
        write_classes(folder / "c", {"a": PICTURES, "b": PICTURES})
        (folder / "c" / "b" / name).symlink_to(target)
        return folder / "c"

    return make


def named_class(name: str, *more: bytes) -> Make:
    """A folder of whole images in which a class has this name, and perhaps other files in it."""
    return lambda folder: write_classes(folder / "c", {"a": PICTURES, name: [*more, *PICTURES]})


def folder_with(name: str, content: bytes) -> Make:
    """A folder with one file."""

    def make(folder: Path) -> Path:
        (folder / "f").mkdir()
        (folder / "f" / name).write_bytes(content)
        return folder / "f"

    return make


def file(name: str, content: bytes) -> Make:
    """A file with this content."""

    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return make


def listed(content: str, name: str = "train.csv") -> Make:
    """A folder of images and a table that lists them."""

    def make(folder: Path) -> Path:
        write_classes(folder / "l", {"images": PICTURES})
        (folder / "l" / name).write_text(content)
        return folder / "l"

    return make


def parquet(images: list[Any], labels: list[Any], **options: Any) -> Make:
    """A folder with a parquet file of encoded images."""
    return lambda folder: write_parquet(folder / "p", "train", images, labels, **options)


def table(features: Any = None, **columns: Any) -> Make:
    """A folder with a parquet file of any columns."""

    def make(folder: Path) -> Path:
        import datasets

        (folder / "t").mkdir()
        rows = datasets.Dataset.from_dict(columns, features=None if features is None else datasets.Features(features()))
        rows.to_parquet(str(folder / "t" / "train.parquet"))
        return folder / "t"

    return make


def second_shard(folder: Path) -> Path:
    """Two parquet files, an image of the second one cut short."""
    write_parquet(folder / "s", "train", PICTURES, [0, 1, 0, 1], part="00000-of-00002")
    cut: list[Any] = [PICTURES[0], png(PICTURES[1])[:70]]
    return write_parquet(folder / "s", "train", cut, [0, 1], part="00001-of-00002")


def cut_parquet(folder: Path) -> Path:
    """A parquet file that lost its end."""
    path = write_parquet(folder / "s", "train", PICTURES, [0, 1, 0, 1]) / "data" / "train-00000-of-00001.parquet"
    path.write_bytes(path.read_bytes()[:-40])
    return folder / "s"


def arrays(**values: Any) -> Make:
    """An .npz file of these arrays."""

    def make(folder: Path) -> Path:
        np.savez(folder / "a.npz", **values)
        return folder / "a.npz"

    return make


def member(content: bytes) -> Make:
    """An .npz file whose ``images`` are these bytes, and whose labels are whole."""

    def make(folder: Path) -> Path:
        labels = io.BytesIO()
        np.save(labels, LABELS, allow_pickle=False)
        with zipfile.ZipFile(folder / "a.npz", "w") as archive:
            archive.writestr("images.npy", content)
            archive.writestr("labels.npy", labels.getvalue())
        return folder / "a.npz"

    return make


def npy_header(shape: str) -> bytes:
    """The start of an array that says it has this shape, without its content."""
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def tensors(**values: torch.Tensor) -> Make:
    """A .safetensors file of these tensors."""

    def make(folder: Path) -> Path:
        save_file(values, folder / "t.safetensors")
        return folder / "t.safetensors"

    return make


def cut_tensors(folder: Path) -> Path:
    """A .safetensors file that lost its end."""
    path = Path(tensors(images=torch.zeros(4, 5, 7), labels=torch.arange(4))(folder))
    path.write_bytes(path.read_bytes()[:-8])
    return path


def named(name: str) -> Make:
    """A name."""
    return lambda folder: name
