"""Data that a program hands over: arrays, map-style datasets, objects of `datasets`. They are decoded into memory."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distillset.data import arrays, hugging_face
from distillset.data.measure import CHUNK, statistics
from distillset.data.pictures import Wider, decode, form_of, resized
from distillset.data.progress import Bar
from distillset.data.real import RealSet
from distillset.data.spec import Spec
from distillset.data.splits import (
    Picture,
    Split,
    check_test_labels,
    check_training_labels,
    choose,
    choose_test,
    hold_out,
)
from distillset.errors import InputError

BLOCK_IMAGES = 256


@dataclass(frozen=True)
class _Part:
    """A split and its pixels, uint8 [N, C, H, W]; the spec only where it was given."""

    split: Split
    pixels: Tensor
    spec: Spec | None = None


def load_in_memory(
    data: Any, test: Any, resize: tuple[int, int] | None, progress: bool | None
) -> tuple[RealSet, RealSet, list[str]]:
    """(train, test, notes) of ``data``, and of ``test`` where it is given; see `distillset.data.sources.load`.

    Raises:
        InputError: one of them is of a kind that is not read, or its content cannot be used.
    """
    part, test_part = _open(data, "data", resize, progress)
    if test is not None:
        train_of_test, test_of_test = _open(test, "test", resize, progress)
        test_part = test_of_test or train_of_test
    class_names = check_training_labels(part.split)
    pixels, labels = part.pixels, part.split.labels
    notes = []
    if test_part is None:
        held, note = hold_out(labels, class_names, part.split.name)
        notes.append(note)
        test_pixels, test_labels = pixels[held], labels[held]
        pixels, labels = pixels[~held], labels[~held]
    else:
        test_pixels, test_labels = test_part.pixels, check_test_labels(test_part.split, class_names).labels
    # What is measured for normalising does not see the images held out.
    spec = part.spec or _measured(part.split.name, pixels, class_names)
    return RealSet(pixels, labels, spec), RealSet(test_pixels, test_labels, spec, partial=True), notes


def _measured(name: str, pixels: Tensor, class_names: tuple[str, ...]) -> Spec:
    mean, std = statistics(pixels)
    return Spec(name, pixels.shape[1], pixels.shape[2], pixels.shape[3], class_names, mean, std)


def _open(data: Any, role: str, resize: tuple[int, int] | None, progress: bool | None) -> tuple[_Part, _Part | None]:
    if isinstance(data, RealSet):
        return _from_real_set(data, resize), None
    if isinstance(data, tuple):
        if len(data) != 2:
            raise InputError(f"{role}: a tuple of {len(data)} found; (images, labels) is needed")
        return _from_arrays(data[0], data[1], role, resize), None
    splits = hugging_face.open_object(data, role)
    if splits is not None:
        train, test, _ = (choose_test(splits, role), None, ()) if role == "test" else choose(splits, role)
        test_part = None if test is None else _Part(test, _gathered(test, resize, progress))
        return _Part(train, _gathered(train, resize, progress)), test_part
    listed = isinstance(data, dict | list | Tensor | np.ndarray)
    if hasattr(data, "__len__") and hasattr(data, "__getitem__") and not listed:
        return _from_items(data, role, resize, progress), None
    raise InputError(
        f"{role}: {type(data).__name__} found; allowed are a name or path, (images, labels), a RealSet, or a map-style "
        "dataset of (image, label)"
    )


def _from_real_set(data: RealSet, resize: tuple[int, int] | None) -> _Part:
    pixels = _scaled(data.images, resize)
    spec = replace(data.spec, height=pixels.shape[2], width=pixels.shape[3])
    names = data.spec.class_names
    return _Part(_split(data.spec.name, data.labels, names), pixels, spec)


def _from_arrays(images: Any, labels: Any, role: str, resize: tuple[int, int] | None) -> _Part:
    pixels, numbers = arrays.pixels(images, f"{role}: images"), arrays.labels(labels, f"{role}: labels")
    if len(pixels) != len(numbers):
        raise InputError(f"{role}: {len(pixels)} images but {len(numbers)} labels; there must be one label per image")
    return _Part(_split(role, numbers, None), _scaled(pixels, resize))


def _from_items(data: Any, role: str, resize: tuple[int, int] | None, progress: bool | None) -> _Part:
    """A map-style dataset of (image, label); its class names where it has ``classes``, as torchvision's have."""
    count = len(data)
    if count == 0:
        raise InputError(f"{role}: the set is empty")
    labels = torch.full((count,), -1, dtype=torch.int64)

    def read(start: int, stop: int) -> list[Picture]:
        items = [_item(data[row], f"{role}, row {row}") for row in range(start, stop)]
        labels[start:stop] = torch.tensor([label for _, label in items])
        return [picture for picture, _ in items]

    split = replace(_split(role, labels, _class_names(data)), read=read)
    return _Part(split, _gathered(split, resize, progress))


def _item(item: Any, row: str) -> tuple[Picture, int]:
    if not isinstance(item, tuple | list) or len(item) < 2:
        raise InputError(f"{row}: {type(item).__name__} found; (image, label) is needed")
    label = item[1].item() if isinstance(item[1], Tensor | np.generic | np.ndarray) and item[1].ndim == 0 else item[1]
    if not isinstance(label, int) or isinstance(label, bool):
        raise InputError(f"{row}: label {label!r}; a whole number is needed")
    return item[0], label


def _class_names(data: Any) -> tuple[str, ...] | None:
    names = getattr(data, "classes", None)
    if isinstance(names, list | tuple) and all(isinstance(name, str) for name in names):
        return tuple(names)
    return None


def _split(name: str, labels: Tensor, class_names: tuple[str, ...] | None) -> Split:
    return Split(name, labels, class_names, read=lambda start, stop: (), row=lambda row: f"{name}, row {row}")


def _gathered(split: Split, resize: tuple[int, int] | None, progress: bool | None) -> Tensor:
    """All pictures of a split, uint8 [N, C, H, W]."""
    if len(split) == 0:
        raise InputError(f"{split.name}: the set is empty")
    form = form_of(split.read(0, 1), split.row, resize)
    while True:
        try:
            pixels = torch.empty((len(split), form.channels, form.height, form.width), dtype=torch.uint8)
            with Bar(f"decoding {split.name}", len(split), progress) as bar:
                for start in range(0, len(split), BLOCK_IMAGES):
                    stop = min(start + BLOCK_IMAGES, len(split))
                    block, _ = decode(split.read(start, stop), form, split.row_after(start))
                    pixels[start:stop] = block
                    bar.advance(stop - start)
            return pixels
        except Wider as wider:
            form = replace(form, channels=wider.channels)


def _scaled(pixels: Tensor, resize: tuple[int, int] | None) -> Tensor:
    if resize is None or tuple(pixels.shape[2:]) == tuple(resize):
        return pixels
    return torch.cat([resized(chunk, *resize) for chunk in torch.split(pixels, CHUNK)])
