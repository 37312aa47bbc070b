"""A case of the corpus: what is wrong, the command line, and what the one line of the error must say.

Every line names the offending file, row, field or flag; the pattern of a case is searched for in it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests import toys
from tests.bad_input import artifacts
from tests.bad_input.artifacts import Tamper
from tests.bad_input.sources import PICTURES, Make, classes

EAGER = ["--device", "cpu", "--precision", "fp32", "--compile", "off"]


@dataclass(frozen=True)
class Place:
    """Where a case may write: a folder of its own, a good data set, and a good artifact made of it."""

    folder: Path
    toy: Path
    artifact: Path

    @property
    def out(self) -> Path:
        return self.folder / "out"


@dataclass(frozen=True)
class Case:
    """One malformed input."""

    name: str
    command: Callable[[Place], list[str]]
    told: str


def distil(data: Path | str, out: Path, *more: str) -> list[str]:
    return [
        "distill", "dm", f"--data={data}", "--ipc", "1", "--out", str(out), "--steps", "1", "--batch-real", "4",
        "--network", toys.NETWORK, *EAGER, *more,
    ]  # fmt: skip


def data(name: str, source: Make, told: str, *more: str) -> Case:
    """A source that cannot be distilled."""
    return Case(name, lambda place: distil(source(place.folder), place.out, *more), told)


def test_data(name: str, source: Make, told: str) -> Case:
    """A test set that does not fit a good training set."""
    train = classes(a=PICTURES, b=PICTURES)

    def command(place: Place) -> list[str]:
        (place.folder / "other").mkdir()
        return distil(train(place.folder), place.out, f"--test={source(place.folder / 'other')}")

    return Case(name, command, told)


def flags(*more: str, told: str, name: str = "") -> Case:
    """Flags that are wrong for good data."""
    return Case(name or " ".join(more)[:60], lambda place: distil(place.toy, place.out, *more), told)


def usage(*arguments: str, told: str) -> Case:
    """A command line that is wrong as a whole."""
    return Case(" ".join(["distillset", *arguments]), lambda place: list(arguments), told)


def out(name: str, make: Callable[[Path], Path], told: str) -> Case:
    """A folder for the result that cannot be one."""
    return Case(name, lambda place: distil(place.toy, make(place.folder)), told)


def judged(name: str, tamper: Tamper, told: str, *more: str) -> Case:
    """A good artifact that was tampered with, evaluated."""

    def command(place: Place) -> list[str]:
        folder = artifacts.copied(place.artifact, place.folder / "artifact")
        tamper(folder)
        few = ["--networks", toys.NETWORK, "--repeats", "1", "--epochs", "1", "--beside", "none"]
        return ["evaluate", str(folder), *few, *EAGER, *more]

    return Case(name, command, told)
