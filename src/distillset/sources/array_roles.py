"""Which arrays of a file are images and which are labels, of which split, by their names."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from distillset.errors import InputError
from distillset.sources.splits import TEST_SPLITS, TRAIN_SPLITS

IMAGES = ("images", "image", "imgs", "img", "x", "data", "pixels")
LABELS = ("labels", "label", "y", "targets", "target", "fine_labels")
"""What arrays are called, the preferred names first."""

CLASS_NAMES = ("class_names", "label_names", "classes")
"""Arrays of text that name the classes."""

_WORDS = {**dict.fromkeys(IMAGES, "images"), **dict.fromkeys(LABELS, "labels")}
_SPLITS = {**dict.fromkeys(TRAIN_SPLITS, "train"), **{name: name for name in TEST_SPLITS}}


@dataclass(frozen=True)
class Roles:
    """Split to the names of its images and its labels; the training split first where there is one."""

    splits: dict[str, tuple[str, str]]

    @classmethod
    def of(cls, names: Sequence[str], where: str) -> "Roles":
        """The roles of arrays called ``names``, such as ``images`` and ``labels``, ``x_train`` and ``y_train``.

        Raises:
            InputError: the images or the labels of a split are missing, or two arrays could be either.
        """
        by_split: dict[str, dict[str, list[str]]] = {}
        for name in names:
            if (role := role_of(name)) is not None:
                split, what = role
                by_split.setdefault(split, {}).setdefault(what, []).append(name)
        if not by_split:
            by_split = {"train": {}}
        order = sorted(by_split, key=lambda split: (split != "train", split))
        return cls({split: _pair(split, by_split[split], names, where) for split in order})

    def labels_of(self, images: str) -> str | None:
        """The labels that belong to images of this name; None where it is no array of images."""
        return next((labels for pictures, labels in self.splits.values() if pictures == images), None)

    def names(self) -> list[str]:
        """All arrays that have a role."""
        return [name for pair in self.splits.values() for name in pair]


def role_of(name: str) -> tuple[str, str] | None:
    """(split, ``images`` or ``labels``) as a name tells them; None for any other name."""
    tokens = [token for token in re.split(r"[^a-z0-9]+", name.lower()) if token]
    if len(tokens) == 1:
        tokens = _cut(tokens[0])
    splits = [_SPLITS[token] for token in tokens if token in _SPLITS]
    rest = "_".join(token for token in tokens if token not in _SPLITS and token not in ("set", "dataset"))
    if len(splits) > 1 or rest not in _WORDS:
        return None
    return splits[0] if splits else "train", _WORDS[rest]


def _cut(token: str) -> list[str]:
    """``xtrain`` and ``trainx`` as two words."""
    for split in _SPLITS:
        for rest in (token.removeprefix(split), token.removesuffix(split)):
            if rest != token and rest in _WORDS:
                return [split, rest]
    return [token]


def _pair(split: str, by_role: dict[str, list[str]], names: Sequence[str], where: str) -> tuple[str, str]:
    return _one(split, "images", IMAGES, by_role, names, where), _one(split, "labels", LABELS, by_role, names, where)


def _one(
    split: str, what: str, preferred: Iterable[str], by_role: dict[str, list[str]], names: Sequence[str], where: str
) -> str:
    candidates = by_role.get(what, [])
    if len(candidates) == 1:
        return candidates[0]
    for word in preferred:
        named = [name for name in candidates if word in re.split(r"[^a-z0-9]+", name.lower())]
        if len(named) == 1 and word == what:
            return named[0]
    if candidates:
        raise InputError.about(
            where, f"{' and '.join(candidates)} could both be the {what} of {split}; keep one of them"
        )
    wanted = what if split == "train" else f"{split}_{what}"
    listed = ", ".join(names[:12]) + (f", ... {len(names)} in all" if len(names) > 12 else "")
    raise InputError.about(
        where,
        f"no array {wanted}; found {listed or 'nothing'}; needed are images, labels (and test_images, "
        "test_labels), or names alike, such as x_train, y_train",
    )
