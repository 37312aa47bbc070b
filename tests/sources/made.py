"""Builders of small sets in the forms in which people have them on their disks, and what each is to be read as.

Every picture is nearly of one grey that stands for its class, so that a test sees whether a label is right.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

KINDS = {".jpg": "JPEG", ".jpeg": "JPEG", ".jfif": "JPEG", ".webp": "WEBP", ".tif": "TIFF", ".avif": "AVIF"}


@dataclass(frozen=True)
class Case:
    """A set, and what it is read as.

    Args:
        name: of the case.
        build: makes it in an empty folder, and returns what to load if that is a path; else the folder is.
        classes: class name to (the number its pictures stand for, images to train on, images to test on).
        said: patterns that the notes must have.
        refused: the pattern of the refusal, in place of ``classes``.
        options: for `load`.
    """

    name: str
    build: Callable[[Path], object]
    classes: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    said: tuple[str, ...] = ()
    refused: str = ""
    options: dict[str, Any] = field(default_factory=dict)


def case(
    name: str,
    build: Callable[[Path], object],
    expected: str = "",
    train: int | Sequence[int] = 5,
    test: int | Sequence[int] = 1,
    *said: str,
    refused: str = "",
    **options: Any,
) -> Case:
    """A case whose classes are given as words in the order of the numbers that their pictures stand for."""
    names = expected.split("|")
    trained = [train] * len(names) if isinstance(train, int) else train
    tested = [test] * len(names) if isinstance(test, int) else test
    wanted = {name: (number, trained[number], tested[number]) for number, name in enumerate(names) if name}
    return Case(name, build, wanted, said, refused, options)


def grey(number: int, seed: int = 0, size: tuple[int, int] = (6, 5)) -> Image.Image:
    """A picture of class ``number``."""
    grain = np.random.default_rng([number, seed]).integers(-3, 4, (*size, 1))
    return Image.fromarray(np.repeat(10 + 20 * number + grain, 3, axis=2).astype(np.uint8))


def write(path: Path, number: int, seed: int = 0, **options: Any) -> Path:
    """Write a picture of class ``number``, in the format of the suffix, else as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    grey(number, seed).save(path, KINDS.get(path.suffix.lower(), "PNG"), **options)
    return path


def encoded(number: int, seed: int = 0) -> bytes:
    """A picture of class ``number`` as a PNG file."""
    buffer = io.BytesIO()
    grey(number, seed).save(buffer, "PNG")
    return buffer.getvalue()


def of(
    names: str | Sequence[str] = "cat|dog", each: int = 6, suffix: str = ".png", at: str = ""
) -> Callable[[Path], None]:
    """A step that makes folders of classes in the folder ``at``."""

    def run(root: Path) -> None:
        folders(root / at, names, each, suffix)

    return run


def pictures(at: str, count: int = 4, number: int | None = None, suffix: str = ".png") -> Callable[[Path], None]:
    """A step that puts pictures into the folder ``at``; of class ``number``, or of two in turn."""

    def run(root: Path) -> None:
        for seed in range(count):
            write(root / at / f"{seed:03}{suffix}", seed % 2 if number is None else number, seed)

    return run


def folders(root: Path, names: str | Sequence[str] = "cat|dog", each: int = 6, suffix: str = ".png") -> Path:
    """A folder of pictures for each class."""
    for number, name in enumerate(names.split("|") if isinstance(names, str) else names):
        for seed in range(each):
            write(root / name / f"{seed:03}{suffix}", number, seed)
    return root


def flat(root: Path, count: int = 12, suffix: str = ".png", classes: int = 2, first: int = 0) -> list[str]:
    """Pictures in one folder, of classes in turn; their names without suffix."""
    for seed in range(first, first + count):
        write(root / f"{seed:03}{suffix}", seed % classes, seed)
    return [f"{seed:03}" for seed in range(first, first + count)]


def build(*steps: Callable[[Path], object]) -> Callable[[Path], None]:
    """Several steps, one after the other."""

    def run(root: Path) -> None:
        for step in steps:
            step(root)

    return run


def splits(names: dict[str, int], classes: str = "cat|dog") -> Callable[[Path], None]:
    """Folders of classes in each of some splits: name to images per class."""
    return build(
        *(lambda root, name=name, each=each: folders(root / name, classes, each) for name, each in names.items())
    )


def text(name: str, content: str | bytes) -> Callable[[Path], object]:
    """A file of text."""

    def run(root: Path) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return run


def table(
    head: str,
    row: str,
    *,
    file: str = "train.csv",
    images: str = "images",
    suffix: str = ".png",
    labels: Sequence[str] = ("cat", "dog"),
    encoding: str = "utf-8",
    last: str = "",
) -> Callable[[Path], None]:
    """Twelve pictures in turn of each label, and a table of them.

    Args:
        head: its first line; empty for none.
        row: a line with {name}, {label}, {number} and {seed}.
        file: its name.
        images: the folder of the pictures.
        suffix: of the pictures.
        labels: what the table calls the classes.
        encoding: of the table.
        last: lines after all others.
    """

    def run(root: Path) -> None:
        names = flat(root / images, 12, suffix, len(labels))
        lines = [head] if head else []
        for seed, name in enumerate(names):
            number = seed % len(labels)
            lines.append(row.format(name=name, label=labels[number], number=number, seed=seed))
        (root / file).write_bytes(("\n".join([*lines, *([last] if last else [])]) + "\n").encode(encoding))

    return run
