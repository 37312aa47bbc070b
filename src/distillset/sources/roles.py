"""What the names of folders, tables and columns say: which is a split, which holds masks, which only counts parts."""

import re
import unicodedata
from collections.abc import Iterable, Sequence

TRAIN, TEST, VALIDATION = "train", "test", "validation"

WORDS = {
    **dict.fromkeys(("train", "training", "trn"), TRAIN),
    **dict.fromkeys(("test", "testing", "tst", "eval", "evaluation"), TEST),
    **dict.fromkeys(("validation", "valid", "val", "dev"), VALIDATION),
}
"""Words that name a split, and the split they name."""

ALIASES = {"publictest": VALIDATION, "privatetest": TEST}
"""How FER-2013 calls its splits."""

FILLERS = frozenset(["set", "sets", "data", "dataset", "images", "image", "imgs", "img", "split", "labels", "files"])
"""Words that go with the name of a split and say nothing more."""

IMAGES = frozenset(["images", "image", "imgs", "img", "pictures", "photos", "pics", "jpegimages", "raw", "original"])
MASKS = frozenset(["masks", "mask", "annotations", "segmentation", "segmentations", "groundtruth", "gt", "labels"])
"""Folders of masks beside folders of images: no classes, and no images to learn from."""

PARTS = re.compile(r"(fold|part|batch|split|subset|chunk|shard|session|dir|folder)[ _.-]?\d+")
"""Folders that only cut a set into parts."""

_GLUED = re.compile(rf"({'|'.join(sorted(WORDS, key=len, reverse=True))})(set|sets|data|images?|imgs?)?")


def plain(name: str) -> str:
    """A name as it is compared: composed letters (NFC) and no spaces around."""
    return unicodedata.normalize("NFC", name).strip()


def role_of(name: str) -> tuple[str, tuple[str, ...]] | None:
    """(train, test or validation; what else the name says), None where it does not name one split.

    ``Training_set`` is (train, ()), ``seg_test`` is (test, ("seg",)), ``val2017`` is (validation, ("2017",)).
    """
    if alias := ALIASES.get(name.lower()):
        return alias, ()
    tokens = [token.lower() for token in re.findall(r"[^\W\d_]+|\d+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name))]
    roles = {match[1] for token in tokens if (match := _GLUED.fullmatch(token))}
    if len({WORDS[role] for role in roles}) != 1:
        return None
    rest = tuple(token for token in tokens if token not in FILLERS and not _GLUED.fullmatch(token))
    return WORDS[roles.pop()], rest


def splits_among(names: Iterable[str]) -> dict[str, str]:
    """Name to split, of those names among siblings that name splits.

    They do so alone (``train``, ``TestSet``), or where siblings share what else they say (``seg_train``, ``seg_test``).
    """
    by_name = {name: said for name in names if (said := role_of(name)) is not None}
    groups: dict[tuple[str, ...], dict[str, str]] = {}
    for name, (role, rest) in by_name.items():
        groups.setdefault(rest, {})[name] = role
    if () in groups:
        return groups[()]
    shared = [group for group in groups.values() if len(set(group.values())) > 1]
    return max(shared, key=len, default={})


def cuts_only(names: Sequence[str]) -> bool:
    """Whether folders only cut a set into parts, such as ``fold1`` and ``fold2``."""
    return len(names) > 1 and all(PARTS.fullmatch(name.lower()) for name in names)


def says_nothing(name: str) -> bool:
    """Whether the name of a folder inside a class is a number, a code or a word for images, and so no class."""
    return any(letter.isdigit() for letter in name) or name.lower() in IMAGES


def masks_among(names: Iterable[str]) -> list[str]:
    """Folders of masks, where others beside them are called like folders of images."""
    names = list(names)
    if not any(_joined(name) in IMAGES for name in names):
        return []
    return [name for name in names if _joined(name) in MASKS]


def _joined(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.lower())
