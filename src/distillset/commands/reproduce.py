"""``distillset reproduce``: run rows of the published table within a time limit, and store the results."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from distillset.commands.options import add_machine, machine
from distillset.commands.progress import Terminal
from distillset.commands.wording import in_flags
from distillset.reproduction import Budget, Outcome, Results, choose, duration, reproduce, side_by_side
from distillset.watch import write_note


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("reproduce", help="run published settings within a time limit, and store the results")
    parser.add_argument(
        "rows",
        nargs="*",
        metavar="ROW",
        help="rows to run, such as dm-cifar10-10, in this order (default: all, published ones first, then cheap ones)",
    )
    parser.add_argument("--budget", default="25m", help="time limit, such as 90s, 25m or 1.5h (default 25m)")
    parser.add_argument(
        "--results", type=Path, default=Path("results"), metavar="DIR", help="folder of the results (default results)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/reproduce"),
        metavar="DIR",
        help="folder of the runs; run the same command again to resume them (default runs/reproduce)",
    )
    parser.add_argument("--steps", type=int, help="steps in place of the published number; shown with the result")
    parser.add_argument(
        "--recommended",
        action="store_true",
        help="use the steps and settings that this library recommends, if they differ",
    )
    parser.add_argument("--improved", action="store_true", help="use this library's improved preset, if there is one")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="changes",
        metavar="NAME=VALUE",
        help="use another value of a setting of the method, such as batch_real=32; shown with the result; "
        "may be repeated",
    )
    parser.add_argument(
        "--distill-for",
        metavar="TIME",
        help="end a distillation after this time and evaluate its images; its steps are shown with the result",
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=1,
        help="number of rows to run at the same time, each in its own process (default 1)",
    )
    parser.add_argument("--networks", type=int, default=5, help="networks to train per row (default 5)")
    parser.add_argument(
        "--beside",
        choices=("random", "none"),
        default="random",
        help="what to evaluate as well when time is left: random (random real images) or none (default random)",
    )
    parser.add_argument("--why", default="", help="reason to store with results that fall short of their paper")
    parser.add_argument("--commit", metavar="HASH", help="commit of the source, stored with the results")
    parser.add_argument("--seed", type=int, default=0, help="random seed (default 0)")
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="folder to search first for a known name (default: the environment variable DISTILLSET_DATA)",
    )
    parser.add_argument(
        "--list", action="store_true", help="print the rows in the order in which they would run, and stop"
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    add_machine(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run, and say how far each row came. Partial rows go on when the command is given again."""
    budget = Budget(duration(options.budget))
    distill_for = None if options.distill_for is None else duration(options.distill_for, "distill_for")
    plans = choose(
        options.rows, options.networks, options.steps, options.recommended, options.improved, options.changes
    )
    if options.list:
        print("\n".join(f"{plan.name}: {plan.steps} steps, {plan.passes / 1e6:.3g} M images" for plan in plans))
        return 0
    if options.jobs != 1:
        return _side_by_side(options, [plan.preset.name for plan in plans], budget)
    with Terminal(options.quiet) as terminal:
        outcomes = reproduce(
            plans,
            budget,
            results=Results(options.results),
            out=options.out,
            data_dir=options.data_dir,
            machine=machine(options),
            seed=options.seed,
            beside=("random",) if options.beside == "random" else (),
            watcher=terminal,
            why=options.why,
            commit=options.commit,
            distill_for=distill_for,
        )
    print("\n".join(_lines(outcomes)))
    return 0


PASSED_ON = ("results", "out", "steps", "distill_for", "networks", "why", "commit", "seed", "data_dir", "device",
             "precision", "compile", "memory", "beside")  # fmt: skip
SWITCHES = ("recommended", "improved", "quiet")


def _side_by_side(options: argparse.Namespace, rows: Sequence[str], budget: Budget) -> int:
    """A process per row, of this command with this row alone. Fails where all of them fail, as the first did."""

    def command(row: str, seconds: float) -> list[str]:
        options_of_row = [(name, getattr(options, name)) for name in PASSED_ON]
        valued = [f"--{name.replace('_', '-')}={value}" for name, value in options_of_row if value not in (None, "")]
        valued += [f"--set={one}" for one in options.changes]
        switched = [f"--{name.replace('_', '-')}" for name in SWITCHES if getattr(options, name)]
        here = [sys.executable, "-m", "distillset", "reproduce", row]
        return [*here, f"--budget={seconds:.1f}s", *valued, *switched]

    with Terminal(options.quiet) as terminal:
        finished, waiting = side_by_side(rows, options.jobs, budget, command, terminal)
    lines = [line for job in finished for line in job.lines]
    print("\n".join([*lines, *_waiting(len(waiting))]))
    failed = [job for job in finished if job.code]
    if options.quiet:  # errors are not progress
        for job in failed:
            write_note(job.last)
    return failed[0].code if finished and len(failed) == len(finished) else 0


def _waiting(count: int) -> list[str]:
    return [f"{count} rows wait for more time; run the same command again to resume"] if count else []


def _lines(outcomes: list[Outcome]) -> list[str]:
    """A line per row that was tried, and one for those that wait."""
    lines = [f"{one.name}: {one.state}: {in_flags(one.text)}" for one in outcomes if one.state != "waiting"]
    return lines + _waiting(sum(one.state == "waiting" for one in outcomes))
