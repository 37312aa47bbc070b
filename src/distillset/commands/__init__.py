"""The command line: one file a verb."""

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from distillset.commands import distill, doctor, evaluate, export, presets, report, reproduce, select
from distillset.commands.progress import speaks
from distillset.data.synthetic import versions
from distillset.errors import DistillsetError, InterruptedRun, LostRankError

VERBS = (distill, select, evaluate, report, export, presets, reproduce, doctor)


class _Parser(argparse.ArgumentParser):
    """Wrong usage is one line, like every other error of the user's."""

    def error(self, message: str) -> None:  # type: ignore[override]
        sys.stderr.write(f"distillset: error: {message} (see {self.prog} --help)\n")
        raise SystemExit(2)


def parser() -> argparse.ArgumentParser:
    """The parser of all verbs."""
    top = _Parser(
        prog="distillset", description="Distil a large labelled image set into a few synthetic images a class."
    )
    top.add_argument("--version", action="version", version=f"distillset {versions()['distillset']}")
    verbs = top.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)
    for verb in VERBS:
        verb.add(verbs)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns its exit code: 0 done, 2 wrong input, 3 diverged, 130 interrupted."""
    options = parser().parse_args(arguments)
    if not speaks():
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 (open to the end of the process)
    try:
        with warnings.catch_warnings():
            # Of odd images; those that cannot be used are named in an error, and the others are none of the user's.
            warnings.filterwarnings("ignore", module=r"PIL\.")
            code: int = options.run(options)
        sys.stdout.flush()
        return code
    except InterruptedRun as stopped:
        if speaks():
            sys.stderr.write(f"distillset: {stopped}\n")
        return stopped.exit_code
    except DistillsetError as error:
        if speaks() or isinstance(error, LostRankError):  # all ranks meet the same errors, but for a lost one
            sys.stderr.write(f"distillset: error: {' '.join(str(error).split())}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("distillset: interrupted\n")
        return 130
    except BrokenPipeError:
        # Whoever read the output has gone; what is left to flush must not raise again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
