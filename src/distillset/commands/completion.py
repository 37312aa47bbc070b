"""``distillset completion SHELL``: a script that lets the shell complete commands, flags and paths."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distillset.errors import InputError

SHELLS = ("bash", "zsh", "tcsh")


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("completion", help="print a script that completes these commands in a shell")
    parser.add_argument(
        "shell",
        choices=SHELLS,
        help="the shell; save the output where it looks for completions, or load it with source <(...)",
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
    _complete(top, shtab.FILE, _names())
    print(shtab.complete(top, options.shell))
    return 0


def _names() -> dict[str, list[str]]:
    """Arguments that take names of a table, to these."""
    from distillset.coresets import SELECTORS
    from distillset.evaluation import PROTOCOLS
    from distillset.methods import METHODS
    from distillset.nets import NETWORKS, POOLS

    return {
        "selector": [*SELECTORS],
        "memories": [*SELECTORS, *METHODS],
        "protocol": ["auto", *PROTOCOLS],
        "network": [*NETWORKS],
        "networks": [*NETWORKS, *POOLS, "all"],
    }


def _complete(parser: argparse.ArgumentParser, file: dict[str, Any], names: Mapping[str, list[str]]) -> None:
    """Arguments that are read as paths are completed as paths, and those that take names of a table as these."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                _complete(inner, file, names)
        elif action.type is Path or action.dest == "data":
            action.complete = file  # type: ignore[attr-defined]
        elif action.type is None and action.choices is None and action.dest in names:
            action.choices = names[action.dest]  # for the script alone: the commands take other spellings as well
