"""Classes of a test set, matched to those of the training set: by name, numerals by value, never by position alone."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from distillset.errors import InputError
from distillset.sources import roles
from distillset.sources.splits import Split, check_range, few

_FORMS: tuple[Callable[[str], str | None], ...] = (
    lambda name: name,
    roles.plain,
    lambda name: roles.plain(name).casefold(),
    lambda name: str(int(roles.plain(name))) if roles.plain(name).isdecimal() else None,
)
"""How names are compared, one after the other: as they are, without spaces and in composed letters (NFC), without
regard to capitals, as numbers. A form counts where it tells all names apart."""


def check_test_labels(split: Split, class_names: tuple[str, ...], numbered: bool = True, others: bool = False) -> Split:
    """``split`` with its labels as the training split numbers the classes.

    Names are matched by `_FORMS`. Numbers are the training set's own where it ``numbered`` its classes itself, or has
    numbers only; where its class names are numerals they are matched by value; anything else is refused.

    Args:
        split: the test split.
        class_names: of the training split, in the order of its labels.
        numbered: whether the numbers of these classes come from the source, not from the order of their names.
        others: whether images of other classes are left, not refused.

    Raises:
        InputError: it is empty, or a label is missing, out of range, of a class that is not in the training split, or a
            number where the training split has names.
    """
    if len(split) == 0:
        raise InputError.about(split.name, "the set is empty")
    names = split.class_names
    if names == class_names:
        check_range(split, len(class_names))
        return split
    if names is None:
        if numbered or class_names == tuple(map(str, range(len(class_names)))):
            check_range(split, len(class_names))
            return split
        names = _numerals(split, class_names)
    else:
        check_range(split, len(names))
    indices = _matched(names, class_names)
    for label in torch.unique(split.labels).tolist():
        if indices[label] < 0 and not others:
            raise InputError.about(
                split.name, f"class {names[label]} is not among those of the training set ({few(class_names)})"
            )
    return replace(split, labels=torch.tensor(indices)[split.labels], class_names=class_names)


def missing_classes(labels: Tensor, class_names: Sequence[str], where: str) -> list[str]:
    """One line that names the classes without an image in a test set, if there are any."""
    counts = torch.bincount(labels, minlength=len(class_names))
    names = [name for name, count in zip(class_names, counts.tolist(), strict=True) if count == 0]
    if not names:
        return []
    return [
        f"{where}: no images of {len(names)} of the {len(class_names)} classes ({few(names, 6)}); accuracy is that on "
        "the others"
    ]


def _numerals(split: Split, class_names: Sequence[str]) -> tuple[str, ...]:
    """The numbers of a test split as names.

    Raises:
        InputError: the training split's names are no numerals, so that it is not clear which number is which.
    """
    if not all(name.strip().isdecimal() for name in class_names):
        raise InputError.about(
            split.name,
            f"its labels are numbers, the training set's are names ({few(class_names, 6)}); which is "
            "which cannot be told: give both as names, or both as numbers",
        )
    most = max(int(name) for name in class_names)
    outside = (split.labels < 0) | (split.labels > most)
    if bool(outside.any()):
        row = int(outside.nonzero()[0])
        raise InputError.about(split.row(row), f"label {int(split.labels[row])}; allowed are {few(class_names)}")
    return tuple(map(str, range(int(split.labels.max()) + 1)))


def _matched(names: Sequence[str], class_names: Sequence[str]) -> list[int]:
    """For each of ``names`` the number of the class that is called so, -1 where there is none."""
    indices = [-1] * len(names)
    for form in _FORMS:
        known = {key: index for index, name in enumerate(class_names) if (key := form(name)) is not None}
        keys = [form(name) for name in names]
        stated = [key for key in keys if key is not None]
        if len(known) < sum(form(name) is not None for name in class_names) or len(set(stated)) < len(stated):
            continue
        for number, key in enumerate(keys):
            if indices[number] < 0 and key is not None:
                indices[number] = known.get(key, -1)
    return indices
