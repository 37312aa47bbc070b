"""`load`: a name, path or Python object becomes a training set and a test set."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distillset.arguments import of_kind, path_of, text, whole
from distillset.data.real import RealSet
from distillset.data.resize import Resize
from distillset.data.spec import CHANNELS
from distillset.errors import GoneError, InputError
from distillset.sources import cache
from distillset.sources.channels import check_channels
from distillset.sources.classes import Choice, choose_classes, narrowed, published_classes, rows_of
from distillset.sources.decode import Plan, write_entry
from distillset.sources.in_memory import load_in_memory, taken_as
from distillset.sources.known import Known
from distillset.sources.matching import check_test_labels, missing_classes
from distillset.sources.places import Place, find
from distillset.sources.splits import (
    Split,
    check_training_labels,
    choose,
    choose_test,
    few,
    hold_out,
    names_of,
    note_held_out,
)
from distillset.watch import Watcher, watching

TRIES = 3
"""How often decoding begins again where the cache is removed meanwhile, which it may be at any time."""
SCRATCH = "scratch"
"""A folder beside an entry that is built, for what readers have to write."""


@dataclass(frozen=True)
class Data:
    """A training and a test set.

    Args:
        train: the training set; every class has images.
        test: the test set, normalised as ``train`` is.
        source: what `load` takes to find the same data again: a known name, or an absolute path; for data that lie in
            memory only a name.
        notes: what was said of them, one line each.
        test_source: the same for the test set where one was given.
        resize: how the images were scaled to one size, if they were.
        channels: how many every image was given, where that was asked for.
        classes: the classes chosen from those of the source, in their order; None for all of them.
        files: a list of the files that the images of ``train`` were read from, where each is one.
    """

    train: RealSet
    test: RealSet
    source: str
    notes: tuple[str, ...] = ()
    test_source: str | None = None
    resize: Resize | None = None
    classes: Choice | None = None
    channels: int | None = None
    files: Path | None = None

    def __post_init__(self) -> None:
        of_kind("train", self.train, RealSet, "a RealSet")
        of_kind("test", self.test, RealSet, "a RealSet")
        text("source", self.source)

    def __repr__(self) -> str:
        return f"Data({self.source}: train={self.train!r}, test={self.test!r})"

    def named(self, rows: Sequence[int]) -> list[str] | None:
        """The files that images of ``train`` were read from, below the folder that holds all; None where unknown.

        Args:
            rows: numbers of images in ``train``.
        """
        return None if self.files is None else cache.names_of(self.files, rows)

    def origin(self) -> dict[str, Any]:
        """The origin of an artifact's images for its card, from which `load` finds them again."""
        record: dict[str, Any] = {
            "source": self.source,
            "fingerprint": self.train.fingerprint(),
            "images": len(self.train),
        }
        if self.test_source is not None:
            record["test"] = self.test_source
        if self.classes is not None:
            record["classes"] = list(self.classes.names)
            record["class_indices"] = list(self.classes.indices)
        if self.resize is not None:
            record["resize"] = [self.resize.height, self.resize.width]
            record["resize_method"] = self.resize.method
            if self.resize.crop:
                record["crop"] = True
        if self.channels is not None:
            record["channels"] = self.channels
        return record


def load(
    data: Any,
    *,
    data_dir: str | Path | None = None,
    test: Any = None,
    classes: Sequence[str | int] | None = None,
    resize: tuple[int, int] | None = None,
    crop: bool = False,
    allow_outside: bool = False,
    channels: int | None = None,
    watcher: Watcher | None = None,
    decoded: str | Path | None = None,
) -> Data:
    """Training and test set of a source.

    The test set is ``test``; else the source's split called test or validation; else a stratified 20% of the training
    images, which a note announces. Files on disk are decoded once, and then memory-mapped from the cache.

    Args:
        data: ``digits``, a known name (found under ``data_dir``, else on the Hugging Face hub), a folder that
            `datasets` opens or with one sub-folder of images per class, a ``.safetensors`` or ``.npz`` file with the
            arrays ``images`` and ``labels`` (and ``test_images``, ``test_labels``); or in Python (images, labels), a
            `RealSet`, or a map-style `torch.utils.data.Dataset` of (image, label).
        data_dir: the folder to search first for a known name; ``DISTILLSET_DATA`` by default.
        test: the test set, in the forms of ``data``; of several splits the one called test or validation is used.
        classes: the classes to use, by name or by number; they are labelled in this order. All by default.
        resize: (height, width) to scale every image to, see `distillset.data.resize.Resize`.
        crop: with ``resize``, whether to keep the proportions and cut out the centre.
        allow_outside: whether a table may name images outside its folder.
        channels: 1, 3 or 4, to read every image as grey, RGB or RGBA; by default the most that an image has.
        watcher: is notified of each note and of the progress of decoding; it may ask to stop between blocks of images,
            and the same call then resumes there. See `distillset.Watcher`.
        decoded: the folder for decoded images; None is the cache. With an empty folder, images are decoded again.

    Raises:
        InputError: the source does not exist or cannot be used; the message names what and where.
        InterruptedRun: the watcher asked to stop.
    """
    watcher = watching(watcher)
    data_dir = None if data_dir is None else path_of("data_dir", data_dir)
    if crop and resize is None:
        raise InputError("crop", crop, "says how to resize, so `resize=(height, width)` is needed")
    scale = None if resize is None else Resize(*_sides(resize), crop=crop)
    classes = None if classes is None else _listed(classes)
    check_channels(channels)
    shape = _Shape(classes, scale, allow_outside, channels)
    if isinstance(data, str | os.PathLike):
        return _load_placed(data, data_dir, test, shape, watcher, decoded)
    if isinstance(test, str | os.PathLike):
        raise InputError("test", test, "is a name, but the data lie in memory; give the test set in the same way")
    train, test, fit, choice = load_in_memory(data, test, scale, classes, watcher)
    if channels is not None and channels != train.spec.channels:
        train, test = taken_as(train, test, channels)
    notes = (*fit, *shape.notes(train.spec.name))
    for note in notes:
        watcher.note(note)
    return Data(train, test, train.spec.name, notes, resize=scale, classes=choice, channels=channels)


def as_data(data: Any, watcher: Watcher | None = None) -> Data:
    """`Data` as it is, a `RealSet` as training data, and anything else loaded by `load`.

    Raises:
        InputError: see `load`.
    """
    if isinstance(data, Data):
        return data
    if isinstance(data, RealSet):
        return Data(data, data, data.spec.name)
    return load(data, watcher=watcher)


def with_test(data: Any, watcher: Watcher | None = None) -> Data:
    """What `as_data` makes of data that need a test set.

    Raises:
        InputError: a `RealSet`, which has none; or see `load`.
    """
    if isinstance(data, RealSet):
        raise InputError("data", data, "needed are a training and a test set: Data(train, test, name)")
    return as_data(data, watcher)


@dataclass(frozen=True)
class _Shape:
    """What is requested of a source: classes, size, channels."""

    classes: Sequence[str | int] | None
    resize: Resize | None
    allow_outside: bool = False
    channels: int | None = None

    def identity(self) -> dict[str, Any]:
        """Its part of the cache's key."""
        record: dict[str, Any] = {"resize": None if self.resize is None else (self.resize.height, self.resize.width)}
        if self.resize is not None and self.resize.crop:
            record["crop"] = True
        if self.allow_outside:
            record["allow_outside"] = True
        if self.channels is not None:
            record["channels"] = self.channels
        return record if self.classes is None else {**record, "classes": list(self.classes)}

    def notes(self, where: str) -> tuple[str, ...]:
        """What is said of it whenever the source is loaded."""
        scaled = [] if self.resize is None else [f"{where}: images resized to {self.resize}"]
        taken = [] if self.channels is None else [f"{where}: images taken as {CHANNELS[self.channels]}"]
        return (*scaled, *taken)


def _load_placed(
    data: str | os.PathLike[str],
    data_dir: str | Path | None,
    test: Any,
    shape: _Shape,
    watcher: Watcher,
    decoded: str | Path | None,
) -> Data:
    if test is not None and not isinstance(test, str | os.PathLike):
        raise InputError.about("test", f"{type(test).__name__} found; it must be a name or path, as the data are")
    place = find(data, data_dir)
    test_place = None if test is None else find(test, data_dir, "test")
    test_identity = None if test_place is None else test_place.identity()
    identity = {"train": place.identity(), "test": test_identity, **shape.identity()}
    if test_place is not None:
        identity["classes_matched"] = "by name"  # earlier versions went by position
    where = cache.place(place.name, identity, decoded)
    entry = cache.read(where)
    for again in range(TRIES) if entry is None else ():
        try:
            with cache.building(where, watcher) as stage:
                if stage:
                    shutil.rmtree(stage / SCRATCH, ignore_errors=True)  # of one that was killed
                    plan, notes = _plan(place, test_place, shape, stage)
                    write_entry(stage, plan, notes, watcher)
                    shutil.rmtree(stage / SCRATCH, ignore_errors=True)
        except GoneError:
            if again + 1 == TRIES:
                raise
            watcher.note(f"{where.parent}: the cache was removed while {place.source} was decoded; beginning again")
            continue
        if (entry := cache.read(where)) is not None:
            if stage:
                count = len(entry.train) + len(entry.test)
                where_stored = f"; they are kept in {where.parent}" if decoded is None else ""
                watcher.note(f"{place.source}: decoded {count} images{where_stored}")
            break
    if entry is None:
        raise InputError.about(where, "cannot be read back; DISTILLSET_CACHE names another folder")
    all_notes = (*entry.notes, *shape.notes(place.source))
    for note in all_notes:
        watcher.note(note)
    test_source = None if test_place is None else test_place.source
    choice = None if entry.class_indices is None else Choice(entry.class_indices, entry.train.spec.class_names)
    return Data(
        entry.train, entry.test, place.source, all_notes, test_source, shape.resize, choice, shape.channels, entry.files
    )


def _plan(place: Place, test_place: Place | None, shape: _Shape, stage: Path) -> tuple[Plan, list[str]]:
    """What is to be decoded, and what is to be said of it."""
    known = place.known or Known(hub=None)
    notes = [note] if (note := place.note()) else []
    names = None if shape.classes is None else [str(name) for name in shape.classes]
    train, test, unused = choose(place.open(stage / SCRATCH, names, shape.allow_outside), place.source)
    if test_place is not None:
        unused += [] if test is None else [f"{test.name} (in place of it {test_place.source})"]
        names = names or list(train.class_names or ()) or None
        test = choose_test(test_place.open(stage / SCRATCH, names, shape.allow_outside), test_place.source)
    notes += dict.fromkeys((*train.notes, *(() if test is None else test.notes)))
    if unused:
        notes.append(f"{place.source}: left unused: {', '.join(unused)}")
    choice = _choice(place, known, train, shape.classes)
    class_names = check_training_labels(train) if choice is None else names_of(train)
    held = hold_out(train.labels, len(class_names)) if test is None else None
    numbered = train.class_names is None or train.numbered or place.known is not None
    test = None if test is None else check_test_labels(test, class_names, numbered, choice is not None)
    if choice is not None:
        held = None if held is None else held[rows_of(train, choice)]
        train, test = narrowed(train, choice), None if test is None else narrowed(test, choice)
        class_names = check_training_labels(train)
        if test is not None and len(test) == 0:
            raise InputError.about(test.name, f"no image of the classes {few(class_names)}; a test set needs some")
    if held is not None:
        notes.append(note_held_out(held, place.source))
    if test is not None:
        notes += missing_classes(test.labels, class_names, test.name)
    elif held is not None:
        notes += missing_classes(train.labels[held], class_names, f"{place.source}, the images held out")
    indices = None if choice is None or shape.classes is None else choice.indices
    return Plan(
        place.name,
        class_names,
        train,
        test,
        held,
        known.mean,
        known.std,
        known.flip,
        shape.resize,
        shape.channels,
        indices,
    ), notes


def _choice(place: Place, known: Known, train: Split, wanted: Sequence[str | int] | None) -> Choice | None:
    """The classes to take, as numbers of the source: those of a published subset, of them the ones that are wanted."""
    if known.classes is None:
        return None if wanted is None else choose_classes(wanted, names_of(train), place.source)
    where = place.source if place.path is None else str(place.path)
    subset = published_classes(known.classes, names_of(train), place.name, where)
    if wanted is None:
        return subset
    part = choose_classes(wanted, subset.names, place.source)
    return Choice(tuple(subset.indices[index] for index in part.indices), part.names)


def _sides(resize: Any) -> tuple[int, int]:
    if not isinstance(resize, Sequence) or isinstance(resize, str) or len(resize) != 2:
        raise InputError("resize", resize, "must be two whole numbers, (height, width)")
    return whole("resize", resize[0]), whole("resize", resize[1])


def _listed(classes: Any) -> list[str | int]:
    """Classes by name or number, numbers as Python's own."""
    try:
        items = None if isinstance(classes, str) else list(classes)
    except TypeError:  # also of a tensor with a single number
        items = None
    if items is None:
        raise InputError("classes", classes, "must be a list of names or numbers")
    return [str(item) if isinstance(item, str) else whole("classes", item) for item in items]
