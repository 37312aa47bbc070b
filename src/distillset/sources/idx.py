"""The idx files of MNIST and its kin, compressed or not: MNIST, FashionMNIST, KMNIST, QMNIST's first form, EMNIST.

After the description at http://yann.lecun.com/exdb/mnist: two zero bytes, the type (8 for unsigned bytes), the number
of dimensions, each length as a big-endian 32-bit number, then the values in C order. Pictures of EMNIST are stored on
their side, as NIST did; they are left so.
"""

import gzip
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distillset.errors import InputError, reason
from distillset.sources.raw_arrays import array_split, names_under
from distillset.sources.splits import Split

FILE = re.compile(
    r"(?P<family>emnist-[a-z]+-)?(?P<split>train|t10k|test)-(?P<what>images|labels)[-.]idx(?P<sides>[13])-ubyte(\.gz)?",
    re.IGNORECASE,
)
UNSIGNED_BYTES = 8
LARGEST = 2**32
"""Bytes of an array; EMNIST's largest has 547 million."""

_DIGITS, _UPPER = "0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
EMNIST = {
    "balanced": _DIGITS + _UPPER + "abdefghnqrt",
    "bymerge": _DIGITS + _UPPER + "abdefghnqrt",
    "byclass": _DIGITS + _UPPER + _UPPER.lower(),
    "letters": _UPPER,
    "digits": _DIGITS,
    "mnist": _DIGITS,
}
"""The characters of EMNIST's six splits in the order of their numbers; those of ``letters`` count from 1."""

FASHION = (
    "T - shirt / top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
"""The classes of FashionMNIST as the hub spells them."""


def is_idx(path: Path) -> bool:
    """Whether a folder holds such files, or a file is one, by name."""
    if path.is_file():
        return FILE.fullmatch(path.name) is not None
    return any(FILE.fullmatch(name) for name in names_under(path))


def files_of_idx(path: Path) -> list[Path]:
    """The files of the set that ``path``, one of them or their folder, stands for."""
    if path.is_dir():
        return [file for name, file in names_under(path).items() if FILE.fullmatch(name)]
    match = FILE.fullmatch(path.name)
    family = (match["family"] or "").lower() if match else ""
    others = names_under(path.parent).items()
    return [file for name, file in others if (m := FILE.fullmatch(name)) and (m["family"] or "").lower() == family]


def open_idx(path: Path, family: str = "") -> dict[str, Split]:
    """The splits of a folder of idx files, or of the set to which one of them belongs.

    Args:
        path: the folder or the file.
        family: which of EMNIST's splits to take where a folder holds several.

    Raises:
        InputError: a file is missing, damaged, cut short, or larger than it says; several sets lie in the folder.
    """
    families: dict[str, dict[tuple[str, str], Path]] = {}
    for file in files_of_idx(path):
        match = FILE.fullmatch(file.name)
        assert match is not None
        split = "train" if match["split"].lower() == "train" else "test"
        name = (match["family"] or "").lower().removeprefix("emnist-").rstrip("-")
        parts = families.setdefault(name, {})
        # Of a file that lies there packed and unpacked, the unpacked one is read faster.
        if (split, match["what"].lower()) not in parts or not file.name.lower().endswith(".gz"):
            parts[split, match["what"].lower()] = file
    if len(families) > 1 and family not in families:
        some = next(file for parts in families.values() for file in parts.values())
        raise InputError.about(
            path,
            f"it holds {len(families)} sets: {', '.join(sorted(families))}; name a file of one of them, such as {some}",
        )
    name = family if len(families) > 1 else next(iter(families))
    return {
        split: _split(path, split, families[name], name) for split in ("train", "test") if _has(families[name], split)
    }


def _has(parts: dict[tuple[str, str], Path], split: str) -> bool:
    return any(which == split for which, _ in parts)


def _split(path: Path, split: str, parts: dict[tuple[str, str], Path], family: str) -> Split:
    for what in ("images", "labels"):
        if (split, what) not in parts:
            other = next(file for (which, _), file in parts.items() if which == split)
            raise InputError.about(path, f"no file of the {what} of {split} beside {other.name}")
    images, labels = parts[split, "images"], parts[split, "labels"]
    pixels = read_idx(images)
    if pixels.ndim != 3:
        raise InputError.about(images, f"an array of shape {list(pixels.shape)}; images [N, H, W] are needed")
    numbers = read_idx(labels)
    if numbers.ndim != 1:
        raise InputError.about(labels, f"an array of shape {list(numbers.shape)}; labels [N] are needed")
    names = tuple(EMNIST[family]) if family in EMNIST else FASHION if _is_fashion(path) else None
    shifted = numbers.astype(np.int64) - (1 if family == "letters" else 0)
    return array_split(f"{images}", pixels[:, None], shifted, names)


def _is_fashion(path: Path) -> bool:
    """Whether the folder, or the one above its ``raw``, is called so: the files themselves do not tell."""
    above = path if path.is_dir() else path.parent
    names = [part.name.lower() for part in (above, above.parent) if part.name]
    return any("fashion" in name for name in (names if names[:1] == ["raw"] else names[:1]))


def read_idx(file: Path) -> NDArray[np.uint8]:
    """The array of an idx file, memory-mapped where it is not compressed.

    Raises:
        InputError: it is damaged, cut short, longer than it says, or not of unsigned bytes.
    """
    try:
        if not file.is_file():
            raise InputError.about(file, "not a regular file")
        packed = file.name.lower().endswith(".gz")
        with gzip.open(file, "rb") if packed else file.open("rb") as stream:
            shape = _shape(stream, file)
            size = int(np.prod(shape, dtype=np.int64))
            if not packed:
                whole = file.stat().st_size
                if whole != 4 + 4 * len(shape) + size:
                    raise InputError.about(
                        file, f"{whole} bytes; its head says {4 + 4 * len(shape) + size}: cut short?"
                    )
                return np.memmap(file, np.uint8, "r", offset=4 + 4 * len(shape), shape=shape)
            content = _read_at_most(stream, size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError.about(file, f"damaged, cut short, or not an idx file ({reason(error)})") from None
    if len(content) != size:
        length = f"more than {size}" if len(content) > size else str(len(content))
        raise InputError.about(file, f"{length} bytes of values; its head says {size}: cut short?")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _shape(stream: Any, file: Path) -> tuple[int, ...]:
    head = stream.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] != UNSIGNED_BYTES or head[3] not in (1, 3):
        raise InputError.about(file, "not an idx file of unsigned bytes: images [N, H, W] or labels [N]")
    lengths = stream.read(4 * head[3])
    if len(lengths) < 4 * head[3]:
        raise InputError.about(file, "damaged or cut short: its head is not whole")
    shape = tuple(int(length) for length in struct.unpack(f">{head[3]}I", lengths))
    size = 1
    for length in shape:
        size *= length
    if not 0 < size <= LARGEST:
        raise InputError.about(file, f"an array of shape {list(shape)}; allowed are 1 to {LARGEST:,} values")
    return shape


def _read_at_most(stream: Any, most: int) -> bytearray:
    """The bytes of a stream up to a number, a block at a time: what the head says is not believed."""
    content = bytearray()
    while len(content) < most and (block := stream.read(min(2**20, most - len(content)))):
        content += block
    return content
