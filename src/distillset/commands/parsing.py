"""The parser of the command line: argparse, with errors and help in the form of the library's own."""

import argparse
import re
import sys
import textwrap
from typing import Any

from distillset.commands.wording import typed
from distillset.errors import nearest
from distillset.escapes import printable

KINDS = {"int": "must be a whole number", "float": "must be a number", "bool": "must be true or false"}
"""What is said of a text that is no value of a type."""


class Help(argparse.HelpFormatter):
    """Breaks no word at its hyphen."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(indent + line for line in self._split_lines(text, width - len(indent)))


class Parser(argparse.ArgumentParser):
    """Wrong usage is one line, like every other error of the user's.

    What it reads has the attribute ``parser``: the parser of the command that was given.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"formatter_class": Help, **kwargs})
        self.set_defaults(parser=self)

    def error(self, message: str) -> None:  # type: ignore[override]
        text = printable(re.sub("^argument (?=-)", "", message))
        sys.stderr.write(f"distillset: error: {text} (see {self.prog} --help)\n")
        raise SystemExit(2)

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        try:
            return super()._get_value(action, arg_string)
        except argparse.ArgumentError as error:
            kind = KINDS.get(getattr(action.type, "__name__", ""), error.message)
            raise argparse.ArgumentError(None, f"{typed(action, arg_string)}: {kind}") from None

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        choices = [] if action.choices is None else list(map(str, action.choices))
        if choices and value not in choices:
            allowed = f"choose one of {', '.join(choices)}{nearest(str(value), choices)}"
            raise argparse.ArgumentError(None, f"{typed(action, value)}: {allowed}")
