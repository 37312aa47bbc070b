"""``distillset distill METHOD``: learn synthetic images."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from distillset.commands.options import add_data, add_machine, add_whiten, check_room, load_data, machine
from distillset.commands.process import compute_with
from distillset.commands.progress import Terminal
from distillset.data.grid import GRID
from distillset.data.synthetic import SyntheticSet
from distillset.distillation.distill import distill
from distillset.distillation.record import Record
from distillset.distillation.run_folder import threads_before
from distillset.evaluation import evaluate
from distillset.methods import METHODS, Setting, settings_of
from distillset.nets import NETWORKS
from distillset.trackers import TRACKERS, open_trackers
from distillset.watch import Watcher


def add(verbs: Any) -> None:
    """Add the verb, with a sub-command for every method, whose flags are its settings."""
    top = verbs.add_parser("distill", help="learn a few synthetic images per class")
    methods = top.add_subparsers(title="methods", metavar="METHOD", required=True)
    for name, method in METHODS.loaded().items():
        about = (method.__doc__ or name).strip().splitlines()[0].replace("%", "%%")
        parser = methods.add_parser(name, help=about, description=about)
        add_data(parser, "digits")
        run_flags(parser, method)
        group = parser.add_argument_group(f"settings of {name}")
        for setting in settings_of(method):
            text = setting.line().partition(": ")[2].replace("%", "%%")
            flag = f"--{setting.name.replace('_', '-')}"
            value = f"{{{','.join(setting.declared.choices)}}}" if setting.declared.choices else "X"
            group.add_argument(flag, type=_reader(setting), default=setting.default, metavar=value, help=text)
        add_machine(parser)
        parser.set_defaults(run=run, method=name)


def _reader(setting: Setting) -> Callable[[str], Any]:
    """What makes a value of a setting of the text behind its flag."""

    def read(text: str) -> Any:
        return setting.read(text)

    read.__name__ = setting.kind.__name__  # for the parser, which says what the text must be
    return read


def run_flags(parser: argparse.ArgumentParser, method: Any) -> None:
    """What every method's run takes."""
    parser.add_argument("--ipc", type=int, required=True, help="images per class")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the run; run the same command again to resume it"
    )
    parser.add_argument(
        "--steps",
        type=int,
        default=method.steps,
        help=f"steps of the distillation (default: the published {method.steps})",
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed (default 0)")
    parser.add_argument(
        "--network",
        default="convnet",
        help=f"network to distil with: {', '.join(NETWORKS)} or a variant, timm/NAME or module:function (default "
        "convnet)",
    )
    parser.add_argument(
        "--init",
        default=method.init,
        help=f"where the images start: real, noise, kmeans, or an artifact's folder (default {method.init})",
    )
    add_whiten(parser, "auto: as published for the method and data")
    parser.add_argument("--snapshots", type=int, default=10, help="number of intermediate sets to store (default 10)")
    parser.add_argument(
        "--evaluate-every",
        type=int,
        default=0,
        metavar="K",
        help="every K steps, train a network and log its test accuracy (default 0: never)",
    )
    parser.add_argument(
        "--log",
        dest="tracker",
        action="append",
        default=[],
        choices=list(TRACKERS),
        help="also send the log of the run to this tracker; may be repeated",
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress")


def run(options: argparse.Namespace) -> int:
    """Distil, and say where the result is."""
    kind = METHODS[options.method]
    method = kind(**{setting.name: getattr(options, setting.name) for setting in settings_of(kind)})
    compute_with(threads_before(options.out))
    settings = {name: value for name, value in vars(options).items() if isinstance(value, str | int | float)}
    on = machine(options)
    logs = open_trackers(options.tracker, options.out, settings)
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
