"""Classes that a user names are the ones that are taken, or none."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from distillset.commands import main
from distillset.errors import InputError
from distillset.sources.classes import choose_classes
from tests.bad_input.case import EAGER


@pytest.mark.parametrize("first", ["-1", "_1", "- 1", "-01", "+1", "1.0", "１", "9" * 5000, "1e0", "0x1", ""])
def test_what_is_no_number_from_zero_on_is_refused(first: str) -> None:
    """``-1`` without its hyphen is the name of class 1: classes 1 and 2 were taken."""
    with pytest.raises(InputError, match=r"no such class in here.*from 0 to 3"):
        choose_classes([first, "2"], ["0", "1", "2", "3"], "here")


@pytest.mark.parametrize("first", [-1, True, 1.0, None, 10**30, [1]])
def test_nor_is_one_from_python(first: object) -> None:
    wanted: Sequence[int] = [first, 2]  # type: ignore[list-item]
    with pytest.raises(InputError, match="no such class"):
        choose_classes(wanted, ["0", "1", "2", "3"], "here")


def test_words_are_found_without_their_hyphens_still() -> None:
    names = ["-1", "1", "tree frog", "1 2", "-0.5"]
    chosen = choose_classes(["Tree-Frog", "-1", "1", "1_2", "-0.5"], names, "here")
    assert chosen.indices == (2, 0, 1, 3, 4)
    with pytest.raises(InputError, match="no such class"):
        choose_classes(["0.5", "1"], names, "here")


def test_the_command_line_says_so(toy_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "set"
    run = ["select", "random", "--data", str(toy_npz), "--ipc", "1", "--out", str(out), *EAGER, "--classes", "-1", "2"]
    assert main(run) == 2
    assert "--classes -1: no such class" in capsys.readouterr().err.splitlines()[-1]
    assert not out.exists()
