"""A folder of images: the classes are folders, or a table lists the images with their labels."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import torch

from distillset.errors import InputError
from distillset.sources import kinds
from distillset.sources.layout import Layout, SplitFolder, layout, leave_masks
from distillset.sources.listed import Listing, open_listed
from distillset.sources.roles import splits_among
from distillset.sources.splits import TEST_SPLITS, Split, of_files, unlabelled
from distillset.sources.tree import Account, Folder, look, many

UNTOLD = (
    "nothing says of which class each is; needed are one folder of images per class, or a table with a column of "
    "images and one of labels"
)


def open_image_folder(
    path: Path, wanted: Sequence[str] | None = None, allow_outside: bool = False
) -> dict[str, Split] | None:
    """The splits of a folder of images; None where there are none in it.

    A table whose paths are there goes before names of folders. The notes of every split end in one line of how many
    images were taken and what was left. The folder is read here and not by `datasets`, which takes a class called
    "train" or "val" for a split and drops the others.

    Args:
        path: the folder.
        wanted: names of classes that are known from elsewhere, which decide where folders can be read in two ways.
        allow_outside: whether tables may name files outside the folder.

    Raises:
        InputError: what is there can be read in two ways, or images have no labels.
    """
    tree, account = look(path)
    leave_masks(tree, account)
    before = dict(account.left)
    listed = open_listed(tree, _tables_above(tree), account, allow_outside, guess=False)
    if listed.splits and listed.single():
        # It may list one class of several; if there are no folders of classes either, it is looked at again.
        account.left = before
        listed = Listing(why=dict.fromkeys(listed.used, "all its rows are of one class"))
    by_layout = None if listed.splits else layout(tree, account, wanted)
    if not listed.splits and (by_layout is None or by_layout.single()):
        everywhere = [folder.path / name for folder in tree.walk() for name in folder.tables]
        listed = open_listed(tree, everywhere, account, allow_outside, guess=True)
        if by_layout is not None and not listed.splits and any(listed.why.values()):
            _refuse(tree, account, listed)
    _leave_tables(tree, listed, account)
    if listed.splits:
        return _with_line(listed.splits, account, [])
    if by_layout is None:
        return _refuse(tree, account, listed) if tree.count() else None
    return _with_line(_of_layout(by_layout, path), account, by_layout.notes)


def check_flat(path: Path) -> None:
    """Refuse a folder of nothing but images, by names alone: there may be a million.

    Raises:
        InputError: it is one.
    """
    images = 0
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if kinds.silent(entry.name):
                    continue
                if kinds.suffix_of(entry.name) not in kinds.COMMON or entry.is_dir():
                    return
                images += 1
    except OSError:
        return
    if images:
        raise InputError.about(path, f"{many(images, 'images')}, but {UNTOLD}")


def open_table(path: Path, allow_outside: bool = False) -> dict[str, Split]:
    """The splits of a table that lists images, which lie in its folder.

    Raises:
        InputError: it lists none that are there, or they have no labels.
    """
    tree, _ = look(path.parent)
    account = Account(path)
    listed = open_listed(tree, [path], account, allow_outside, guess=True)
    if not listed.splits:
        raise InputError.about(path, f"{listed.why.get(path) or 'no column names images that are in its folder'}")
    return _with_line(listed.splits, Account(path), [])


def files_listed(path: Path) -> list[tuple[str, int, int]]:
    """(path, bytes, time of change in ns) of the images in the folder of a table, by which a cache knows them."""
    tree, _ = look(path.parent)
    names = (f"{folder.path}{os.sep}{name}" for folder in tree.walk() for name in folder.images)
    # Text and not `Path`: of 100,000 files this is what a second start waits for.
    return [(name, status.st_size, status.st_mtime_ns) for name in names for status in (os.stat(name),)]  # noqa: PTH116


def _tables_above(tree: Folder) -> list[Path]:
    """Tables that lie above the folders of classes: in the folder, in what it is wrapped in, and in splits."""
    folders, folder = [tree], tree
    while not folder.images and len(folder.filled()) == 1:
        folder = folder.filled()[0]
        folders.append(folder)
    kids = {kid.name: kid for kid in folders[-1].folders}
    folders += [kids[name] for name in splits_among(kids)]
    return [inner.path / name for inner in folders for name in inner.tables]


def _leave_tables(tree: Folder, listed: Listing, account: Account) -> None:
    for folder in tree.walk():
        for name in folder.tables:
            if (path := folder.path / name) not in listed.used:
                account.leave(f"{kinds.suffix_of(name)} files", path, listed.why.get(path, ""))


def _of_layout(folders: Layout, path: Path) -> dict[str, Split]:
    several = len(folders.splits) > 1
    splits = {
        key: _split(f"{path}, split {split.folder.name}" if several else str(path), split)
        for key, split in folders.splits.items()
    }
    train = next((split for key, split in splits.items() if key not in TEST_SPLITS), None)
    for key, split in splits.items():
        # One folder for all, called "unknown" or "test", is how images without labels are put where a class is needed.
        if train is None or key not in TEST_SPLITS or len(split.class_names or ()) != 1:
            continue
        known = {name.casefold() for name in train.class_names or ()}
        if not {name.casefold() for name in split.class_names or ()} & known:
            splits[key] = replace(split, labels=torch.full_like(split.labels, -1), class_names=None)
    return splits


def _split(name: str, split: SplitFolder) -> Split:
    names = tuple(sorted({*split.classes, *split.absent}))
    files = [file for known in names for file in split.classes.get(known, ())]
    labels = [label for label, known in enumerate(names) for _ in split.classes.get(known, ())]
    if not names:
        files, labels = split.unlabelled, [-1] * len(split.unlabelled)
    return of_files(name, files, torch.tensor(labels, dtype=torch.int64), names or None, absent=split.absent)


def _with_line(splits: dict[str, Split], account: Account, notes: Sequence[str]) -> dict[str, Split]:
    """The splits, with what is to be said of them once: the line of what was taken and left comes last."""
    taken = [path for split in splits.values() if not unlabelled(split) for path in split.files]
    line = account.line(len(taken), len({path.parent for path in taken}))
    said = dict.fromkeys([*notes, *(note for split in splits.values() for note in split.notes), line])
    return {key: replace(split, notes=tuple(said)) for key, split in splits.items()}


def _refuse(tree: Folder, account: Account, listed: Listing) -> NoReturn:
    """Say why images cannot be used: nothing says of which class they are.

    Raises:
        InputError: always.
    """
    tables = [f"{path.name}: {why}" for path, why in listed.why.items() if why]
    left = account.said()
    said = f" ({'; '.join(tables[:3])})" if tables else f" (there are {left})" if left else ""
    raise InputError.about(tree.path, f"{many(tree.count(), 'images')}, but {UNTOLD.replace(';', f'{said};', 1)}")
