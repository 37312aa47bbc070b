"""From the splits of a source to the pixels of a cache entry, block by block, so that memory stays small."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from distillset.data import cache
from distillset.data.measure import Fingerprint, Statistics
from distillset.data.pictures import Form, Wider, decode, form_of
from distillset.data.progress import Bar
from distillset.data.resize import Resize
from distillset.data.spec import CHANNELS, Spec
from distillset.data.splits import Split

BLOCK_BYTES = 16 * 2**20
BLOCK_IMAGES = 256
THREADS = 4
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
    class_indices: tuple[int, ...] | None = None

    def labels(self) -> dict[str, Tensor]:
        """The labels of both parts."""
        if self.test is not None:
            return {"train": self.train.labels, "test": self.test.labels}
        assert self.held is not None
        return {"train": self.train.labels[~self.held], "test": self.train.labels[self.held]}


def write_entry(folder: Path, plan: Plan, notes: Sequence[str], progress: bool | None) -> None:
    """Decode both parts of ``plan`` into ``folder`` as an entry of the cache.

    Raises:
        InputError: a picture cannot be used; the message names its file and row.
    """
    form = form_of(plan.train.read(range(1)), plan.train.row, plan.resize)
    threaded = form.resize is not None or form.height * form.width > SMALL
    with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) if threaded else nullcontext() as pool:
        while True:
            writer = _Writer(folder, plan, form)
            try:
                widened = writer.run(pool, progress)
            except Wider as wider:
                form = replace(form, channels=wider.channels)
            else:
                break
    kind = CHANNELS.get(form.channels, f"{form.channels} channels")
    converted = [f"{plan.name}: {widened} images were converted to {kind}, as the others are"] if widened else []
    cache.write_card(
        folder, writer.spec(), plan.labels(), writer.fingerprints(), [*notes, *converted], plan.class_indices
    )


class _Writer:
    """One attempt to write the pixels of a plan in one form."""

    def __init__(self, folder: Path, plan: Plan, form: Form) -> None:
        self.folder, self.plan, self.form = folder, plan, form
        self.shape = (form.channels, form.height, form.width)
        published = plan.mean is not None and plan.std is not None and len(plan.mean) == form.channels
        self._statistics = None if published else Statistics()
        self._prints = {
            part: Fingerprint((len(labels), *self.shape), labels, plan.class_names)
            for part, labels in plan.labels().items()
        }

    def run(self, pool: Executor | None, progress: bool | None) -> int:
        """Write the files; returns how many images were given more channels."""
        widened = 0
        splits = [split for split in (self.plan.train, self.plan.test) if split is not None]
        with ExitStack() as stack:
            files = {part: stack.enter_context((self.folder / f"{part}.bin").open("wb")) for part in cache.PARTS}
            bar = stack.enter_context(Bar(f"decoding {self.plan.name}", sum(map(len, splits)), progress))
            for split in splits:
                for start, stop in self._blocks(len(split)):
                    pixels, count = decode(split.read(range(start, stop)), self.form, split.row_after(start), pool)
                    widened += count
                    for part, chunk in self._parts(split, start, pixels):
                        files[part].write(chunk.numpy().data)
                        self._prints[part].add(chunk)
                        if part == "train" and self._statistics is not None:
                            self._statistics.add(chunk)
                    bar.advance(stop - start)
            for file in files.values():
                file.flush()
                os.fsync(file.fileno())
        return widened

    def _blocks(self, rows: int) -> Iterator[tuple[int, int]]:
        channels, height, width = self.shape
        size = max(1, min(BLOCK_IMAGES, BLOCK_BYTES // (channels * height * width)))
        return ((start, min(start + size, rows)) for start in range(0, rows, size))

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
