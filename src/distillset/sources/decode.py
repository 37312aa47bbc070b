"""From the splits of a source to the pixels of a cache entry, block by block, so that memory stays small."""

import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from distillset.data.measure import Fingerprint, Statistics
from distillset.data.resize import Resize
from distillset.data.spec import CHANNELS, Spec
from distillset.engine.room import check_disk
from distillset.errors import InputError, InterruptedRun
from distillset.sources import cache
from distillset.sources.damage import all_damaged
from distillset.sources.pictures import DamagedError, Form, Wider, decode, form_of
from distillset.sources.splits import Block, Split
from distillset.store import read_json, write_sealed
from distillset.trust import open_own
from distillset.watch import Watcher

BLOCK_BYTES = 16 * 2**20
BLOCK_IMAGES = 256
THREADS = 4
PROGRESS = "progress.json"
PROGRESS_SECONDS = 5.0
"""A kill costs at most about this much decoding."""
CHUNK_NAMES = 4096
SMALL = 64 * 64
"""Images of so few pixels are decoded without threads, which would only wait for each other in the interpreter."""


@dataclass(frozen=True)
class Plan:
    """What is to be decoded, with labels checked.

    Args:
        name: of the set, for its spec.
        class_names: one per class.
        train: the training split.
        test: the test split, its labels numbered as those of ``train``; None to take it from ``train``.
        held: bool [len(train)], the rows of ``train`` that become the test set where ``test`` is None.
        mean: the published one; None to measure it on the training rows.
        std: the same.
        flip: whether a horizontal flip keeps the class.
        resize: how every image is scaled to one size, or None.
        channels: how many every image is to have; None for those of the widest one.
        class_indices: the numbers in the source of the classes that a user chose; None for all.
    """

    name: str
    class_names: tuple[str, ...]
    train: Split
    test: Split | None
    held: Tensor | None
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    flip: bool
    resize: Resize | None
    channels: int | None = None
    class_indices: tuple[int, ...] | None = None

    def labels(self) -> dict[str, Tensor]:
        """The labels of both parts."""
        if self.test is not None:
            return {"train": self.train.labels, "test": self.test.labels}
        assert self.held is not None
        return {"train": self.train.labels[~self.held], "test": self.train.labels[self.held]}


def write_entry(
    folder: Path,
    plan: Plan,
    notes: Sequence[str],
    watcher: Watcher,
) -> None:
    """Decode both parts of ``plan`` into ``folder`` as an entry of the cache, from where it was interrupted before.

    Raises:
        InputError: a picture cannot be used; the message names its file and row.
        InterruptedRun: the watcher asked to stop.
    """
    try:
        first, done = form_of(plan.train.read(range(1)), plan.train.row, plan.resize, plan.channels), _Done.read(folder)
    except DamagedError:
        raise all_damaged(_all_blocks(plan), watcher) from None
    form = first if first.fixed else replace(first, channels=max(first.channels, done.channels))
    widest = done.widest
    threaded = form.resize is not None or form.height * form.width > SMALL
    with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) if threaded else nullcontext() as pool:
        while True:
            writer = _Writer(folder, plan, form, widest)
            _check_room(folder, plan, form)
            try:
                widened = writer.run(done, pool, watcher)
            except Wider as wider:
                form, done = replace(form, channels=wider.channels), _Done()
                widest = f"{wider.row} is; `channels=3` takes all as RGB" if wider.channels == 4 else ""
            except DamagedError:
                raise all_damaged(_all_blocks(plan), watcher, pool) from None
            except _Stale:
                form, done = first, _Done()
            else:
                break
    kind = CHANNELS.get(form.channels, f"{form.channels} channels")
    converted = f"{plan.name}: {widened} images were converted to {kind}, as {widest or 'the others are'}"
    said = [converted] if widened and not form.fixed else []
    (folder / PROGRESS).unlink(missing_ok=True)
    if names := _names(plan):
        cache.write_names(folder, names)
    cache.write_card(folder, writer.spec(), plan.labels(), writer.fingerprints(), [*notes, *said], plan.class_indices)


def _all_blocks(plan: Plan) -> Iterator[tuple[Block, Callable[[int], str]]]:
    """All pictures of a plan, a block at a time, and how messages name them."""
    for split in (split for split in (plan.train, plan.test) if split is not None):
        for start in range(0, len(split), BLOCK_IMAGES):
            yield split.read(range(start, min(start + BLOCK_IMAGES, len(split)))), split.row_after(start)


def _names(plan: Plan) -> list[str]:
    """The files of the training images, below the folder that holds them all; empty where images are no files."""
    rows_taken = torch.arange(len(plan.train)) if plan.held is None else (~plan.held).nonzero().squeeze(1)
    names: list[str] = []
    for rows in rows_taken.split(CHUNK_NAMES):
        pictures = plan.train.read(rows.tolist() if names else [int(rows[0])])
        if isinstance(pictures, Tensor) or not isinstance(pictures[0], Path):
            return []
        pictures = pictures if names else plan.train.read(rows.tolist())
        names += [os.fspath(picture) for picture in pictures if isinstance(picture, Path)]
    top = os.path.commonpath([os.path.dirname(name) for name in names])  # noqa: PTH120 (text: there may be a million)
    return [os.path.relpath(name, top) for name in names] if len(names) == len(rows_taken) else []


def _check_room(folder: Path, plan: Plan, form: Form) -> None:
    """Whether the disk can hold the pixels.

    Raises:
        InputError: it cannot.
    """
    images = sum(map(len, plan.labels().values()))
    there = sum(path.stat().st_size for part in cache.PARTS if (path := folder / f"{part}.bin").is_file())
    size = images * form.channels * form.height * form.width
    resize = None if form.resize is None else (form.height, form.width)
    check_disk(
        "resize" if resize else plan.name,
        resize,
        f"decoding the {images:,} images of {plan.name}",
        size - there,
        folder,
    )


@dataclass(frozen=True)
class _Done:
    """How far a decoding has come: rows of all splits one after the other, whose pixels are on the disk."""

    rows: int = 0
    widened: int = 0
    channels: int = 0
    prints: Mapping[str, str] = field(default_factory=dict)
    """Checksums of the pixels of each part so far."""
    widest: str = ""
    """Which image has more channels than those before it, for the note."""

    @classmethod
    def read(cls, folder: Path) -> "_Done":
        """What was kept in ``folder``; nothing, where that cannot be read or has other fields."""
        try:
            done = cls(**read_json(folder / PROGRESS, sealed=True))
        except (InputError, TypeError):
            return cls()
        numbers = (done.rows, done.widened, done.channels)
        whole = all(type(number) is int and number >= 0 for number in numbers) and isinstance(done.prints, dict)
        whole = whole and isinstance(done.widest, str)
        return done if whole and done.channels in CHANNELS and done.widened <= done.rows else cls()

    def write(self, folder: Path, files: Iterable[BinaryIO]) -> None:
        """Keep it, after the pixels."""
        for file in files:
            file.flush()
            os.fsync(file.fileno())
        write_sealed(folder / PROGRESS, asdict(self))


def _open(path: Path) -> BinaryIO:
    """To read and to write at its end, and no link."""
    return os.fdopen(open_own(path, os.O_RDWR | os.O_APPEND | os.O_CREAT), "a+b")


class _Stale(Exception):
    """What is on the disk is not what a record says of it."""


class _Writer:
    """One attempt to write the pixels of a plan in one form."""

    def __init__(self, folder: Path, plan: Plan, form: Form, widest: str) -> None:
        self.folder, self.plan, self.form, self.widest = folder, plan, form, widest
        self.shape = (form.channels, form.height, form.width)
        published = plan.mean is not None and plan.std is not None and len(plan.mean) == form.channels
        self._statistics = None if published else Statistics()
        self._prints = {
            part: Fingerprint((len(labels), *self.shape), labels, plan.class_names)
            for part, labels in plan.labels().items()
        }

    def run(
        self,
        done: _Done,
        pool: Executor | None,
        watcher: Watcher,
    ) -> int:
        """Write the files, after what is there already; returns how many images were given more channels."""
        splits = [split for split in (self.plan.train, self.plan.test) if split is not None]
        total, offset = sum(map(len, splits)), 0
        with ExitStack() as stack:
            files = {part: stack.enter_context(_open(self.folder / f"{part}.bin")) for part in cache.PARTS}
            self._take_up(files, done, total)
            if done.rows:
                watcher.note(f"{self.plan.name}: resuming after {done.rows} of {total} images")
            watcher.images(f"decoding {self.plan.name}", done.rows, total)
            saved = time.monotonic()
            for split in splits:
                for start, stop_row in self._blocks(len(split), max(0, done.rows - offset)):
                    pixels, count = decode(split.read(range(start, stop_row)), self.form, split.row_after(start), pool)
                    for part, chunk in self._parts(split, start, pixels):
                        files[part].write(chunk.numpy().data)
                        self._count(part, chunk)
                    watcher.images(f"decoding {self.plan.name}", offset + stop_row, total)
                    done = _Done(
                        offset + stop_row, done.widened + count, self.form.channels, self.fingerprints(), self.widest
                    )
                    asked = done.rows < total and watcher.stop()
                    if asked or time.monotonic() - saved > PROGRESS_SECONDS:
                        done.write(self.folder, files.values())
                        saved = time.monotonic()
                    if asked:
                        raise InterruptedRun(
                            f"stopped after decoding {done.rows} of {total} images; run the same command again to "
                            "resume"
                        )
                offset += len(split)
            done.write(self.folder, files.values())
        return done.widened

    def _take_up(self, files: Mapping[str, BinaryIO], done: _Done, total: int) -> None:
        """Count in what is on the disk, and cut off what came after it.

        Raises:
            _Stale: it is not what was kept.
        """
        size = math.prod(self.shape)
        train = min(done.rows, len(self.plan.train))
        held = 0 if self.plan.held is None else int(self.plan.held[:train].sum())
        counts = {"train": train - held, "test": done.rows - train + held}
        ends = {part: file.seek(0, os.SEEK_END) for part, file in files.items()}
        if done.rows > total or any(ends[part] < counts[part] * size for part in files):
            raise _Stale
        for part, file in files.items():
            file.truncate(counts[part] * size)
            file.seek(0)
            for start, stop in self._blocks(counts[part]):
                pixels = bytearray(file.read((stop - start) * size))
                self._count(part, torch.frombuffer(pixels, dtype=torch.uint8).view(-1, *self.shape))
        if done.rows and self.fingerprints() != done.prints:
            raise _Stale

    def _count(self, part: str, chunk: Tensor) -> None:
        self._prints[part].add(chunk)
        if part == "train" and self._statistics is not None:
            self._statistics.add(chunk)

    def _blocks(self, rows: int, first: int = 0) -> Iterator[tuple[int, int]]:
        channels, height, width = self.shape
        size = max(1, min(BLOCK_IMAGES, BLOCK_BYTES // (channels * height * width)))
        return ((start, min(start + size, rows)) for start in range(first, rows, size))

    def _parts(self, split: Split, start: int, pixels: Tensor) -> list[tuple[str, Tensor]]:
        if split is self.plan.test:
            return [("test", pixels.contiguous())]
        if self.plan.held is None:
            return [("train", pixels.contiguous())]
        held = self.plan.held[start : start + len(pixels)]
        parts = [("train", pixels[~held]), ("test", pixels[held])]
        return [(part, chunk.contiguous()) for part, chunk in parts if len(chunk)]

    def spec(self) -> Spec:
        plan = self.plan
        mean, std = plan.mean, plan.std
        if self._statistics is not None:
            mean, std = self._statistics.result()
        assert mean is not None
        assert std is not None
        return Spec(plan.name, *self.shape, class_names=plan.class_names, mean=mean, std=std, flip=plan.flip)

    def fingerprints(self) -> dict[str, str]:
        return {part: fingerprint.hex() for part, fingerprint in self._prints.items()}
