"""``distillset completion``, and the table of commands that it and ``--help`` are made of."""

import subprocess
import sys

import pytest

from distillset.commands import VERBS, main, parser


def test_bash_completes_commands_and_flags(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    ask = f"{script}\nCOMP_WORDS=(distillset %s); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); {{}}; echo ${{COMPREPLY[@]}}"
    entry = script.rsplit("complete -o filenames -F ", 1)[1].split()[0]
    for typed, expected in (
        ("ev", "evaluate"),
        ("evaluate --rep", "--repeats"),
        ("distill dm --batch", "--batch-real"),
    ):
        line = (ask % typed).replace("{}", entry)
        found = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
        assert expected in found.stdout.split()


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "zsh"]) == 2
    assert "pip install 'distillset[completion]'" in capsys.readouterr().err


def test_help_by_name_and_in_full_agree() -> None:
    """The table's words are those that each command gives itself, and no command is missing from it."""
    assert parser("").format_help() == parser().format_help()
    for verb in VERBS:
        assert parser(verb).format_help() == parser().format_help()
