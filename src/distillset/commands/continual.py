"""``distillset continual``: learn classes step by step with a small memory."""

import argparse
import json
from collections.abc import Sequence
from typing import Any

from distillset.commands.options import add_data, add_study, load_data, machine
from distillset.commands.progress import Terminal
from distillset.coresets import SELECTORS
from distillset.evaluation import PROTOCOLS, Protocol
from distillset.methods import METHODS
from distillset.studies import Point, continual
from distillset.studies.continual import PLOT, RESULT


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("continual", help="learn classes step by step with a small memory")
    add_data(parser, "digits")
    parser.add_argument(
        "--memory",
        nargs="+",
        required=True,
        dest="memories",
        metavar="NAME",
        help=f"what fills the memory; several are compared: {', '.join([*SELECTORS, *METHODS])}",
    )
    parser.add_argument("--steps", type=int, default=5, help="number of steps in which new classes arrive (default 5)")
    parser.add_argument("--ipc", type=int, default=20, help="images per class in the memory (default 20)")
    parser.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        default=[0, 1, 2, 3, 4],
        metavar="S",
        help="random seeds, one for each order of the classes (default 0 to 4)",
    )
    parser.add_argument(
        "--network", default="convnet", help="network that distils, and that is trained at each step (default convnet)"
    )
    parser.add_argument("--repeats", type=int, default=3, help="networks to train per step and order (default 3)")
    parser.add_argument(
        "--protocol",
        default="dm",
        help=f"how networks are trained, whatever the memory: {', '.join(PROTOCOLS)} (default dm)",
    )
    parser.add_argument("--epochs", type=int, help="training epochs in place of the protocol's; its name then says so")
    add_study(parser, memory=False)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the study, and print its curves."""
    with Terminal(options.quiet) as terminal:
        points = continual(
            load_data(options, terminal),
            options.memories,
            options.out,
            steps=options.steps,
            ipc=options.ipc,
            seeds=options.seeds,
            distill_steps=options.distill_steps,
            network=options.network,
            repeats=options.repeats,
            protocol=Protocol(options.protocol, options.epochs),
            watcher=terminal,
            machine=machine(options),
        )
    print(json.dumps([point.to_json() for point in points], indent=2) if options.json else table(points))
    if not options.json:
        print(f"{options.out / RESULT}: all of it; picture {options.out / PLOT}")
    return 0


def table(points: Sequence[Point]) -> str:
    """The curves as text, the protocol in full below."""
    wide = max(len("memory"), *(len(point.memory) for point in points))
    lines = [f"{'memory':<{wide}}  step  classes  images  accuracy %     n (orders x networks)"]
    for p in points:
        spread = f"{100 * p.std:.1f}" if p.n > 1 else "-"
        lines.append(
            f"{p.memory:<{wide}}  {p.step:>4}  {p.classes:>7}  {p.images:>6}  {100 * p.mean:5.1f} +- {spread:<5}  "
            f"{p.n} x {p.networks}"
        )
    protocols = dict.fromkeys(
        f"{p.protocol}: network {p.network}, " + ", ".join(f"{name} {value}" for name, value in p.recipe.items())
        for p in points
    )
    return "\n".join(
        [*lines, "", *protocols, "accuracy: on the test images of all classes seen so far; +- over class orders"]
    )
