"""Data that a program hands over: arrays, map-style datasets, objects of `datasets`. They are decoded into memory."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distillset.data import arrays, labels
from distillset.data.measure import statistics
from distillset.data.real import RealSet
from distillset.data.resize import Resize, resized
from distillset.data.spec import Spec
from distillset.engine.room import check_memory
from distillset.errors import InputError, InterruptedRun
from distillset.sources import hugging_face
from distillset.sources.channels import with_channels
from distillset.sources.classes import Choice, choose_classes, narrowed, rows_of
from distillset.sources.matching import check_test_labels, missing_classes
from distillset.sources.pictures import Wider, decode, form_of
from distillset.sources.splits import (
    Picture,
    Split,
    check_training_labels,
    choose,
    choose_test,
    few,
    hold_out,
    names_of,
    note_held_out,
)
from distillset.watch import Watcher

BLOCK_IMAGES, BLOCK_BYTES = 256, 16 * 2**20


@dataclass(frozen=True)
class _Part:
    """A split and its pixels, uint8 [N, C, H, W]; the spec only where it was given."""

    split: Split
    pixels: Tensor
    spec: Spec | None = None
    notes: tuple[str, ...] = ()


def load_in_memory(
    data: Any, test: Any, resize: Resize | None, classes: Sequence[str | int] | None, watcher: Watcher
) -> tuple[RealSet, RealSet, list[str], Choice | None]:
    """(train, test, notes, the classes chosen) of ``data``, and of ``test`` where it is given.

    See `distillset.sources.load.load`.

    Raises:
        InputError: one of them is of a kind that is not read, or its content cannot be used.
    """
    part, test_part = _open(data, "data", resize, watcher)
    notes = list(part.notes)
    if test is not None:
        train_of_test, test_of_test = _open(test, "test", resize, watcher)
        test_part = test_of_test or train_of_test
        notes += train_of_test.notes
    choice = None if classes is None else choose_classes(classes, names_of(part.split), part.split.name)
    class_names = check_training_labels(part.split) if choice is None else names_of(part.split)
    held = hold_out(part.split.labels, len(class_names)) if test_part is None else None
    if test_part is not None:
        numbered = part.split.class_names is None or part.split.numbered
        matched = check_test_labels(test_part.split, class_names, numbered, choice is not None)
        test_part = replace(test_part, split=matched)
    if choice is not None:
        held = None if held is None else held[rows_of(part.split, choice)]
        part, test_part = _narrowed(part, choice), None if test_part is None else _narrowed(test_part, choice)
        class_names = check_training_labels(part.split)
    pixels, numbers = part.pixels, part.split.labels
    if held is not None:
        notes.append(note_held_out(held, part.split.name))
        test_part = replace(part, split=replace(part.split, labels=numbers[held]), pixels=pixels[held])
        pixels, numbers = pixels[~held], numbers[~held]
    assert test_part is not None
    notes += missing_classes(test_part.split.labels, class_names, test_part.split.name)
    # What is measured for normalising does not see the images held out.
    spec = part.spec or _measured(part.split.name, pixels, class_names)
    return (
        RealSet(pixels, numbers, spec),
        RealSet(test_part.pixels, test_part.split.labels, spec, partial=True),
        notes,
        choice,
    )


def taken_as(train: RealSet, test: RealSet, channels: int) -> tuple[RealSet, RealSet]:
    """Both sets with 1, 3 or 4 channels; mean and deviation are measured anew."""
    pixels = with_channels(train.images, channels)
    measured = _measured(train.spec.name, pixels, train.spec.class_names)
    spec = replace(measured, flip=train.spec.flip)
    tested = RealSet(with_channels(test.images, channels), test.labels, spec, partial=True)
    return RealSet(pixels, train.labels, spec), tested


def _narrowed(part: _Part, choice: Choice) -> _Part:
    rows, spec = rows_of(part.split, choice), part.spec
    spec = None if spec is None else replace(spec, class_names=choice.names)
    return _Part(narrowed(part.split, choice), part.pixels.index_select(0, rows), spec)


def _measured(name: str, pixels: Tensor, class_names: tuple[str, ...]) -> Spec:
    mean, std = statistics(pixels)
    return Spec(name, pixels.shape[1], pixels.shape[2], pixels.shape[3], class_names, mean, std)


def _open(data: Any, role: str, resize: Resize | None, watcher: Watcher) -> tuple[_Part, _Part | None]:
    if isinstance(data, RealSet):
        return _from_real_set(data, resize), None
    if isinstance(data, tuple):
        if len(data) != 2:
            raise InputError.about(role, f"a tuple of {len(data)} found; (images, labels) is needed")
        return _from_arrays(data[0], data[1], role, resize), None
    if _streams(data):
        raise InputError.about(
            role,
            f"a stream ({type(data).__name__}) cannot be drawn from at random; load it whole (without "
            "streaming=True), or write its images to a folder once and give that",
        )
    if type(data).__module__.split(".")[0] == "pandas":
        raise InputError.about(
            role, f"{type(data).__name__} of pandas found; needed are (images, labels), where labels may be a column"
        )
    splits = hugging_face.open_object(data, role)
    if splits is not None:
        train, test, unused = (choose_test(splits, role), None, ()) if role == "test" else choose(splits, role)
        test_part = None if test is None else _Part(test, gathered(test, resize, watcher))
        notes = [f"{role}: left unused: {', '.join(unused)}"] if unused else []
        if hugging_face.transformed(data):
            notes.append(f"{role}: read as it is stored; its transform (with_transform) is not applied")
        return _Part(train, gathered(train, resize, watcher), notes=tuple(notes)), test_part
    listed = isinstance(data, dict | list | Tensor | np.ndarray)
    if hasattr(data, "__len__") and hasattr(data, "__getitem__") and not listed:
        return _from_items(data, role, resize, watcher), None
    raise InputError.about(
        role,
        f"{type(data).__name__} found; allowed are a name or path, (images, labels), a RealSet, or a map-style "
        "dataset of (image, label)",
    )


def _streams(data: Any) -> bool:
    """Whether it only gives one image after the other."""
    if isinstance(data, torch.utils.data.IterableDataset | torch.utils.data.DataLoader):
        return True
    if type(data).__module__.split(".")[0] == "datasets":
        return type(data).__name__.startswith("Iterable")
    return hasattr(data, "__iter__") and not hasattr(data, "__len__") and not hasattr(data, "__getitem__")


def _from_real_set(data: RealSet, resize: Resize | None) -> _Part:
    pixels = resized(data.images, resize)
    spec = replace(data.spec, height=pixels.shape[2], width=pixels.shape[3])
    names = data.spec.class_names
    return _Part(replace(_split(data.spec.name, data.labels, names), numbered=True), pixels, spec)


def _from_arrays(images: Any, values: Any, role: str, resize: Resize | None) -> _Part:
    pixels = arrays.pixels(images, f"{role}: images")
    numbers, class_names = arrays.labels(values, f"{role}: labels")
    if len(pixels) != len(numbers):
        raise InputError.about(
            role, f"{len(pixels)} images but {len(numbers)} labels; there must be one label per image"
        )
    return _Part(_split(role, numbers, class_names), resized(pixels, resize))


def _from_items(data: Any, role: str, resize: Resize | None, watcher: Watcher) -> _Part:
    """A map-style dataset of (image, label); its class names where it has ``classes``, as torchvision's have."""
    count = len(data)
    if count == 0:
        raise InputError.about(role, "the set is empty")
    values: list[Any] = [None] * count

    def read(rows: Sequence[int]) -> list[Picture]:
        items = [_item(_read(data, row, role, count), f"{role}, row {row}") for row in rows]
        for row, (_, label) in zip(rows, items, strict=True):
            values[row] = label
        return [picture for picture, _ in items]

    split = _split(role, torch.full((count,), labels.MISSING), None)
    pixels = gathered(replace(split, read=read), resize, watcher)
    named = _class_names(data, role)
    numbers, class_names = labels.from_values(values, named, split.row)
    return _Part(replace(split, labels=numbers, class_names=class_names, numbered=named is not None), pixels)


def _read(data: Any, row: int, role: str, count: int) -> Any:
    """What a data set of the user's gives for a row.

    Raises:
        InputError: its code raises; the message names the row and what was raised.
    """
    try:
        return data[row]
    except InputError:
        raise
    except Exception as error:  # whatever the user's code raises
        said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        if isinstance(error, IndexError | KeyError):
            said += f"; len() says that there are {count} rows"
        raise InputError.about(f"{role}, row {row}", f"cannot be read ({said})") from error


def _item(item: Any, row: str) -> tuple[Picture, Any]:
    if not isinstance(item, tuple | list) or len(item) < 2:
        raise InputError.about(row, f"{type(item).__name__} found; (image, label) is needed")
    return item[0], item[1]


def _class_names(data: Any, role: str) -> tuple[str, ...] | None:
    """The names a data set has as ``classes``, or those of what it is a part or a chain of; None where it has none.

    Raises:
        InputError: the parts of a chain name their classes differently.
    """
    names = getattr(data, "classes", None)
    if isinstance(names, list | tuple | np.ndarray) and len(names) and all(isinstance(name, str) for name in names):
        return tuple(map(str, names))
    if isinstance(data, torch.utils.data.Subset):
        return _class_names(data.dataset, role)
    if not isinstance(data, torch.utils.data.ConcatDataset):
        return None
    by_part = [_class_names(part, role) for part in data.datasets]
    known = [names for names in by_part if names is not None]
    if len(set(known)) > 1:
        other = next(names for names in known if names != known[0])
        raise InputError.about(
            role,
            f"its parts number their classes differently: {few(known[0])}, and {few(other)}; a label must mean "
            "the same class in all of them",
        )
    return known[0] if len(known) == len(by_part) else None


def _split(name: str, numbers: Tensor, class_names: tuple[str, ...] | None) -> Split:
    return Split(name, numbers, class_names, read=lambda rows: (), row=lambda row: f"{name}, row {row}")


def gathered(split: Split, resize: Resize | None, watcher: Watcher) -> Tensor:
    """All pictures of a split, uint8 [N, C, H, W]."""
    if len(split) == 0:
        raise InputError.about(split.name, "the set is empty")
    form = form_of(split.read(range(1)), split.row, resize)
    while True:
        try:
            each = form.channels * form.height * form.width
            check_memory(
                split.name, None, f"holding {len(split):,} images of {form.height}x{form.width}", len(split) * each
            )
            pixels = torch.empty((len(split), form.channels, form.height, form.width), dtype=torch.uint8)
            block_images = max(1, min(BLOCK_IMAGES, BLOCK_BYTES // each))
            for start in range(0, len(split), block_images):
                stop = min(start + block_images, len(split))
                block, _ = decode(split.read(range(start, stop)), form, split.row_after(start))
                pixels[start:stop] = block
                watcher.images(f"decoding {split.name}", stop, len(split))
                if stop < len(split) and watcher.stop():
                    raise InterruptedRun(f"stopped after decoding {stop} of {len(split)} images")
            return pixels
        except Wider as wider:
            form = replace(form, channels=wider.channels)
