"""Some classes of a source, in an order of the user's or of a published subset."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from distillset.errors import InputError, nearest
from distillset.sources.splits import Split, few


@dataclass(frozen=True)
class Choice:
    """The chosen classes.

    Args:
        indices: their numbers in the source, in the chosen order; the position is the new number.
        names: what they are called.
    """

    indices: tuple[int, ...]
    names: tuple[str, ...]


def choose_classes(wanted: Sequence[str | int], names: Sequence[str], where: str) -> Choice:
    """The classes a user names, by name or by number; a name wins where it looks like a number.

    Raises:
        InputError: a class that is not there, or twice; fewer than two.
    """
    indices: list[int] = []
    for item in wanted:
        index = _index(item, names, where)
        if index in indices:
            raise InputError("classes", item, f"class {names[index]} is named twice")
        indices.append(index)
    if len(indices) < 2:
        raise InputError("classes", list(wanted), "at least two classes are needed")
    return Choice(tuple(indices), tuple(names[index] for index in indices))


def published_classes(classes: Mapping[str, str], names: Sequence[str], subset: str, where: str) -> Choice:
    """The classes of a subset of ImageNet, given as wnid to name, among those of a source.

    Sources call a class by its wnid or by names between commas, such as ``tench, Tinca tinca``.

    Raises:
        InputError: one of them is missing.
    """
    known: dict[str, int] = {}
    for index, name in enumerate(names):
        for synonym in (name, *name.split(",")):
            known.setdefault(_plain(synonym), index)
    indices = []
    for wnid, name in classes.items():
        title = known.get(wnid, known.get(_plain(name)))
        if title is None:
            raise InputError(
                "data", subset, f"class {name} ({wnid}) is not among the {len(names)} classes of {where}: {few(names)}"
            )
        indices.append(title)
    return Choice(tuple(indices), tuple(classes.values()))


def narrowed(split: Split, choice: Choice) -> Split:
    """The rows of the chosen classes, in their order, with new labels."""
    table = torch.full((max(choice.indices, default=0) + 1,), -1)
    table[list(choice.indices)] = torch.arange(len(choice.indices))
    rows = rows_of(split, choice)
    numbers = rows.tolist()
    return replace(
        split,
        labels=table[split.labels[rows]],
        class_names=choice.names,
        read=lambda wanted: split.read([numbers[row] for row in wanted]),
        row=lambda row: split.row(numbers[row]),
    )


def rows_of(split: Split, choice: Choice) -> torch.Tensor:
    """The rows of ``split`` that are of a chosen class, ascending, int64."""
    return torch.isin(split.labels, torch.tensor(choice.indices)).nonzero().squeeze(1)


def _index(item: str | int, names: Sequence[str], where: str) -> int:
    text = str(item).strip()
    if isinstance(item, str):
        if names.count(text) > 1:
            raise InputError("classes", item, f"{names.count(text)} classes of {where} are called so; give the number")
        if text in names:
            return names.index(text)
        # Words alone: "-1" without its hyphen would be class 1.
        alike = [index for index, name in enumerate(names) if _plain(name) == _plain(text)]
        if len(alike) == 1 and not _is_number(_plain(text)):
            return alike[0]
    if text.isascii() and text.isdecimal() and len(text) < 10 and int(text) < len(names):
        return int(text)
    hint = nearest(text, names)
    raise InputError(
        "classes",
        item,
        f"no such class in {where}{hint}; allowed are names or numbers from 0 to {len(names) - 1} of: {few(names)}",
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").replace("-", " ").lower().split())
