"""Decoded sets on disk: flat bytes that are memory-mapped, so that a second start neither decodes nor holds them.

An entry is a folder ``NAME-KEY`` with ``card.json`` (spec, counts, fingerprints, notes), ``labels.safetensors``,
``train.bin`` and ``test.bin`` (uint8 [N, C, H, W], contiguous). It is written in a hidden folder beside its place, the
stage, and renamed whole. A stage is held under a lock: of two processes at once the second waits for the first's. One
that was killed leaves its stage, where the next goes on; nobody's for a week, it is removed.
"""

import errno
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distillset import store
from distillset.data.measure import content_fingerprint
from distillset.data.real import RealSet
from distillset.data.spec import Spec
from distillset.errors import BusyError, DiskError, DistillsetError, GoneError, InputError, InterruptedRun, unwritable
from distillset.trust import doubt, shut, sound
from distillset.watch import Watcher

SCHEMA = 1
"""Part of every key: raise it when what is written for the same source changes."""

PARTS = ("train", "test")
CARD, LABELS = "card.json", "labels.safetensors"
FILES = (CARD, LABELS, *(f"{part}.bin" for part in PARTS))
NAMES = "names.jsonl"
STAGE, LOCK = ".building-", ".lock"
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
STALE_SECONDS = 7 * 86_400.0
PATIENCE = 0.2
"""Seconds between looks at a stage that another process holds."""
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
    files: Path | None = None
    """A list of the files that the training images were read from, see `write_names`."""


def place(name: str, identity: Mapping[str, Any], root: str | Path | None = None) -> Path:
    """Where the entry of a source is kept, in the cache or ``root``: the same for the same identity alone (JSON)."""
    key = hashlib.sha256(json.dumps([SCHEMA, dict(identity)], sort_keys=True).encode()).hexdigest()
    root = store.cache_folder() if root is None else Path(root)
    return root / f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', name)[:40].lstrip('.-') or 'data'}-{key[:24]}"


def files_of(path: Path) -> list[tuple[str, int, int]]:
    """(relative name, bytes, time of change in ns) of a file, or of all visible files under a folder, sorted.

    Raises:
        InputError: one of them cannot be read.
    """
    if path.is_file():
        status = path.stat()
        return [(path.name, status.st_size, status.st_mtime_ns)]
    files, followed, top = [], {path.resolve()}, str(path)
    for folder, folders, names in os.walk(top, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in folders[:]:
            if (target := Path(folder, name)).is_symlink():
                if target.resolve() in followed:  # it may lead round
                    folders.remove(name)
                followed.add(target.resolve())
        # Text and not `Path`: of 100,000 files this is what a second start waits for.
        within = os.path.relpath(folder, top) + os.sep if folder != top else ""
        for name in sorted(names):
            if not name.startswith("."):
                try:
                    status = os.stat(f"{folder}{os.sep}{name}")  # noqa: PTH116
                except OSError as error:  # a link that leads nowhere, say
                    raise InputError.about(Path(folder, name), f"cannot be read ({error.strerror})") from None
                files.append((within + name, status.st_size, status.st_mtime_ns))
    return files


def read(entry: Path) -> Entry | None:
    """The sets of an entry, memory-mapped; None where there is none, it is damaged, or others could have changed it.

    Pixels are checked against their fingerprint up to `CHECKED_BYTES` a part, and by their number beyond.
    """
    if any(map(doubt, (entry, *(entry / name for name in FILES)))):
        return None
    try:
        card = store.read_json(entry / CARD, sealed=True)
        labels, _ = store.read_tensors(entry / LABELS)
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
        files = entry / NAMES if card.get("names") and not doubt(entry / NAMES) else None
        return Entry(sets[0], sets[1], tuple(card["notes"]), None if indices is None else tuple(indices), files)
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
    store.write_tensors(folder / LABELS, labels)
    counts = {part: len(labels[part]) for part in PARTS}
    card = {"schema": SCHEMA, "spec": spec.to_json(), "counts": counts, "fingerprints": dict(prints), "notes": notes}
    if class_indices is not None:
        card["class_indices"] = list(class_indices)
    if (folder / NAMES).is_file():
        card["names"] = True
    store.write_sealed(folder / CARD, card)


def write_names(folder: Path, names: Sequence[str]) -> None:
    """Keep the names of the files that training images were read from, a line of JSON each.

    What is no UTF-8 in them is kept as escapes, as no card could hold it.
    """
    plain = (name.encode(errors="surrogateescape").decode(errors="backslashreplace") for name in names)
    store.write_text(folder / NAMES, "".join(json.dumps(name) + "\n" for name in plain))


def names_of(path: Path, rows: Sequence[int]) -> list[str] | None:
    """The names that `write_names` kept of some images; None where they cannot be read any more."""
    wanted, names = set(rows), dict[int, str]()
    try:
        with path.open(encoding="utf-8") as file:
            for row, line in enumerate(file):
                if row in wanted:
                    names[row] = str(json.loads(line))
        return [names[row] for row in rows]
    except (OSError, ValueError, KeyError):
        return None


@contextmanager
def building(entry: Path, watcher: Watcher | None = None) -> Iterator[Path | None]:
    """A folder beside ``entry`` to build it in, which takes its place if the block succeeds; None where meanwhile
    another process has built it. It holds no link and nothing of other users, which would lead what is written astray.

    Where the block is interrupted, or killed, the folder stays, and is given again the next time; where it fails
    otherwise, it is gone.

    Args:
        entry: the entry's place.
        watcher: is notified of another process that is waited for, and may ask to wait no longer.

    Raises:
        InputError: the cache cannot be written.
        DiskError: the disk is full.
        GoneError: the cache was removed meanwhile.
        InterruptedRun: the watcher asked to stop.
    """
    root = entry.parent
    stage = root / f"{STAGE}{entry.name}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        _make(stage)
    except OSError as error:
        raise _unwritable(root, error) from None
    try:
        _remove_stale(root, stage)
        with _held(stage, watcher or Watcher()):
            if read(entry) is not None:
                shutil.rmtree(stage, ignore_errors=True)
                yield None
                return
            if not sound(stage) or any(path.is_dir() for path in stage.iterdir()):  # a stage is files alone
                _empty(stage)
            try:
                yield stage
            except Exception:  # no interruption: who goes on finds what was done
                shutil.rmtree(stage, ignore_errors=True)
                raise
            _move(stage, entry)
    except GoneError:
        raise
    except DiskError as error:
        raise _unwritable(root, error) from error
    except OSError as error:
        if error.errno in UNWRITABLE:  # else it was a source that could not be read
            raise _unwritable(root, error) from None
        raise


@contextmanager
def _held(stage: Path, watcher: Watcher) -> Iterator[None]:
    """Hold ``stage``, as soon as no other process does."""
    noted = False
    while True:
        with ExitStack() as stack:
            _make(stage)
            try:
                stack.enter_context(store.locked(stage))
            except BusyError:
                pass
            else:
                # Who held it before may have moved or removed the folder that was locked here.
                if (stage / LOCK).is_file():
                    yield
                    return
        if watcher.stop():
            raise InterruptedRun("stopped while another process decodes these images; nothing is lost")
        if not noted:
            watcher.note(f"{stage.parent}: another process is decoding these images; waiting for it")
            noted = True
        time.sleep(PATIENCE)


def _move(stage: Path, entry: Path) -> None:
    """Put ``stage`` in the place of ``entry``, which is missing or damaged."""
    (stage / LOCK).unlink(missing_ok=True)
    for path in (stage, *stage.iterdir()):
        shut(path)
    if os.path.lexists(entry):
        # Renaming what is damaged first keeps the moment without an entry short.
        damaged = stage.with_name(f"{stage.name}-damaged")
        _remove(damaged)
        entry.rename(damaged)
        stage.rename(entry)
        _remove(damaged)
    else:
        stage.rename(entry)


def _make(stage: Path) -> None:
    """Make ``stage``, a folder and no link to one."""
    if stage.is_symlink():
        stage.unlink()
    stage.mkdir(exist_ok=True)
    shut(stage)


def _empty(stage: Path) -> None:
    """Remove all but the lock from a stage, which is held.

    Raises:
        InputError: it is another user's still.
    """
    for path in stage.iterdir():
        if path.name != LOCK:
            _remove(path)
    shut(stage / LOCK)
    if not sound(stage):
        raise InputError.about(stage, f"{doubt(stage) or f'its {LOCK} has a second name, a hard link'}; remove it")


def _remove(path: Path) -> None:
    """Remove whatever is there; what a link leads to stays."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)


def _remove_stale(root: Path, except_for: Path) -> None:
    for stage in root.glob(f"{STAGE}*"):
        try:
            if stage.is_symlink():
                stage.unlink()
            elif stage != except_for and time.time() - stage.stat().st_mtime > STALE_SECONDS:
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
        raise InputError.about(path, "its checksum does not match")


def _mapped(path: Path, shape: tuple[int, ...]) -> Tensor:
    size = 1
    for length in shape:
        size *= length
    if path.stat().st_size != size:
        raise InputError.about(path, f"{path.stat().st_size} bytes; {size} are needed")
    return torch.from_file(str(path), shared=False, size=size, dtype=torch.uint8).view(shape)


def _unwritable(root: Path, error: OSError) -> DistillsetError:
    return unwritable(root, error, advice="; DISTILLSET_CACHE names another folder")
