"""Decoded sets on disk: flat bytes that are memory-mapped, so that a second start neither decodes nor holds them.

An entry is a folder ``NAME-KEY`` with ``card.json`` (spec, counts, fingerprints, notes), ``labels.safetensors``,
``train.bin`` and ``test.bin`` (uint8 [N, C, H, W], contiguous). It is written beside its place and renamed whole: of
two processes at once the second finds the first's; one that was killed leaves a hidden folder, which the next removes.
"""

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distillset import store
from distillset.data.measure import content_fingerprint
from distillset.data.real import RealSet
from distillset.data.spec import Spec
from distillset.errors import InputError

SCHEMA = 1
"""Part of every key: raise it when what is written for the same source changes."""

PARTS = ("train", "test")
STAGE = ".building-"
STALE_SECONDS = 60.0
CHECKED_BYTES = 2**30
"""Read through at every start: about a second. Of larger sets that would be most of the start."""


@dataclass(frozen=True)
class Entry:
    """What an entry of the cache holds."""

    train: RealSet
    test: RealSet
    notes: tuple[str, ...]
    class_indices: tuple[int, ...] | None = None
    """The numbers in the source of the classes that a user chose; None for all of them."""


def cache_folder() -> Path:
    """``DISTILLSET_CACHE``, or ``~/.cache/distillset``. It may be deleted at any time."""
    return Path(os.environ.get("DISTILLSET_CACHE") or "~/.cache/distillset").expanduser()


def place(name: str, identity: Mapping[str, Any]) -> Path:
    """Where the entry of a source is kept: the same folder only for the same identity (JSON values)."""
    key = hashlib.sha256(json.dumps([SCHEMA, dict(identity)], sort_keys=True).encode()).hexdigest()
    return cache_folder() / f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', name)[:40].lstrip('.-') or 'data'}-{key[:24]}"


def files_of(path: Path) -> list[tuple[str, int, int]]:
    """(relative name, bytes, time of change in ns) of a file, or of all visible files under a folder, sorted.

    Raises:
        InputError: one of them cannot be read.
    """
    if path.is_file():
        status = path.stat()
        return [(path.name, status.st_size, status.st_mtime_ns)]
    found, followed = [], {path.resolve()}
    for folder, folders, names in os.walk(path, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in folders[:]:
            if (target := Path(folder, name)).is_symlink():
                if target.resolve() in followed:  # it may lead round
                    folders.remove(name)
                followed.add(target.resolve())
        for name in sorted(names):
            if not name.startswith("."):
                file = Path(folder, name)
                try:
                    status = file.stat()
                except OSError as error:  # a link that leads nowhere, say
                    raise InputError(f"{file}: cannot be read ({error.strerror})") from None
                found.append((str(file.relative_to(path)), status.st_size, status.st_mtime_ns))
    return found


def read(entry: Path) -> Entry | None:
    """The sets of an entry, memory-mapped; None where there is none or it is damaged.

    Pixels are checked against their fingerprint up to `CHECKED_BYTES` a part, and by their number beyond.
    """
    if not (entry / "card.json").is_file():
        return None
    try:
        card = store.read_json(entry / "card.json")
        labels, _ = store.read_tensors(entry / "labels.safetensors")
        spec = Spec.from_json(card["spec"])
        for part in PARTS:
            _check(entry / f"{part}.bin", labels[part], spec, card["fingerprints"][part])
        sets = [
            RealSet(
                _mapped(entry / f"{part}.bin", (len(labels[part]), *spec.shape)),
                labels[part],
                spec,
                partial=part == "test",
                fingerprint=card["fingerprints"][part],
            )
            for part in PARTS
        ]
        indices = card.get("class_indices")
        return Entry(sets[0], sets[1], tuple(card["notes"]), None if indices is None else tuple(indices))
    except (InputError, KeyError, TypeError, OSError):
        return None


def write_card(
    folder: Path,
    spec: Spec,
    labels: Mapping[str, Tensor],
    prints: Mapping[str, str],
    notes: list[str],
    class_indices: tuple[int, ...] | None = None,
) -> None:
    """Finish an entry whose pixels lie in ``folder`` already."""
    store.write_tensors(folder / "labels.safetensors", labels)
    counts = {part: len(labels[part]) for part in PARTS}
    card = {"schema": SCHEMA, "spec": spec.to_json(), "counts": counts, "fingerprints": dict(prints), "notes": notes}
    if class_indices is not None:
        card["class_indices"] = list(class_indices)
    store.write_sealed(folder / "card.json", card)


@contextmanager
def building(entry: Path) -> Iterator[Path]:
    """A folder beside ``entry`` to build it in; it takes the entry's place if the block succeeds, and is gone if not.

    Raises:
        InputError: the cache cannot be written, or the disk is full.
    """
    root = entry.parent
    try:
        root.mkdir(parents=True, exist_ok=True)
        _remove_stale(root)
        # Not tempfile.mkdtemp: its folders are closed to the group, and a cache may be shared.
        stage = root / f"{STAGE}{os.getpid()}-{secrets.token_hex(4)}"
        stage.mkdir()
    except OSError as error:
        raise _unwritable(root, error) from None
    try:
        with store.locked(stage):
            yield stage
            (stage / ".lock").unlink()
            _move(stage, entry)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM):
            raise _unwritable(root, error) from None
        raise
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _move(stage: Path, entry: Path) -> None:
    try:
        stage.rename(entry)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        if read(entry) is None:
            # What lies there is damaged. Renaming it first keeps the moment without an entry short.
            damaged = stage.with_name(f"{stage.name}-damaged")
            entry.rename(damaged)
            stage.rename(entry)
            shutil.rmtree(damaged, ignore_errors=True)


def _remove_stale(root: Path) -> None:
    for stage in root.glob(f"{STAGE}*"):
        try:
            # A folder this young may belong to a process that has not locked it yet.
            if time.time() - stage.stat().st_mtime > STALE_SECONDS:
                with store.locked(stage):
                    shutil.rmtree(stage, ignore_errors=True)
        except (InputError, OSError):
            continue


def _check(path: Path, labels: Tensor, spec: Spec, fingerprint: str) -> None:
    """Whether the pixels are those that were written.

    Raises:
        InputError: they are not.
    """
    pixels = _mapped(path, (len(labels), *spec.shape))
    if pixels.numel() <= CHECKED_BYTES and content_fingerprint(pixels, labels, spec.class_names) != fingerprint:
        raise InputError(f"{path}: its checksum does not match")


def _mapped(path: Path, shape: tuple[int, ...]) -> Tensor:
    size = 1
    for length in shape:
        size *= length
    if path.stat().st_size != size:
        raise InputError(f"{path}: {path.stat().st_size} bytes; {size} are needed")
    return torch.from_file(str(path), shared=False, size=size, dtype=torch.uint8).view(shape)


def _unwritable(root: Path, error: OSError) -> InputError:
    return InputError(f"{root}: the cache cannot be written ({error.strerror}); DISTILLSET_CACHE names another folder")
