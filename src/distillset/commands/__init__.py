"""The command line: one file per command."""

import argparse
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from pathlib import Path
from types import FrameType
from typing import Any

from distillset.commands.parsing import Parser
from distillset.commands.process import keep_memory, sleep_while_waiting
from distillset.commands.ranks import part
from distillset.commands.streams import Stream, open_missing
from distillset.commands.wording import Words, speaking
from distillset.errors import DiskError, DistillsetError, InterruptedRun, LostRankError, wanted_memory
from distillset.escapes import printable
from distillset.tables import PluginWarning
from distillset.watch import speaks

VERBS = {
    "distill": ("distill", "learn a few synthetic images per class"),
    "experts": ("experts", "train networks on the real set, for trajectory matching"),
    "select": ("select", "choose a few real images per class"),
    "evaluate": ("evaluate", "train networks on a set, and measure their test accuracy"),
    "compare": ("compare", "evaluate several sets, and test whether they differ"),
    "continual": ("continual", "learn classes step by step with a small memory"),
    "nas": ("nas", "rank networks by training them on a small set"),
    "report": ("report", "write a page of images through time, curves, accuracies and settings"),
    "export": ("export", "write a set as pictures, parquet or .pt files"),
    "import": ("export", "make an artifact from a .pt file or a folder of pictures"),
    "push": ("export", "upload a set to the Hugging Face hub"),
    "presets": ("presets", "list published settings, with published and measured accuracies"),
    "reproduce": ("reproduce", "run published settings within a time limit, and store the results"),
    "verify": ("verify", "check artifacts against their cards"),
    "doctor": ("doctor", "show versions, devices, and what auto chooses"),
    "completion": ("completion", "print a script that completes these commands in a shell"),
}
"""Command to its module, imported only when it is asked for (most take PyTorch's seconds), and what it does."""


def parser(chosen: str | None = None) -> argparse.ArgumentParser:
    """The parser: with every command in full, or with ``chosen`` in full and the others by name."""
    top = Parser(
        prog="distillset", description="Distil a large labelled image set into a few synthetic images per class."
    )
    top.add_argument("--version", action="version", version=f"distillset {_version()}")
    verbs = top.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=Parser)
    for module, group in groupby(VERBS.items(), key=lambda verb: verb[1][0]):
        names = {name: about for name, (_, about) in group}
        if chosen is None or chosen in names:
            import_module(f"{__name__}.{module}").add(verbs)
            for name, about in names.items():
                verb = verbs.choices[name]
                verb.description = verb.description or f"{about[:1].upper()}{about[1:]}."
        else:
            for name, about in names.items():
                verbs.add_parser(name, help=about)
    return top


PATIENCE = 30.0
"""Seconds that a rank leaves the first one to say an error; after them it says its own, which the first has not met."""


def _version() -> str:
    try:
        return version("distillset")
    except PackageNotFoundError:
        return "from its source folder"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        Its exit code: 0 done, 1 the machine failed, 2 wrong input, 3 diverged, 130 interrupted.
    """
    open_missing()
    sleep_while_waiting()
    keep_memory()
    if not speaks():
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 (open to the end of the process)
    usage: SystemExit | None = None
    out, err = Stream(sys.stdout, escaped=True), Stream(sys.stderr, escaped=False)
    with redirect_stdout(out), redirect_stderr(err):
        try:
            with _notes_of_packages():
                code = _run(sys.argv[1:] if arguments is None else list(arguments))
        except SystemExit as said:  # by argparse
            usage, code = said, said.code if isinstance(said.code, int) else 0
        finally:
            out.flush()
        # Whoever read the output may go; a disk that did not take it is another matter.
        if out.error is not None and not isinstance(out.error, BrokenPipeError):
            _complain(f"stdout: cannot be written ({out.error.strerror}); what the command wrote elsewhere is whole")
            return code or 1
        err.flush()
    if usage:
        raise usage
    return code


def _run(arguments: list[str]) -> int:
    if refused := next(filter(None, map(_refused, arguments)), None):
        _complain(refused)
        return 2
    options = parser(next((word for word in arguments if not word.startswith("-")), "")).parse_args(arguments)
    for name, value in vars(options).items():
        if isinstance(value, Path):
            with suppress(RuntimeError):  # there may be no such home
                setattr(options, name, value.expanduser())  # a shell leaves the ~ of --out=~/run as it is
    words = Words(options.parser, _parser_of)
    try:
        with warnings.catch_warnings(), _terminable(), speaking(words):
            # Of odd images; those that cannot be used are named in an error, and the others are none of the user's.
            warnings.filterwarnings("ignore", module=r"PIL\.")
            code: int = options.run(options)
        part()
        return code
    except InterruptedRun as stopped:
        if speaks():
            sys.stderr.write(f"distillset: {printable(str(stopped))}\n")
        return stopped.exit_code
    except DistillsetError as error:
        if not speaks() and not isinstance(error, LostRankError):
            # All ranks meet the same errors: the first says them, and then its launcher ends this one.
            with suppress(KeyboardInterrupt):
                time.sleep(PATIENCE)
        _complain(words.error(error))
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("distillset: interrupted\n")
        return 130
    except OSError as error:  # a disk or a network that fails where nobody expected it
        _complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        return 1
    except (MemoryError, RuntimeError) as error:
        if (asked := wanted_memory(error)) is None:
            raise
        _complain(f"out of memory{asked}; smaller --ipc, images, batches or networks need less, and so does --memory")
        return 1


@contextmanager
def _notes_of_packages() -> Iterator[None]:
    """What other packages' rows of the tables get wrong is a line, without the place in the code that Python adds."""
    with warnings.catch_warnings():
        show = warnings.showwarning

        def note(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            if not issubclass(category, PluginWarning):
                show(message, category, *place, **more)
            elif speaks():
                sys.stderr.write(f"distillset: {printable(str(message))}\n")

        warnings.showwarning = note
        yield


def _parser_of(verb: str) -> argparse.ArgumentParser | None:
    """The parser of a verb in full; None where there is no such verb."""
    if verb not in VERBS:
        return None
    verbs = next(action for action in parser(verb)._actions if isinstance(action, argparse._SubParsersAction))
    chosen: argparse.ArgumentParser = verbs.choices[verb]
    return chosen


def _refused(word: str) -> str | None:
    """What is wrong with a word that no shell passes on, but a program that calls `main` may, or that argparse takes
    for something else; None where nothing is.
    """
    try:
        nothing = b"\0" in os.fsencode(word)
    except UnicodeEncodeError:
        nothing = True
    if nothing:
        return f"argument {word!r}: not text that the name of a file can be"
    if word.startswith("--") and word.endswith("=--"):  # a mark for argparse, which then gives no value at all
        return f"argument {word}: -- is no value"
    return None


def _complain(text: str) -> None:
    """One line."""
    sys.stderr.write(f"distillset: error: {printable(' '.join(text.split()))}\n")


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends a command as Ctrl-C does; only the main thread can say so.

    What it interrupts may lose the exception and complain of something else, as PyTorch does where it asks an object
    for its first number: that complaint is not the user's.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    ended = False

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal ended
        ended = True
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except DiskError:
        raise
    except Exception as error:
        if ended:
            raise KeyboardInterrupt from error
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
