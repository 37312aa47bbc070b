"""Errors in the words of the command line: arguments become flags, and values are written as in a shell.

Messages of the library speak of Python: the argument at fault is a field of the error, and others stand between
backticks, such as ```out` ``, ```compile='off'` `` or ```distill(steps=10)` ``. The parser of the command says
which flag gives an argument: its destinations are called like the arguments.
"""

import argparse
import ast
import re
import shlex
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from distillset.errors import LONGEST, DistillsetError, InputError

VERBS = {"train_experts": "experts", "read_pt": "import"}
"""The verbs of functions that are called otherwise."""

Parsers = Callable[[str], argparse.ArgumentParser | None]
"""The parser of a verb; None where there is no such verb."""


class Words:
    """The words of one command.

    Args:
        parser: of the command.
        others: the parsers of other verbs.
    """

    def __init__(self, parser: argparse.ArgumentParser, others: Parsers = lambda verb: None) -> None:
        self.actions, self.others = _actions(parser), others

    def error(self, error: DistillsetError) -> str:
        """The message of ``error`` for a person who typed the command.

        ``batch_real=0: must be at least 1`` becomes ``--batch-real 0: must be at least 1``. What is none of the
        command's stays as it is.
        """
        if not isinstance(error, InputError) or not error.is_argument or error.field not in self.actions:
            return self.text(str(error))
        return f"{typed(self.actions[error.field], error.value)}: {self.text(error.allowed)}"

    def text(self, text: str) -> str:
        """``text`` with flags for what stands between backticks."""
        return re.sub(r"`([^`]+)`", lambda match: self._spoken(match[1]) or match[0], text)

    def _spoken(self, code: str) -> str | None:
        """The flag of an argument, or the command of a call; None where ``code`` is neither."""
        call = _parsed(f"_({code})")
        if call is None or len(call.args) + len(call.keywords) != 1:
            return None
        if call.keywords:
            return _flag(call.keywords[0], self.actions)
        match call.args[0]:
            case ast.Name(id=name) if name in self.actions:
                return typed(self.actions[name], None)
            case ast.Call(func=ast.Name(id=function), keywords=keywords):
                verb = VERBS.get(function, function)
                if (other := self.others(verb)) is not None:
                    flags = [_flag(keyword, _actions(other)) for keyword in _flat(keywords)]
                    return " ".join(["distillset", verb, *filter(None, flags)])
        return None


_spoken: ContextVar[Words | None] = ContextVar("words", default=None)


@contextmanager
def speaking(words: Words) -> Iterator[None]:
    """Within it `in_flags` has the words of a command."""
    token = _spoken.set(words)
    try:
        yield
    finally:
        _spoken.reset(token)


def in_flags(note: str) -> str:
    """A note of the library in the words of the command that runs."""
    words = _spoken.get()
    return note if words is None else words.text(note)


def _actions(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """What the command takes, by destination; of a verb with sub-commands, what the first of them takes."""
    actions = {action.dest: action for action in parser._actions}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            actions = _actions(next(iter(action.choices.values()))) | actions
    return actions


def _flat(keywords: Sequence[ast.keyword]) -> Iterator[ast.keyword]:
    """The arguments of a call, with those of a value such as ``Record(snapshots=10)`` in its place."""
    for keyword in keywords:
        yield from _flat(keyword.value.keywords) if isinstance(keyword.value, ast.Call) else [keyword]


def _flag(keyword: ast.keyword, actions: Mapping[str, argparse.Action]) -> str | None:
    action = actions.get(keyword.arg or "")
    if action is None:
        return None
    try:
        return typed(action, ast.literal_eval(keyword.value))
    except ValueError:  # no value but the name of one
        return f"{_name(action)} {action.metavar or action.dest.upper()}"


def _parsed(code: str) -> ast.Call | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of strange escapes
            tree = ast.parse(code, mode="eval").body
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    return tree if isinstance(tree, ast.Call) else None


def _name(action: argparse.Action) -> str:
    """``--batch-real``, or the metavar of what has no flag."""
    return next((word for word in action.option_strings if word.startswith("--")), str(action.metavar or action.dest))


def typed(action: argparse.Action, value: object) -> str:
    """The words by which a shell gives ``value``: ``--resize 32x48``, ``--crop``, ``SELECTOR best``."""
    if value is None or isinstance(value, bool):
        return _name(action)
    if isinstance(value, list | tuple):
        words = ["..." if item is Ellipsis else str(item) for item in value]
        value = "x".join(words) if action.nargs is None else shlex.join(words)
    text = str(value) or "''"
    if isinstance(value, str) and len(text) > LONGEST:
        text = text[: LONGEST - 3] + "..."
    return f"{_name(action)} {text}"
