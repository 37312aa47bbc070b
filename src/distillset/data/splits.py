"""A split of a source before its pictures are decoded, and how train and test are chosen among several."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from distillset.data.real import held_out_rows, numbered_classes
from distillset.errors import InputError
from distillset.keys import Key

Picture = Any
"""One picture: encoded bytes, the path of a file, a PIL image, or an array [C, H, W], [H, W, C] or [H, W]."""

Block = Tensor | Sequence[Picture]
"""Some pictures: uint8 [n, C, H, W] where they are arrays already, else one by one."""

TRAIN_SPLITS = ("train", "training")
TEST_SPLITS = ("test", "testing", "validation", "valid", "val", "dev")
"""Names under which the test split is looked for, in this order."""

HELD_OUT = 0.2
"""The share of every class that becomes the test set where a source has none."""

HELD_OUT_KEY = Key(0)("held out")
"""Never the user's seed: which images test must not depend on it."""


@dataclass(frozen=True)
class Split:
    """One split of a source.

    Args:
        name: what messages call it, such as ``/data/cats, split train``.
        labels: int64 [N], unchecked.
        class_names: None where the source has numbers only.
        read: the pictures of the rows from a first to before a last one.
        row: how messages name a row.
    """

    name: str
    labels: Tensor
    class_names: tuple[str, ...] | None
    read: Callable[[int, int], Block]
    row: Callable[[int], str]

    def __len__(self) -> int:
        return len(self.labels)

    def row_after(self, start: int) -> Callable[[int], str]:
        """How messages name the rows counted from ``start``."""
        return lambda position: self.row(start + position)


def choose(splits: Mapping[str, Split], where: str) -> tuple[Split, Split | None, list[str]]:
    """(train, test if there is one, the names of the splits left unused).

    Raises:
        InputError: no split to train on, or several and none is called train.
    """
    test = next((name for name in TEST_SPLITS if name in splits), None)
    candidates = [name for name in splits if name not in TEST_SPLITS]
    train = next((name for name in TRAIN_SPLITS if name in splits), None)
    if train is None:
        if not candidates and len(splits) == 1:
            # A folder of which only a part was copied, or one that is called "test" itself.
            train, test = next(iter(splits)), None
        elif len(candidates) == 1:
            train = candidates[0]
        else:
            raise InputError(f"{where}: no split is called train; its splits are {', '.join(splits)}")
    unused = [name for name in splits if name not in (train, test)]
    return splits[train], None if test is None else splits[test], unused


def choose_test(splits: Mapping[str, Split], where: str) -> Split:
    """The split to test on, of a source that was named as the test set.

    Raises:
        InputError: there are several and none is called test or validation.
    """
    name = next((name for name in TEST_SPLITS if name in splits), None)
    if name is None and len(splits) != 1:
        raise InputError(f"--test {where}: no split is called test or validation; its splits are {', '.join(splits)}")
    return splits[next(iter(splits)) if name is None else name]


def hold_out(labels: Tensor, class_names: Sequence[str], where: str) -> tuple[Tensor, str]:
    """(bool [N]: the rows of a source without a test split that become one, the note that says so).

    Raises:
        InputError: every class has a single image.
    """
    held = held_out_rows(labels, len(class_names), HELD_OUT, HELD_OUT_KEY)
    count = int(held.sum())
    if count == 0:
        raise InputError(
            f"{where}: no test split, and every class has a single image, so none can be held out; give --test"
        )
    return (
        held,
        f"{where}: no test split; held out a stratified {HELD_OUT:.0%} for testing ({count} of {len(held)} images)",
    )


def check_training_labels(split: Split) -> tuple[str, ...]:
    """The class names of a training split.

    Raises:
        InputError: it is empty, a label is missing or out of range, or fewer than two classes or an empty one.
    """
    if len(split) == 0:
        raise InputError(f"{split.name}: the set is empty")
    _check_range(split, None if split.class_names is None else len(split.class_names))
    names = split.class_names
    if names is None:
        return numbered_classes(split.labels, split.name)
    counts = torch.bincount(split.labels, minlength=len(names))
    if int((counts > 0).sum()) == 1:
        raise InputError(
            f"{split.name}: all images are of class {names[int(counts.argmax())]}; at least two classes are needed"
        )
    if bool((counts == 0).any()):
        label = int((counts == 0).nonzero()[0])
        raise InputError(f"{split.name}: class {label} ({names[label]}) has no images; every class needs at least one")
    return names


def check_test_labels(split: Split, class_names: tuple[str, ...]) -> Split:
    """``split`` with its labels as the training split numbers the classes; by name where both have names.

    Raises:
        InputError: it is empty, or a label is missing, out of range, or of a class that is not in the training split.
    """
    if len(split) == 0:
        raise InputError(f"{split.name}: the set is empty")
    names = split.class_names
    if names is None or names == class_names:
        _check_range(split, len(class_names))
        return split
    _check_range(split, len(names))
    for label in torch.unique(split.labels).tolist():
        if names[label] not in class_names:
            raise InputError(
                f"{split.name}: class {names[label]} is not among those of the training set ({_few(class_names)})"
            )
    table = torch.tensor([class_names.index(name) if name in class_names else -1 for name in names])
    return replace(split, labels=table[split.labels], class_names=class_names)


def _check_range(split: Split, classes: int | None) -> None:
    outside = split.labels < 0
    if classes is not None:
        outside |= split.labels >= classes
    if bool(outside.any()):
        row = int(outside.nonzero()[0])
        allowed = "whole numbers from 0 on" if classes is None else f"0 to {classes - 1}"
        raise InputError(f"{split.row(row)}: label {int(split.labels[row])}; allowed are {allowed}")


def _few(names: Sequence[str], most: int = 12) -> str:
    return ", ".join(names[:most]) + (f", ... {len(names)} in all" if len(names) > most else "")
