"""Errors in the words of the command line: flags for arguments, and values as a shell gives them."""

import dataclasses
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import distillset as ds
from distillset.commands import _parser_of, main, parser
from distillset.commands.wording import Words, in_flags, speaking
from distillset.distillation.record import Record
from distillset.errors import DistillsetError, DivergedError, InputError
from distillset.machine import Machine
from distillset.studies import continual, nas
from distillset.studies.nas import Sample

LINES = {
    "distill": ["distill", "dm", "--ipc", "1", "--out", "run"],
    "select": ["select", "random", "--ipc", "1", "--out", "set"],
    "nas": ["nas", "--proxy", "random", "--out", "nas"],
    "continual": ["continual", "--memory", "random", "--out", "continual"],
    "evaluate": ["evaluate", "set"],
}


VALUES: dict[str, Any] = {"machine": Machine, "record": Record, "sample": Sample}
"""Arguments that are several in one: the command line has a flag for each field."""


def words(verb: str) -> Words:
    return Words(parser(verb).parse_args(LINES[verb]).parser, _parser_of)


@pytest.mark.parametrize(
    ("verb", "error", "line"),
    [
        ("distill", InputError("ipc", 0, "must be at least 1"), "--ipc 0: must be at least 1"),
        ("distill", InputError("batch_real", 0, "must be at least 1"), "--batch-real 0: must be at least 1"),
        ("distill", InputError("init", "best", "choose real"), "--init best: choose real"),
        ("distill", InputError("allow_outside", True, "no"), "--allow-outside: no"),
        ("distill", InputError("tracker", "wandb", "not installed"), "--log wandb: not installed"),
        ("distill", InputError("data", None, "not given"), "--data: not given"),
        ("distill", InputError("out", Path("a  b"), "is a file"), "--out a  b: is a file"),
        ("distill", InputError("resize", (0, 8), "too small"), "--resize 0x8: too small"),
        ("distill", InputError("classes", ["cat", "big dog"], "no"), "--classes cat 'big dog': no"),
        ("distill", InputError("device", "x" * 500, "no"), f"--device {'x' * 197}...: no"),
        ("select", InputError("selector", "best", "choose random"), "SELECTOR best: choose random"),
        ("nas", InputError("top", 0.0, "must be above 0"), "--top 0.0: must be above 0"),
        ("nas", InputError("networks", 1, "must be at least 4"), "--sample 1: must be at least 4"),
        ("nas", InputError("proxies", "best", "choose dm"), "--proxy best: choose dm"),
        ("continual", InputError("memories", "best", "choose dm"), "--memory best: choose dm"),
        ("select", InputError("lr", 0.0, "is none of this command's"), "lr=0.0: is none of this command's"),
        ("select", InputError.about("/data/a.npz", "damaged"), "/data/a.npz: damaged"),
        ("select", InputError.about("out", "is a thing"), "out: is a thing"),
    ],
)
def test_an_error_names_the_flag(verb: str, error: InputError, line: str) -> None:
    assert words(verb).error(error) == line


@pytest.mark.parametrize(
    ("advice", "line"),
    [
        ("use another `out`", "use another --out"),
        ("use `compile='off'`", "use --compile off"),
        ("give `resize=(32, 48)`", "give --resize 32x48"),
        ("give `resize=(height, width)`", "give --resize HxW"),
        ("`allow_outside=True` reads them", "--allow-outside reads them"),
        ("say `classes=['cat', 'big dog', ...]`", "say --classes cat 'big dog' ..."),
        ("(`distill(steps=10)` does)", "(distillset distill --steps 10 does)"),
        ("(`distill(record=Record(snapshots=10))` does)", "(distillset distill --snapshots 10 does)"),
        ("`train_experts()` makes one", "distillset experts makes one"),
        ("`read_pt()` makes one", "distillset import makes one"),
        (
            "the tensor `images`, `x=1`, `f(2)`, `(`, ` and `a b`",
            "the tensor `images`, `x=1`, `f(2)`, `(`, ` and `a b`",
        ),
        ("`out=\\d`", "`out=\\d`"),
    ],
)
def test_advice_names_flags(advice: str, line: str) -> None:
    error: DistillsetError
    for error in (InputError("ipc", 0, advice), InputError.about("a.npz", advice), DivergedError(advice)):
        assert words("select").error(error).endswith(line)


def test_notes_name_flags_while_a_command_runs() -> None:
    assert in_flags("`channels=3` takes all") == "`channels=3` takes all"
    with speaking(words("select")):
        assert in_flags("`channels=3` takes all") == "--channels 3 takes all"


@pytest.mark.parametrize(
    ("verb", "function", "otherwise"),
    [
        ("distill", ds.distill, {"record", "evaluate", "checkpoint_seconds"}),
        ("select", ds.select, {"cache"}),
        ("nas", nas, {"sample"}),
        ("continual", continual, {"memory"}),
    ],
)
def test_flags_have_the_names_of_arguments(verb: str, function: Callable[..., Any], otherwise: set[str]) -> None:
    """Else an error of the function would not find its flag. ``otherwise``: what the command line does not pass on."""
    flags = set(words(verb).actions) | {"machine", "watcher", "method"}
    names = set(inspect.signature(function).parameters)
    fields = [field.name for name, kind in VALUES.items() if name in names for field in dataclasses.fields(kind)]
    assert {*names, *fields} - flags == otherwise


def test_a_command_says_one_line_with_the_flag(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = ["--ipc", "1", "--out", str(tmp_path / "out")]
    assert main(["select", "random", *out, "--crop"]) == 2
    told = "distillset: error: --crop: says how to resize, so --resize HxW is needed\n"
    assert capsys.readouterr().err == told
    assert main(["select", "best", *out]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("distillset: error: SELECTOR best: choose one of random, ")


@pytest.mark.parametrize("columns", range(60, 100))
def test_help_shows_choices_and_breaks_no_word(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    with pytest.raises(SystemExit):
        main(["distill", "dc", "--help"])
    text = capsys.readouterr().out
    assert "--distance {layerwise,cos,mse}" in text
    assert not [line for line in text.splitlines() if re.search(r"\w-$", line)]
