"""Which files of a folder hold rows with images in them, and of which split they are."""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

from distillset.errors import InputError
from distillset.sources import roles
from distillset.sources.cards import Card
from distillset.sources.kinds import suffix_of
from distillset.sources.splits import few
from distillset.sources.tree import Account, regular, walk_files

BUILDERS = {".parquet": "parquet", ".arrow": "arrow", ".tar": "webdataset", ".jsonl": "json", ".json": "json"}
"""Kinds of files with rows, and what `datasets` calls them; of several in a folder the first is read."""

_SHARD = re.compile(r"(?P<name>.+?)[-_.]\d+(-of-\d+)?")


def data_files(path: Path, card: Card, configuration: str | None) -> tuple[str, dict[str, list[Path]], list[str]]:
    """(what `datasets` calls the kind of the files, split to files, notes) of a folder.

    Raises:
        InputError: there are none, or they are several data sets.
    """
    account = Account(path)
    candidates = [file for file in walk_files(path) if not _of_a_system(file)]
    by_kind = {suffix: [file for file in candidates if suffix_of(file.name) == suffix] for suffix in BUILDERS}
    suffix = next((suffix for suffix, files in by_kind.items() if files), None)
    if suffix is None:
        raise InputError.about(path, f"{_nothing(candidates, account)}")
    files = {str(file.relative_to(path)): file for file in by_kind[suffix]}
    for file in files.values():
        if not os.path.realpath(file).startswith(os.path.realpath(path) + os.sep) or not regular(file):
            raise InputError.about(file, "a link that leads outside the folder of the data, or no regular file")
    stated = card.splits(list(files))
    split_names = stated or _split_names(list(files), path, configuration)
    splits = {re.sub(r"\W+", "_", name): [files[name_] for name_ in names] for name, names in split_names.items()}
    taken = sum(map(len, splits.values()))
    for file in candidates:
        if file not in {inner for listed in splits.values() for inner in listed}:
            account.leave_file(file, "")
    return (
        BUILDERS[suffix],
        splits,
        [account.line(taken, len({file.parent for file in files.values()}), f"{suffix} files")],
    )


def _split_names(files: Sequence[str], path: Path, configuration: str | None) -> dict[str, list[str]]:
    """Split to files by names: ``train-00000-of-00002``, ``data/test.parquet``, ``validation/0.parquet``.

    Raises:
        InputError: the files lie in several folders that are no splits: several data sets.
    """
    sets: dict[str, dict[str | None, list[str]]] = {}
    for file in sorted(files):
        *folders, name = Path(file).with_suffix("").parts
        role = _role(name)
        inner = next((index for index in reversed(range(len(folders))) if roles.role_of(folders[index])), None)
        if role is None and inner is not None:
            role = _role(folders[inner])
        rest = [folder for index, folder in enumerate(folders) if index != inner]
        shard = _SHARD.fullmatch(name)
        key = role or (shard["name"] if shard and not shard["name"].isdigit() else None)
        sets.setdefault("/".join(rest), {}).setdefault(key, []).append(file)
    if len(sets) > 1 and configuration is not None:
        sets = {name: splits for name, splits in sets.items() if configuration in name.split("/")} or sets
    if len(sets) > 1:
        raise InputError.about(
            path, f"several data sets: {few(list(sets))}; give the folder of one of them, or its files"
        )
    (splits,) = sets.values()
    if not any(key and roles.role_of(key) for key in splits):
        return {"train": [file for listed in splits.values() for file in listed]}
    return {key or "rest": listed for key, listed in splits.items()}


def _role(name: str) -> str | None:
    """The split that a name says, under the name it has there where that is a known one."""
    role = roles.role_of(name)
    if role is None:
        return None
    return next((token for token in re.findall(r"[a-z]+", name.lower()) if token in roles.WORDS), role[0])


def _of_a_system(file: Path) -> bool:
    return file.name in ("dataset_infos.json", "dataset_info.json", "package.json")


def _nothing(files: Sequence[Path], account: Account) -> str:
    """Why a folder holds no data, by what it holds."""
    for file in files:
        account.leave_file(file)
    there = account.said()
    return (
        f"holds no images and no data files{f' but {there}' if there else ''}; needed are one folder of images per "
        "class, a table that lists images, parquet or arrow files, or an .npz or .safetensors file named itself"
    )


def check_saved(path: Path) -> list[Path]:
    """The files of what `save_to_disk` wrote, which have to lie in its own folder.

    Raises:
        InputError: it names others, or cannot be read.
    """
    folders = [path]
    try:
        if (listed := path / "dataset_dict.json").is_file():
            names = json.loads(listed.read_text(encoding="utf-8")).get("splits")
            folders = [path / name for name in names]
        states = [json.loads((folder / "state.json").read_text(encoding="utf-8")) for folder in folders]
        files = [folder / file["filename"] for folder, state in zip(folders, states, strict=True)
                 for file in state["_data_files"]]  # fmt: skip
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError.about(
            path, f"cannot be opened as what save_to_disk wrote ({type(error).__name__}: {error})"
        ) from None
    for file in files:
        if not os.path.realpath(file).startswith(os.path.realpath(path) + os.sep) or not regular(file):
            raise InputError.about(path, f"it names {str(file)[:200]}, which is no file of this folder")
    return files
