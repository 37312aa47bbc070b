"""``distillset reproduce``: run rows of the published table for a while, and keep what was measured."""

import argparse
from pathlib import Path
from typing import Any

from distillset.commands.options import add_compute
from distillset.commands.progress import Terminal
from distillset.reproduction import Budget, Machine, Outcome, Results, choose, duration, reproduce


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("reproduce", help="run published settings for a while, and keep what was measured")
    parser.add_argument(
        "rows",
        nargs="*",
        metavar="ROW",
        help="such as dm-cifar10-10, in this order (default: all; with a published number first, then the cheapest)",
    )
    parser.add_argument("--budget", default="25m", help="wall time of this call: 90s, 25m, 1.5h (default 25m)")
    parser.add_argument(
        "--results", type=Path, default=Path("results"), metavar="DIR", help="where results go (default results)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/reproduce"),
        metavar="DIR",
        help="run folders; the same command goes on where it stopped (default runs/reproduce)",
    )
    parser.add_argument("--steps", type=int, help="instead of the published number; told wherever the result is shown")
    parser.add_argument(
        "--recommended", action="store_true", help="this library's steps and settings, where it recommends others"
    )
    parser.add_argument(
        "--improved", action="store_true", help="with the improvements of this library's own preset, where it has any"
    )
    parser.add_argument("--networks", type=int, default=5, help="fresh networks a row (default 5)")
    parser.add_argument("--no-baseline", action="store_true", help="never evaluate random images beside the rows")
    parser.add_argument("--why", default="", help="reason to keep with results that fall short of their paper")
    parser.add_argument("--seed", type=int, default=0, help="names all random numbers")
    parser.add_argument(
        "--data-dir", type=Path, metavar="DIR", help="where known names are looked for first (or DISTILLSET_DATA)"
    )
    parser.add_argument("--list", action="store_true", help="only print the rows in the order they would run in")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    add_compute(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run, and say how far each row came. Partial rows go on when the command is given again."""
    budget = Budget(duration(options.budget))
    plans = choose(options.rows, options.networks, options.steps, options.recommended, options.improved)
    if options.list:
        print("\n".join(f"{plan.name}: {plan.steps} steps, {plan.passes / 1e6:.3g} M images" for plan in plans))
        return 0
    machine = Machine(options.data_dir, options.device, options.precision, options.compile)
    with Terminal(options.quiet) as terminal:
        outcomes = reproduce(
            plans,
            budget,
            results=Results(options.results),
            out=options.out,
            machine=machine,
            seed=options.seed,
            baseline=not options.no_baseline,
            watcher=terminal,
            why=options.why,
        )
    print("\n".join(_told(outcomes)))
    return 0


def _told(outcomes: list[Outcome]) -> list[str]:
    """A line a row that was tried, and one for those that wait."""
    lines = [f"{one.name}: {one.state}: {one.told}" for one in outcomes if one.state != "waiting"]
    waiting = sum(one.state == "waiting" for one in outcomes)
    return lines + ([f"{waiting} rows wait for more time; the same command goes on"] if waiting else [])
