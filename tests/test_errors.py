"""What errors say: one line, in the words of Python; `tests/commands/test_wording.py` has those of the command line."""

import ast
import copy
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import distillset as ds
from distillset.arguments import path_of, whole
from distillset.data.resize import Resize
from distillset.errors import InputError, unwritable
from distillset.evaluation.snapshots import read_snapshots
from distillset.machine import Machine
from distillset.watch import Watcher
from tests import toys

SOURCES = Path(ds.__file__).parent
OTHER_PROGRAMS = {"--version"}
"""Arguments of programs that the library calls, a compiler's for one."""


def literals(path: Path) -> Iterator[tuple[int, str]]:
    """The text of a file's string literals, docstrings and parts of f-strings included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def test_only_the_command_line_speaks_of_flags() -> None:
    spoken = [
        f"{path.relative_to(SOURCES)}:{line}: {text}"
        for path in sorted(SOURCES.rglob("*.py"))
        if "commands" not in path.relative_to(SOURCES).parts
        for line, text in literals(path)
        if re.search(r"(?<!\w)--[a-z]", text) and text not in OTHER_PROGRAMS
    ]
    assert not spoken, "\n".join(spoken)


class Unspeakable:
    """A stranger's class, whose values cannot be shown."""

    def __repr__(self) -> str:
        raise AttributeError("no\nname")


VALUES: st.SearchStrategy[Any] = st.one_of(
    st.text(), st.binary(), st.floats(), st.integers(), st.lists(st.text()), st.builds(Path, st.text()), st.none()
) | st.sampled_from([Unspeakable(), torch.zeros(3, 3), 10**10000])


@given(st.text(), VALUES, st.text(min_size=1))
def test_an_error_is_one_line(field: str, value: Any, allowed: str) -> None:
    for error in (InputError(field, value, allowed), InputError.about(field, allowed)):
        assert len(str(error).splitlines()) <= 1


@given(st.text(alphabet=st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"])))
def test_words_stand_as_they_are_written(text: str) -> None:
    assert str(InputError.about(f"a{text}", f"b{text}c")) == f"a{text}: b{text}c"


def test_an_error_says_what_it_is_about() -> None:
    error = InputError("batch_real", 0, "must be at least 1")
    assert (error.field, error.value, error.allowed, error.is_argument) == ("batch_real", 0, "must be at least 1", True)
    assert str(error) == "batch_real=0: must be at least 1"
    about = InputError.about(Path("/data/cat.png"), "damaged")
    assert (about.field, about.value, about.is_argument) == ("/data/cat.png", None, False)
    assert str(about) == "/data/cat.png: damaged"
    assert str(InputError.about("", "there is no image")) == "there is no image"


def test_values_are_shown_as_python_writes_them() -> None:
    assert str(InputError("init", "best", "choose real")) == "init='best': choose real"
    assert str(InputError("out", Path("/runs/a  b"), "is a file")) == "out='/runs/a  b': is a file"
    assert str(InputError("resize", (0, 8), "at least 1")) == "resize=(0, 8): at least 1"
    assert len(str(InputError("classes", list(range(10000)), "too many"))) < 250
    assert str(InputError("out", Path("/" + "d" * 1000), "is a file")) == f"out='/{'d' * 1000}': is a file"


@pytest.mark.parametrize("error", [InputError("lr", -1.0, "must be above 0"), InputError.about("a.npz", "damaged")])
def test_errors_can_be_copied_and_sent_to_another_process(error: InputError) -> None:
    for again in (copy.deepcopy(error), copy.copy(error)):  # as another process would be sent it
        assert type(again) is InputError
        assert str(again) == str(error)
        assert again.is_argument == error.is_argument


SAID: dict[str, tuple[Callable[[Path], object], str]] = {
    "a number": (lambda _: whole("ipc", 0, 1), "ipc=0: must be at least 1"),
    "another kind": (lambda _: whole("ipc", "two"), "ipc='two': must be a whole number"),
    "a path": (lambda _: path_of("out", b"run"), "out=b'run': must be a path"),
    "a choice": (lambda _: Machine("tpu"), "device='tpu': choose auto, cpu, cuda or cuda:N"),
    "two values": (lambda _: Resize(0, 8), "resize=(0, 8): height and width must be at least 1 and at most"),
    "a function": (
        lambda _: ds.load(toys.toy(), watcher=3),  # type: ignore[arg-type]
        "watcher=3: must be a Watcher, or a function of (step, steps, loss)",
    ),
    "advice": (
        lambda _: ds.load("digits", crop=True, watcher=Watcher()),
        "crop=True: says how to resize, so `resize=(height, width)` is needed",
    ),
    "a call": (
        lambda at: read_snapshots(at, None),  # type: ignore[arg-type]
        ": holds no snapshots to choose among (`distill(record=Record(snapshots=10))` writes them)",
    ),
    "a file": (lambda at: ds.SyntheticSet.load(at / "none"), "none: no such folder; expected an artifact made by dis"),
}


@pytest.mark.parametrize("kind", SAID)
def test_what_python_is_told(kind: str, tmp_path: Path) -> None:
    call, told = SAID[kind]
    with pytest.raises(InputError, match=re.escape(told)) as caught:
        call(tmp_path)
    assert "--" not in str(caught.value)


def test_a_place_that_cannot_be_written_is_named_with_its_argument() -> None:
    closed = PermissionError(13, "Permission denied")
    assert str(unwritable(Path("x"), closed, "out")) == "out='x': cannot be written (Permission denied)"
    assert str(unwritable(Path("x"), closed)) == "x: cannot be written (Permission denied)"
