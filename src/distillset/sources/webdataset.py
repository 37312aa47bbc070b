"""Shards of webdataset: ``.tar`` files in which the members of a sample share their name up to the first dot.

After https://github.com/webdataset/webdataset: ``000017.jpg`` and ``000017.cls``, or ``000017.json`` with a field
``label``. The heads of the members are read once; pictures are read from their place when they are asked for. Nothing
is unpacked.
"""

import json
import os
import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distillset.data import labels
from distillset.errors import InputError, reason
from distillset.sources.kinds import COMMON, suffixes
from distillset.sources.raw_arrays import names_under
from distillset.sources.splits import TEST_SPLITS, TRAIN_SPLITS, Picture, Split

SUFFIX = ".tar"
LABELS = ("cls", "label", "cls.txt", "json")
"""What holds the label, the first that is there."""

FIELDS = ("label", "cls", "class", "target", "class_id", "class_name")
LARGEST_LABEL = 2**20
LARGEST_IMAGE = 2**28


@dataclass
class _Sample:
    file: int
    key: str
    image: tuple[int, int] | None = None
    label: tuple[int, int, str] | None = None
    """Place, length and, of the label, what it is."""


def is_webdataset(path: Path) -> bool:
    """Whether a folder, or its folders of splits, hold shards, or a file is one, by name."""
    if path.is_file():
        return path.suffix.lower() == SUFFIX
    return bool(_shards(path))


def _shards(path: Path) -> dict[str, list[Path]]:
    """Split to shards in the order of their names: by the folder they lie in, else by a word in their names."""
    shards: dict[str, list[Path]] = {}
    for name, entry in names_under(path).items():
        if name.startswith((".", "__")):
            continue
        if name in (*TRAIN_SPLITS, *TEST_SPLITS) and entry.is_dir():
            if inner := [file for file in names_under(entry).values() if file.suffix.lower() == SUFFIX]:
                shards[name] = inner
        elif entry.is_dir() or entry.suffix.lower() in COMMON:
            return {}  # folders of classes, beside which an archive was left
        elif name.endswith(SUFFIX) and entry.is_file():
            words = [word for word in re.split(r"[^a-z]+", name.removesuffix(SUFFIX)) if word]
            split = next((word for word in words if word in (*TRAIN_SPLITS, *TEST_SPLITS)), "train")
            shards.setdefault(split, []).append(entry)
    return shards


def open_webdataset(path: Path) -> dict[str, Split]:
    """The splits of such a folder, or of one shard.

    Raises:
        InputError: a shard is damaged, or holds no samples of an image and a label.
    """
    shards = _shards(path) if path.is_dir() else {"train": [path]}
    return {
        split: _open_split(f"{path}, split {split}" if path.is_dir() else str(path), shards[split]) for split in shards
    }


def _open_split(name: str, shards: Sequence[Path]) -> Split:
    samples: list[_Sample] = []
    for number, shard in enumerate(shards):
        samples += _samples(shard, number)
    if not any(sample.image and sample.label for sample in samples):
        raise InputError.about(
            shards[0],
            "no sample of an image and a label; needed are members such as 0001.jpg and 0001.cls (or "
            ".json with a field label); an archive of something else has to be unpacked: tar xf",
        )

    def row(number: int) -> str:
        return f"{shards[samples[number].file]}, sample {samples[number].key}"

    for number, sample in enumerate(samples):
        if sample.image is None or sample.label is None:
            raise InputError.about(
                row(number), f"it has no {'image' if sample.image is None else 'label (.cls or .json)'}"
            )
    files = _Files(shards)
    values = [_label(files, sample, row(number)) for number, sample in enumerate(samples)]
    numbers, names = labels.from_values(values, None, row, "cls")

    def read(rows: Sequence[int]) -> list[Picture]:
        return [files.read(samples[number].file, *(samples[number].image or (0, 0)), row(number)) for number in rows]

    return Split(name, numbers, names, read, row)


def _samples(shard: Path, number: int) -> list[_Sample]:
    samples: dict[str, _Sample] = {}
    try:
        with tarfile.open(shard, "r:") as archive:
            for member in archive:
                if not member.isreg() or member.issparse() or os.path.basename(member.name).startswith("."):  # noqa: PTH119
                    continue
                folder, _, base = member.name.rpartition("/")
                stem, _, kind = base.partition(".")
                key, kind = f"{folder}/{stem}" if folder else stem, kind.lower()
                sample = samples.setdefault(key, _Sample(number, key))
                if f".{kind.rsplit('.', 1)[-1]}" in suffixes():
                    sample.image = member.offset_data, member.size
                elif kind in LABELS and (sample.label is None or LABELS.index(kind) < LABELS.index(sample.label[2])):
                    sample.label = member.offset_data, member.size, kind
    except (tarfile.TarError, OSError, ValueError, EOFError, OverflowError) as error:
        raise InputError.about(shard, f"damaged, or not a .tar file ({reason(error)})") from None
    return [sample for sample in samples.values() if sample.image or sample.label]


class _Files:
    """The shards, each opened for a block of reads."""

    def __init__(self, shards: Sequence[Path]) -> None:
        self.shards = shards

    def read(self, file: int, start: int, size: int, row: str) -> bytes:
        """Some bytes of a shard.

        Raises:
            InputError: they are not there, or too many.
        """
        if size > LARGEST_IMAGE:
            raise InputError.about(row, f"{size:,} bytes; an image has at most {LARGEST_IMAGE:,}")
        try:
            with self.shards[file].open("rb") as stream:
                stream.seek(start)
                content = stream.read(size)
        except OSError as error:
            raise InputError.about(row, f"cannot be read ({error.strerror})") from None
        if len(content) != size:
            raise InputError.about(row, f"cut short: {len(content)} of {size} bytes")
        return content


def _label(files: _Files, sample: _Sample, row: str) -> Any:
    """The label of a sample: a number, a name, or a list that holds one."""
    start, size, kind = sample.label or (0, 0, "")
    if size > LARGEST_LABEL:
        raise InputError.about(row, f"a label of {size:,} bytes")
    content = files.read(sample.file, start, size, row)
    try:
        text = content.decode("utf-8").strip()
        if kind != "json":
            return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else text or None
        record = json.loads(text)
    except (UnicodeDecodeError, ValueError, RecursionError):
        raise InputError.about(row, f"its {kind} is not a label as text (UTF-8), or not JSON") from None
    for value in _fields(record):
        return value
    raise InputError.about(row, f"its .json has no field label; the fields that are read are {', '.join(FIELDS)}")


def _fields(record: Any) -> Iterator[Any]:
    if isinstance(record, int | str):
        yield record
    elif isinstance(record, dict):
        yield from (record[name] for name in FIELDS if name in record)
