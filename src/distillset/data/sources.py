"""`load`: whatever the user calls the data becomes a training set and a test set."""

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distillset.data import array_files, cache, digits, hugging_face, image_folder
from distillset.data.decode import Plan, write_entry
from distillset.data.in_memory import load_in_memory
from distillset.data.known import KNOWN, Known, unknown
from distillset.data.real import RealSet
from distillset.data.splits import Split, check_test_labels, check_training_labels, choose, choose_test, hold_out
from distillset.errors import InputError

SCRATCH = "scratch"


@dataclass(frozen=True)
class Data:
    """A training and a test set.

    Args:
        train: the training set; every class has images.
        test: the test set, normalised as ``train`` is.
        source: what `load` takes to find the same data again: a known name, or an absolute path; for data that lie in
            memory only a name.
        notes: what was announced, one line each.
        test_source: the same for the test set where one was given.
        resize: (height, width) that the images were scaled to, if they were.
    """

    train: RealSet
    test: RealSet
    source: str
    notes: tuple[str, ...] = ()
    test_source: str | None = None
    resize: tuple[int, int] | None = None

    def origin(self) -> dict[str, Any]:
        """What an artifact's card says of where its images came from, enough for `load` to find them again."""
        found: dict[str, Any] = {
            "source": self.source,
            "fingerprint": self.train.fingerprint(),
            "images": len(self.train),
        }
        if self.test_source is not None:
            found["test"] = self.test_source
        if self.resize is not None:
            found["resize"] = list(self.resize)
        return found


@dataclass(frozen=True)
class Place:
    """A source on this disk or on the hub.

    Args:
        name: of the data set.
        path: the folder or file; None for what is embedded or on the hub.
        known: the row of the table of known names, where it was found by one.
    """

    name: str
    path: Path | None
    known: Known | None

    @property
    def source(self) -> str:
        """What finds it again."""
        return self.name if self.known is not None else str(self.path)

    def identity(self) -> dict[str, Any]:
        """What the cache's key is made of: where it is, and when its files changed; the hub is taken as unchanging."""
        stated = None if self.known is None else vars(self.known)
        if self.path is None:
            return {"name": self.name, "known": stated}
        return {"name": self.name, "known": stated, "path": str(self.path), "files": cache.files_of(self.path)}

    def open(self, scratch: Path) -> Mapping[str, Split]:
        """Its splits. ``scratch`` is a folder for what a reader has to write, needed until the splits are read."""
        if self.path is not None:
            if self.path.is_file():
                return array_files.open_arrays(self.path)
            return image_folder.open_image_folder(self.path) or hugging_face.open_folder(self.path, scratch)
        assert self.known is not None
        return digits.open_digits() if self.known.hub is None else hugging_face.open_hub(self.name, self.known)


def load(
    data: Any,
    *,
    data_dir: str | Path | None = None,
    test: Any = None,
    resize: tuple[int, int] | None = None,
    announce: Callable[[str], None] | None = None,
    progress: bool | None = None,
) -> Data:
    """Training and test set of a source.

    The test set is ``test``, else the source's split called test or validation, else a stratified 20% held out of the
    training images; that is announced. What lies on disk is decoded once and then memory-mapped from the cache.

    Args:
        data: ``digits``, a known name (found under ``data_dir``, else on the Hugging Face hub), a folder that
            `datasets` opens or with one sub-folder of images a class, a ``.safetensors`` or ``.npz`` file with the
            arrays ``images`` and ``labels`` (and ``test_images``, ``test_labels``); or in Python (images, labels), a
            `RealSet`, or a map-style `torch.utils.data.Dataset` of (image, label).
        data_dir: where known names are looked for first; ``DISTILLSET_DATA`` by default.
        test: the test set, named or given like ``data``; of several splits the one called test or validation is taken.
        resize: (height, width) to scale every image to.
        announce: takes each note, one line; written to stderr by default.
        progress: whether decoding shows a bar on stderr; by default on a terminal.

    Raises:
        InputError: the source does not exist or cannot be used; the message names what and where.
    """
    announce = _to_stderr if announce is None else announce
    if resize is not None and min(resize) < 1:
        raise InputError(f"resize: {resize}; two positive whole numbers are needed, height and width")
    if isinstance(data, str | os.PathLike):
        return _load_placed(data, data_dir, test, resize, announce, progress)
    if isinstance(test, str | os.PathLike):
        raise InputError(f"test: {test} is a name, but the data lie in memory; give the test set in the same way")
    train, test, notes = load_in_memory(data, test, resize, progress)
    for note in notes:
        announce(note)
    return Data(train, test, train.spec.name, tuple(notes), resize=resize)


def _load_placed(
    data: str | os.PathLike[str],
    data_dir: str | Path | None,
    test: Any,
    resize: tuple[int, int] | None,
    announce: Callable[[str], None],
    progress: bool | None,
) -> Data:
    if test is not None and not isinstance(test, str | os.PathLike):
        raise InputError(f"test: {type(test).__name__} found; where the data are named the test set must be as well")
    place = find(data, data_dir)
    test_place = None if test is None else find(test, data_dir)
    test_identity = None if test_place is None else test_place.identity()
    identity = {"train": place.identity(), "test": test_identity, "resize": resize}
    where = cache.place(place.name, identity)
    entry = cache.read(where)
    if entry is None:
        announce(f"reading {place.source}; the decoded images are kept in {where.parent}")
        with cache.building(where) as stage:
            plan, notes = _plan(place, test_place, resize, stage)
            write_entry(stage, plan, notes, progress)
            shutil.rmtree(stage / SCRATCH, ignore_errors=True)
        entry = cache.read(where)
        if entry is None:
            raise InputError(f"{where}: cannot be read back; DISTILLSET_CACHE names another folder")
    for note in entry.notes:
        announce(note)
    test_source = None if test_place is None else test_place.source
    return Data(entry.train, entry.test, place.source, entry.notes, test_source, resize)


def find(data: str | os.PathLike[str], data_dir: str | Path | None = None) -> Place:
    """Where a name or path leads: a known name (under ``data_dir`` or on the hub), a path, a folder under ``data_dir``.

    Raises:
        InputError: it leads nowhere, or to a file of another kind.
    """
    name = os.fspath(data)
    folder = data_dir or os.environ.get("DISTILLSET_DATA")
    inside = Path(folder).expanduser() / name if folder and name else None
    if data_dir and not Path(data_dir).expanduser().is_dir():
        raise InputError(f"--data-dir {data_dir}: no such folder")
    if name in KNOWN and isinstance(data, str):
        embedded = KNOWN[name].hub is None
        found = inside is not None and not embedded and inside.is_dir()
        return Place(name, inside.resolve() if inside is not None and found else None, KNOWN[name])
    path = Path(name).expanduser()
    if not path.exists() and inside is not None and inside.exists():
        path = inside
    if not name or not path.exists():
        if name and os.sep not in name and path.suffix not in array_files.SUFFIXES:
            raise unknown(name)
        raise InputError(f"--data {name}: no such folder or file")
    path = path.resolve()
    if path.is_file() and path.suffix not in array_files.SUFFIXES:
        raise InputError(
            f"--data {name}: a file of this kind is not read; allowed are {', '.join(array_files.SUFFIXES)} and folders"
        )
    return Place(path.stem if path.is_file() else path.name, path, None)


def _plan(
    place: Place, test_place: Place | None, resize: tuple[int, int] | None, stage: Path
) -> tuple[Plan, list[str]]:
    notes: list[str] = []
    train, test, unused = choose(place.open(stage / SCRATCH), place.source)
    if test_place is not None:
        test = choose_test(test_place.open(stage / SCRATCH), test_place.source)
    if unused:
        notes.append(f"{place.source}: left unused: {', '.join(unused)}")
    class_names = check_training_labels(train)
    held = None
    if test is None:
        held, note = hold_out(train.labels, class_names, place.source)
        notes.append(note)
    else:
        test = check_test_labels(test, class_names)
    known = place.known or Known(hub=None)
    return Plan(place.name, class_names, train, test, held, known.mean, known.std, known.flip, resize), notes


def _to_stderr(note: str) -> None:
    sys.stderr.write(f"distillset: {note}\n")
