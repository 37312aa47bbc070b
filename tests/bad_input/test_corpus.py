"""Every malformed input of the corpus: exit code 2, one line on stderr that says what is wrong, and nothing left."""

import hashlib
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from distillset import load, select
from distillset.commands import main
from distillset.watch import Watcher
from tests import toys
from tests.bad_input.case import Case, Place
from tests.bad_input.option_cases import OPTIONS_AND_ARTIFACTS
from tests.bad_input.source_cases import SOURCES
from tests.bad_input.state_cases import STATES

CASES = [*SOURCES, *OPTIONS_AND_ARTIFACTS, *STATES]


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good data set, decoded in a cache of its own, and a good artifact."""
    root = tmp_path_factory.mktemp("good")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISTILLSET_CACHE", str(root / "cache"))
        load("digits", watcher=Watcher())
        data = load(toys.toy_file(root / "toy.npz"), watcher=Watcher())
        select(data, "random", 1).save(root / "artifact")
    return root


@pytest.fixture
def place(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("DISTILLSET_CACHE", str(shared / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "hf"))
    monkeypatch.delenv("DISTILLSET_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    return Place(tmp_path, shared / "toy.npz", shared / "artifact")


def contents(*roots: Path) -> dict[str, str]:
    """Every file, link and folder below, with a digest of what is in it."""
    found = {}
    for root in roots:
        # The folder of remembered accuracies may be made, and hold nothing.
        for path in sorted(path for path in root.rglob("*") if path.name not in (".lock", "accuracies")):
            link = f"link to {path.readlink()}" if path.is_symlink() else ""
            found[str(path)] = link or (hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder")
    return found


def check(case: Case, code: object, out: str, err: str) -> None:
    assert code == 2, err
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith("distillset: error: ")
    assert re.search(case.told, line), line
    assert "Traceback" not in err


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_line_that_names_it_and_nothing_left(
    case: Case, place: Place, shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = case.command(place)
    before = contents(place.folder, shared)
    capsys.readouterr()
    try:
        code: object = main(arguments)
    except SystemExit as usage:
        code = usage.code
    shown = capsys.readouterr()
    check(case, code, shown.out, shown.err)
    assert contents(place.folder, shared) == before


APART = ["100 million pixels", "parquet cut short", "a class that is no text", "distillset dance"]
"""Also run as a process of their own, where warnings and what other packages print would be seen."""


@pytest.mark.parametrize("name", APART)
def test_the_same_from_a_shell(name: str, place: Place, shared: Path) -> None:
    (case,) = [case for case in CASES if case.name == name]
    arguments = case.command(place)
    before = contents(place.folder, shared)
    command = [sys.executable, "-m", "distillset", *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    check(case, ran.returncode, ran.stdout, ran.stderr)
    assert contents(place.folder, shared) == before


def test_the_corpus_is_large_and_its_names_are_distinct() -> None:
    assert len(CASES) >= 290
    twice = [name for name, count in Counter(case.name for case in CASES).items() if count > 1]
    assert twice == []
