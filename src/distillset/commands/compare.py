"""``distillset compare DIR...``: artifacts side by side under one protocol, and which differences exceed the noise."""

import argparse
import json
from pathlib import Path
from typing import Any

from distillset.commands.options import add_compute, add_data, load_data
from distillset.commands.progress import note
from distillset.data.cache import cache_folder
from distillset.data.synthetic import SyntheticSet
from distillset.evaluation import PROTOCOLS, Ledger, table
from distillset.nets import POOLS
from distillset.studies import compare
from distillset.studies.plot import check_plot, plot_rows


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("compare", help="several sets side by side, with the significance of their differences")
    parser.add_argument("artifacts", type=Path, nargs="+", metavar="DIR", help="folders of the artifacts")
    add_data(parser, None)
    parser.add_argument(
        "--networks",
        nargs="+",
        default=["convnet"],
        metavar="NAME",
        help=f"names, pools ({', '.join(POOLS)}) or all (default convnet)",
    )
    parser.add_argument("--repeats", type=int, default=5, help="fresh networks a row, at least 2 (default 5)")
    parser.add_argument("--protocol", default="auto", help=f"auto (the first one's), {', '.join(PROTOCOLS)}")
    parser.add_argument("--epochs", type=int, help="instead of the protocol's; the protocol's name then says so")
    parser.add_argument(
        "--augment", metavar="STRATEGY", help="none, or operations joined by _, instead of the protocol's"
    )
    parser.add_argument("--no-baseline", action="store_true", help="leave out random images of the same number")
    parser.add_argument("--seed", type=int, default=0, help="names all random numbers")
    parser.add_argument("--no-cache", action="store_true", help="train anew what was measured before")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw all accuracies: .png, .svg or .pdf")
    parser.add_argument("--json", action="store_true", help="print rows, differences and winners as JSON")
    add_compute(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Compare, and print a table with a verdict, or JSON."""
    if options.plot:
        check_plot(options.plot)
    artifacts = {str(folder): SyntheticSet.load(folder) for folder in options.artifacts}
    data = load_data(options, note, next(iter(artifacts.values())).card.get("data") or {})
    found = compare(
        artifacts,
        data,
        networks=tuple(options.networks),
        repeats=options.repeats,
        protocol=options.protocol,
        epochs=options.epochs,
        augment=options.augment,
        baseline=not options.no_baseline,
        seed=options.seed,
        device=options.device,
        precision=options.precision,
        compile=options.compile,
        ledger=None if options.no_cache else Ledger(cache_folder() / "accuracies"),
        report=lambda artifact, done, accuracy: note(
            f"{artifact}: network {done} of {options.repeats}, {accuracy:.2%}"
        ),
    )
    if options.plot:
        plot_rows(found.rows, options.plot)
        note(f"plot: {options.plot}")
    if options.json:
        print(json.dumps(found.to_json(), indent=2))
    else:
        print(f"{table(found.rows)}\n\n{found.verdict()}")
    return 0
