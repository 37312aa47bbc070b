"""``distillset completion SHELL``: a script that lets the shell complete commands, flags and paths."""

import argparse
from pathlib import Path
from typing import Any

from distillset.errors import InputError

SHELLS = ("bash", "zsh", "tcsh")


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("completion", help="what the shell needs to complete these commands")
    parser.add_argument(
        "shell", choices=SHELLS, help="e.g. distillset completion bash > DIR/distillset, DIR the shell's"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the script. It is static: completing starts no Python."""
    try:
        import shtab
    except ImportError:
        raise InputError.about("completion", "not installed; pip install 'distillset[completion]'") from None
    from distillset.commands import parser

    top = parser()
    _complete_paths(top, shtab.FILE)
    print(shtab.complete(top, options.shell))
    return 0


def _complete_paths(parser: argparse.ArgumentParser, file: dict[str, Any]) -> None:
    """Arguments that are read as paths are completed as paths."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                _complete_paths(inner, file)
        elif action.type is Path or action.dest == "data":
            action.complete = file  # type: ignore[attr-defined]
