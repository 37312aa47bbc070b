"""``distillset compare DIR...``: evaluate artifacts under one protocol, and test which differ."""

import argparse
import json
from pathlib import Path
from typing import Any

from distillset.commands.evaluating import add_evaluation, beside, evaluation
from distillset.commands.options import add_data, load_data
from distillset.commands.progress import CommandProgress
from distillset.data.synthetic import SyntheticSet
from distillset.evaluation import Protocol, table
from distillset.studies import compare
from distillset.studies.plot import check_plot, plot_rows


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("compare", help="evaluate several sets, and test whether they differ")
    parser.add_argument("artifacts", type=Path, nargs="+", metavar="DIR", help="folders of the artifacts")
    add_data(parser, None)
    add_evaluation(parser)
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw the accuracies into this file: .png, .svg or .pdf"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Compare, and print a table with a verdict, or JSON."""
    if options.plot:
        check_plot(options.plot)
    watcher = CommandProgress()
    artifacts = {str(folder): SyntheticSet.load(folder) for folder in options.artifacts}
    data = load_data(options, watcher, next(iter(artifacts.values())).card.get("data") or {})
    comparison = compare(
        artifacts,
        data,
        protocol=Protocol(options.protocol, options.epochs, options.augment),
        beside=beside(options),
        watcher=watcher,
        **evaluation(options),
    )
    if options.plot:
        plot_rows(comparison.rows, options.plot)
        watcher.note(f"plot: {options.plot}")
    if options.json:
        print(json.dumps(comparison.to_json(), indent=2))
    else:
        print(f"{table(comparison.rows)}\n\n{comparison.verdict()}")
    return 0
