"""``distillset distill METHOD``: learn synthetic images."""

import argparse
import dataclasses
import inspect
import re
from pathlib import Path
from typing import Any

from distillset.commands.options import add_data, add_machine, add_whiten, check_room, load_data, machine
from distillset.commands.process import compute_with
from distillset.commands.progress import Terminal
from distillset.data.grid import GRID
from distillset.data.synthetic import SyntheticSet
from distillset.distill import distill
from distillset.distillation.record import Record
from distillset.distillation.run_folder import threads_before
from distillset.evaluation import evaluate
from distillset.methods import METHODS, field_type
from distillset.nets import NETWORKS
from distillset.trackers import TRACKERS, open_trackers
from distillset.watch import Watcher


def add(verbs: Any) -> None:
    """Add the verb, with a sub-command a method whose flags are its fields."""
    top = verbs.add_parser("distill", help="learn a few synthetic images a class")
    methods = top.add_subparsers(title="methods", metavar="METHOD", required=True)
    for name, method in METHODS.items():
        about = (method.__doc__ or "").strip().splitlines()[0]
        parser = methods.add_parser(name, help=about, description=about)
        add_data(parser, "digits")
        run_flags(parser, method)
        group = parser.add_argument_group(f"hyper-parameters of {name}")
        for field in dataclasses.fields(method):
            kind, default = field_type(method, field.name), field.default
            told = f"{field_help(method, field.name)} (default {'auto' if default is None else default})"
            group.add_argument(f"--{field.name.replace('_', '-')}", type=kind, default=default, help=told)
        add_machine(parser)
        parser.set_defaults(run=run, method=name)


def run_flags(parser: argparse.ArgumentParser, method: Any) -> None:
    """What every method's run takes."""
    parser.add_argument("--ipc", type=int, required=True, help="images per class")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the run; the same command goes on where it stopped"
    )
    parser.add_argument("--steps", type=int, default=method.steps, help=f"the default is the published {method.steps}")
    parser.add_argument("--seed", type=int, default=0, help="names all random numbers of the run (default 0)")
    parser.add_argument(
        "--network",
        default="convnet",
        help=f"the distilling network: {', '.join(NETWORKS)} or a variant, timm/NAME or module:function (default "
        "convnet)",
    )
    parser.add_argument(
        "--init",
        default=method.init,
        help=f"real, noise, kmeans, or the folder of an earlier artifact (default {method.init})",
    )
    add_whiten(parser, "auto: as published for the method and data")
    parser.add_argument("--snapshots", type=int, default=10, help="intermediate sets to keep (default 10)")
    parser.add_argument(
        "--evaluate-every", type=int, default=0, metavar="K", help="log the test accuracy of one network every K steps"
    )
    parser.add_argument(
        "--log",
        action="append",
        default=[],
        choices=list(TRACKERS),
        help="log the run there as well; may be given twice",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress")


def field_help(method: Any, name: str) -> str:
    """What the docstring of a method, or of one it is a preset of, says of a field, on one line without full stop."""
    text = "\n".join(inspect.cleandoc(kind.__doc__ or "") for kind in method.__mro__)
    found = re.search(rf"^    {name}: (.*(?:\n {{8}}.*)*)", text, re.MULTILINE)
    return " ".join(found[1].replace("`", "").replace("%", "%%").split()).rstrip(".") if found else name


def run(options: argparse.Namespace) -> int:
    """Distil, and say where the result is."""
    kind = METHODS[options.method]
    method = kind(**{field.name: getattr(options, field.name) for field in dataclasses.fields(kind)})
    compute_with(threads_before(options.out))
    told = {name: value for name, value in vars(options).items() if isinstance(value, str | int | float)}
    on = machine(options)
    logs = open_trackers(options.log, options.out, told)
    with Terminal(options.quiet, logs=logs) as terminal:
        check_room(options)
        data = load_data(options, terminal)

        def accuracy(synthetic: SyntheticSet) -> float:
            with terminal.at_once():
                (row,) = evaluate(
                    synthetic,
                    data,
                    networks=(options.network,),
                    repeats=1,
                    beside=(),
                    machine=on,
                    watcher=Watcher(),  # the terminal hears of the accuracy from the run
                )
            return row.mean

        synthetic = distill(
            data,
            method,
            options.ipc,
            steps=options.steps,
            seed=options.seed,
            network=options.network,
            init=options.init,
            whiten=options.whiten,
            out=options.out,
            record=Record(options.snapshots, accuracy, options.evaluate_every),
            watcher=terminal,
            machine=on,
        )
    print(f"{options.out}: {len(synthetic)} images of {synthetic.spec.classes} classes; picture {options.out / GRID}")
    return 0
