"""A split of a source before its pictures are decoded, and how train and test are chosen among several."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distillset.data.real import held_out_rows, numbered_classes
from distillset.data.spec import check_text
from distillset.errors import InputError
from distillset.keys import Key

Picture = Any
"""One picture: encoded bytes, the path of a file, a PIL image, an array [C, H, W], [H, W, C] or [H, W], `Unusable`."""

Block = Tensor | Sequence[Picture]
"""Some pictures: uint8 [n, C, H, W] where they are arrays already, else one by one."""

TRAIN_SPLITS = ("train", "training")
TEST_SPLITS = ("test", "testing", "validation", "valid", "val", "dev")
"""Names under which the test split is looked for, in this order."""

HELD_OUT = 0.2
"""The share of every class that becomes the test set where a source has none."""

MOST_CLASSES = 100_000
"""Numbers beyond it are ids, not classes."""

HELD_OUT_KEY = Key(0)("held out")
"""Never the user's seed: which images test must not depend on it."""


@dataclass(frozen=True)
class Unusable:
    """In place of a picture that may not be read, or cannot: why."""

    why: str


@dataclass(frozen=True)
class Split:
    """One split of a source.

    Args:
        name: what messages call it, such as ``/data/cats, split train``.
        labels: int64 [N], unchecked.
        class_names: None where the source has numbers only.
        read: the pictures of some rows; a `range` of step 1 is read fastest.
        row: how messages name a row.
        notes: what has to be said of how it was read, one line each.
        absent: classes that are meant to be there, and why they have no images.
        files: of the pictures, where each is one.
        numbered: whether the source itself numbers its classes: then numbers alone, in a test set, mean the same ones.
    """

    name: str
    labels: Tensor
    class_names: tuple[str, ...] | None
    read: Callable[[Sequence[int]], Block]
    row: Callable[[int], str]
    notes: tuple[str, ...] = ()
    absent: Mapping[str, str] = field(default_factory=dict)
    files: Sequence[Path] = ()
    numbered: bool = False

    def __len__(self) -> int:
        return len(self.labels)

    def row_after(self, start: int) -> Callable[[int], str]:
        """How messages name the rows counted from ``start``."""
        return lambda position: self.row(start + position)


def of_files(
    name: str,
    files: Sequence[Path],
    labels: Tensor,
    class_names: tuple[str, ...] | None,
    *,
    row: Callable[[int], str] | None = None,
    notes: tuple[str, ...] = (),
    absent: Mapping[str, str] | None = None,
) -> Split:
    """A split whose pictures are files; see `Split`."""
    return Split(
        name=name,
        labels=labels,
        class_names=class_names,
        read=lambda rows: [files[number] for number in rows],
        row=row or (lambda number: f"{files[number]} (row {number})"),
        notes=notes,
        absent=absent or {},
        files=files,
    )


def rows_of_tensor(array: Tensor, rows: Sequence[int]) -> Tensor:
    """Rows of a tensor; of a `range` of step 1 a view, without a copy."""
    if isinstance(rows, range) and rows.step == 1:
        return array[rows.start : rows.stop]
    return array.index_select(0, torch.tensor(list(rows), dtype=torch.int64))


def choose(splits: Mapping[str, Split], where: str) -> tuple[Split, Split | None, list[str]]:
    """(train, test if there is one, the names of the splits left unused).

    A test split of which no row has a label, as competitions publish it, is passed over.

    Raises:
        InputError: no split to train on, or several and none is called train.
    """
    test = next((name for name in TEST_SPLITS if name in splits and not unlabelled(splits[name])), None)
    candidates = [name for name in splits if name not in TEST_SPLITS]
    train = next((name for name in TRAIN_SPLITS if name in splits), None)
    if train is None:
        if not candidates and len(splits) == 1:
            # A folder of which only a part was copied, or one that is called "test" itself.
            train, test = next(iter(splits)), None
        elif len(candidates) == 1:
            train = candidates[0]
        else:
            raise InputError.about(where, f"no split is called train; its splits are {', '.join(splits)}")
    unused = [
        f"{name} (it has no labels)" if unlabelled(split) else name
        for name, split in splits.items()
        if name not in (train, test)
    ]
    return splits[train], None if test is None else splits[test], unused


def choose_test(splits: Mapping[str, Split], where: str) -> Split:
    """The split to test on, of a source that was named as the test set.

    Raises:
        InputError: there are several and none is called test or validation.
    """
    name = next((name for name in TEST_SPLITS if name in splits), None)
    if name is None and len(splits) != 1:
        raise InputError("test", where, f"no split is called test or validation; its splits are {', '.join(splits)}")
    return splits[next(iter(splits)) if name is None else name]


def unlabelled(split: Split) -> bool:
    """Whether no row has a label: all are missing, which -1 stands for."""
    return len(split) > 0 and bool((split.labels == -1).all())


def hold_out(labels: Tensor, classes: int) -> Tensor:
    """The rows of a source without a test split that become one, bool [N].

    Those of a class do not depend on which other classes are chosen, only on its number in the source.
    """
    return held_out_rows(labels, classes, HELD_OUT, HELD_OUT_KEY)


def note_held_out(held: Tensor, where: str) -> str:
    """What is announced of the rows held out.

    Raises:
        InputError: there are none, because every class has a single image.
    """
    count = int(held.sum())
    if count == 0:
        raise InputError.about(
            where, "no test split, and every class has a single image, so none can be held out; give `test`"
        )
    return f"{where}: no test split; held out a stratified {HELD_OUT:.0%} for testing ({count} of {len(held)} images)"


def names_of(split: Split) -> tuple[str, ...]:
    """The class names of a training split, some of which may have no images; numbers where it has no names.

    Raises:
        InputError: it is empty, or a label is missing or out of range.
    """
    _check_labels(split)
    return split.class_names or tuple(str(label) for label in range(int(split.labels.max()) + 1))


def check_training_labels(split: Split) -> tuple[str, ...]:
    """The class names of a training split.

    Raises:
        InputError: see `names_of`; or there are fewer than two classes or an empty one.
    """
    _check_labels(split)
    names = split.class_names
    if names is None:
        return numbered_classes(split.labels, split.name)
    counts = torch.bincount(split.labels, minlength=len(names))
    if int((counts > 0).sum()) == 1:
        why = "".join(f"; of class {name} none are read: {reason}" for name, reason in split.absent.items())
        raise InputError.about(
            split.name, f"all images are of class {names[int(counts.argmax())]}; at least two classes are needed{why}"
        )
    if bool((counts == 0).any()):
        label = int((counts == 0).nonzero()[0])
        reason = split.absent.get(names[label])
        raise InputError.about(
            split.name,
            f"class {label} ({names[label]}) has no images; "
            + (f"{reason}; or leave it out with `classes`" if reason else "every class needs at least one"),
        )
    return names


def _check_labels(split: Split) -> None:
    if len(split) == 0:
        raise InputError.about(split.name, "the set is empty")
    if unlabelled(split):
        raise InputError.about(split.name, "no image has a label; one class per image is needed")
    for number, name in enumerate(split.class_names or ()):
        check_text(f"{split.name}: the name of class {number}", name)
    check_range(split, MOST_CLASSES if split.class_names is None else len(split.class_names))


def check_range(split: Split, classes: int) -> None:
    """Check that all labels are numbers of ``classes`` classes.

    Raises:
        InputError: one is not; the message names its row.
    """
    outside = (split.labels < 0) | (split.labels >= classes)
    if bool(outside.any()):
        row = int(outside.nonzero()[0])
        negative = classes == MOST_CLASSES and int(split.labels[row]) < 0
        allowed = "whole numbers from 0 on" if negative else f"0 to {classes - 1}"
        raise InputError.about(split.row(row), f"label {int(split.labels[row])}; allowed are {allowed}")


def few(names: Sequence[str], most: int = 12) -> str:
    """Names for a message: the first ones, and how many there are."""
    return ", ".join(names[:most]) + (f", ... {len(names)} in all" if len(names) > most else "")
