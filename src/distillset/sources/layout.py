"""Which folders of a tree are splits and which are classes.

Splits are folders called like ones (``train``, ``Test_set``, ``seg_val``) that hold folders with images. Classes are
the folders at the top of a split, with all images below them. Where the folders inside them could be the classes as
well, the names of the classes have to decide; nothing is guessed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from distillset.errors import InputError
from distillset.sources import roles
from distillset.sources.tree import Account, Folder, few, unread_reason


@dataclass
class SplitFolder:
    """The classes of one split.

    Args:
        folder: where it lies.
        classes: name to the images of the class.
        absent: name to the reason why there are none.
        unlabelled: the images of a split without classes.
    """

    folder: Path
    classes: dict[str, list[Path]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    unlabelled: list[Path] = field(default_factory=list)


@dataclass
class Layout:
    """What a tree is read as.

    Args:
        splits: name to split; one without classes has no labels.
        notes: what has to be said of it.
    """

    splits: dict[str, SplitFolder]
    notes: list[str]

    def single(self) -> bool:
        """Whether all images are of one class."""
        return len({name for split in self.splits.values() for name in (*split.classes, *split.absent)}) < 2


def layout(top: Folder, account: Account, wanted: Sequence[str] | None = None) -> Layout | None:
    """The splits and classes of a tree; None where there are no folders of classes.

    Args:
        top: the tree.
        account: takes what is left.
        wanted: names of classes that are known from elsewhere, which decide between two readings.

    Raises:
        InputError: the folders can be read in two ways.
    """
    leave_masks(top, account)
    top = _unwrapped(top, stop_at_splits=True)
    inside = _splits_inside(top)
    folders = inside or _splits(top, account, wanted)
    if folders is None:
        return None
    notes: list[str] = []
    folders = {key: _unwrapped(folder) for key, folder in folders.items()}
    nested = {key: folder for key, folder in folders.items() if folder.filled()}
    if not nested:
        return None
    kids = [kid for folder in nested.values() for kid in folder.filled()]
    inner, note = (False, None) if inside else _reading(kids, top.path, wanted)
    notes += [note] if note else []
    splits = {}
    for key, folder in folders.items():
        splits[key] = SplitFolder(folder.path)
        if folder.filled():
            _fill(splits[key], folder, inner, account, alone=len(folders) == 1)
        else:
            splits[key].unlabelled = folder.files()
            account.leave_folder(folder, "in no folders of classes")
    return Layout(splits, notes)


def leave_masks(top: Folder, account: Account) -> None:
    """Leave folders of masks that lie beside folders of images, anywhere in the tree."""
    for folder in top.walk():
        for name in roles.masks_among([kid.name for kid in folder.filled()]):
            (masks,) = (kid for kid in folder.folders if kid.name == name)
            account.leave_folder(masks, "masks beside images")
            folder.folders.remove(masks)


def _unwrapped(folder: Folder, stop_at_splits: bool = False) -> Folder:
    """The folder in which the classes or splits lie: past folders that hold a single one and nothing else."""
    while not folder.images and len(kids := folder.filled()) == 1:
        kid = kids[0]
        split = roles.role_of(kid.name)
        wraps = kid.filled() or kid.name.lower() in roles.IMAGES
        if not wraps or (stop_at_splits and split is not None and not split[1]):
            return folder
        folder = kid
    return folder


def _splits_inside(top: Folder) -> dict[str, Folder] | None:
    """Splits that lie inside the classes, as ``cat/train`` and ``cat/test``; None where there are none."""
    kids = top.filled()
    parts: dict[str, list[Folder]] = {}
    for kid in kids:
        named = roles.splits_among([inner.name for inner in kid.filled()])
        if kid.images or len(set(named.values())) < 2 or len(named) < len(kid.filled()):
            return None
        for inner in kid.filled():
            parts.setdefault(named[inner.name], []).append(Folder(kid.path, folders=[inner]))
    if len(kids) < 2 or roles.splits_among([kid.name for kid in kids]):
        return None
    return {role: Folder(top.path / f"*/{role}", folders=folders) for role, folders in parts.items()}


def _splits(top: Folder, account: Account, wanted: Sequence[str] | None) -> dict[str, Folder] | None:
    """Name to folder of each split; the tree itself, called train, where there is none."""
    kids = {kid.name: kid for kid in top.filled()}
    named = roles.splits_among(kids)
    nested = [name for name in named if kids[name].filled()]
    others = [name for name in kids if name not in named]
    if not nested:
        if len(named) == len(kids) > 0 and not _matches(wanted, kids):
            raise InputError.about(
                top.path,
                f"{few(list(kids))} have the names of splits and hold images without folders of classes; "
                "needed are folders of classes in them, or a table of images and labels; if they are the classes, name "
                f"them: {_as_classes(kids)}",
            )
        return {"train": top} if kids else None
    if len(set(named.values())) == 1 and any(kids[name].filled() for name in others):
        if _matches(wanted, kids):
            return {"train": top}
        if not _matches(wanted, _inner_names([kids[name] for name in nested])):
            inner = _inner_names([kids[name] for name in nested])
            raise InputError.about(
                top.path,
                f"{few(list(kids))} can be read in two ways: {few(nested)} as a split, or all of them as "
                f"classes; say which with {_as_classes(inner)}, or {_as_classes(kids)}",
            )
    for name in others:
        account.leave_folder(kids[name], f"beside {few(nested)}")
    if top.images:
        account.leave("images", top.path / top.images[0], f"beside {few(nested)}", len(top.images))
    return _keyed({name: kids[name] for name in named}, named, top)


def _keyed(folders: Mapping[str, Folder], named: Mapping[str, str], top: Folder) -> dict[str, Folder]:
    """Splits by the names under which they are looked for."""
    keyed: dict[str, Folder] = {}
    for name, folder in folders.items():
        word = name.lower()
        key = word if word in roles.WORDS else named[name]
        key = word if key in keyed else key
        keyed[key] = folder
    trained = [keyed[key].name for key in keyed if named[keyed[key].name] == roles.TRAIN]
    if len(trained) > 1 or len(keyed) < len(folders):
        raise InputError.about(
            top.path, f"{few(list(folders))}: two folders are called like one split; give one another name"
        )
    return keyed


def _reading(kids: list[Folder], where: Path, wanted: Sequence[str] | None) -> tuple[bool, str | None]:
    """Whether the classes are the innermost folders, not the outer ones; and what is to be said of it.

    Raises:
        InputError: both can be meant.
    """
    outer = list(dict.fromkeys(kid.name for kid in kids))
    if not any(kid.filled() for kid in kids):
        return False, None
    inner = _inner_names(kids)
    if any(kid.images for kid in kids):
        return False, f"{where}: classes are the outer folders; those in them ({few(inner)}) are taken with them"
    if _matches(wanted, outer):
        return False, None
    if _matches(wanted, inner):
        return True, None
    if roles.cuts_only(outer):
        return True, f"{where}: {few(outer)} were pooled; classes are the folders in them"
    single = all(len(_leaves(kid)) == 1 for kid in kids)
    if single or all(map(roles.says_nothing, inner)):
        return False, f"{where}: classes are the outer folders; those in them ({few(inner)}) are taken with them"
    raise InputError.about(
        where,
        f"its folders can be read in two ways: {len(outer)} classes ({few(outer)}), or the {len(inner)} in "
        f"them ({few(inner)}); say which with {_as_classes(outer)}, or {_as_classes(inner)}",
    )


def _fill(split: SplitFolder, folder: Folder, inner: bool, account: Account, alone: bool) -> None:
    """Sort the images of a split by class; ``alone`` where there is no other split.

    Raises:
        InputError: two folders have the same name but for how its letters are composed, or there is a single class.
    """
    if folder.images:
        account.leave("images", folder.path / folder.images[0], "in no folder of a class", len(folder.images))
    kids = folder.filled()
    groups = (
        [(leaf.name, leaf) for kid in kids for leaf in _leaves(kid)] if inner else [(kid.name, kid) for kid in kids]
    )
    spelt: dict[str, str] = {}
    for name, group in sorted(groups, key=lambda item: item[0]):
        key = roles.plain(name) or name
        if spelt.setdefault(key, name) != name:
            raise InputError.about(
                group.path, f"another folder is called {key} as well; give the classes different names"
            )
        images = [group.path / image for image in group.images] if inner else group.files()
        split.classes[key] = split.classes.get(key, []) + images
    for kid in folder.folders:
        if kid.count():
            continue
        if (reason := unread_reason(kid)) is not None:
            split.absent[roles.plain(kid.name) or kid.name] = reason
        elif alone and len(kids) == 1:
            raise InputError.about(kid.path, "no images in the folder of this class; at least two classes are needed")
        else:
            account.leave("folders without images", kid.path, "")


def _leaves(folder: Folder) -> list[Folder]:
    """The folders that images lie in, of a folder and those below it."""
    return [inner for inner in folder.walk() if inner.images]


def _inner_names(kids: Sequence[Folder]) -> list[str]:
    return sorted({leaf.name for kid in kids for leaf in _leaves(kid) if leaf is not kid})


def _matches(wanted: Sequence[str] | None, names: Sequence[str] | Mapping[str, object]) -> bool:
    """Whether all classes that are known from elsewhere are among ``names``."""
    return wanted is not None and {roles.plain(name).casefold() for name in wanted} <= {
        roles.plain(name).casefold() for name in names
    }


def _as_classes(names: Sequence[str] | Mapping[str, object]) -> str:
    """The argument that names these classes, with the first of them."""
    listed = [repr(name) for name in names]
    return f"`classes=[{', '.join([*listed[:4], *(['...'] if len(listed) > 4 else [])])}]`"
