"""``distillset evaluate DIR``: what a set is worth, beside random images."""

import argparse
import json
from pathlib import Path
from typing import Any

from distillset.commands.options import add_compute, add_data, load_data
from distillset.commands.progress import note
from distillset.data.cache import cache_folder
from distillset.data.synthetic import SyntheticSet
from distillset.evaluation import PROTOCOLS, Ledger, evaluate, read_snapshots, table
from distillset.nets import POOLS
from distillset.report import ACCURACY
from distillset.store import write_json


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("evaluate", help="test accuracy of networks trained on a set")
    parser.add_argument("artifact", type=Path, metavar="DIR", help="folder of the artifact")
    add_data(parser, None)
    parser.add_argument(
        "--networks",
        nargs="+",
        default=["convnet"],
        metavar="NAME",
        help=f"names, timm/NAME, module:function, pools ({', '.join(POOLS)}) or all (default convnet)",
    )
    parser.add_argument("--repeats", type=int, default=5, help="fresh networks a row (default 5)")
    parser.add_argument("--protocol", default="auto", help=f"auto (that of the set's paper), {', '.join(PROTOCOLS)}")
    parser.add_argument("--epochs", type=int, help="instead of the protocol's; the protocol's name then says so")
    parser.add_argument(
        "--augment", metavar="STRATEGY", help="none, or operations joined by _, instead of the protocol's augmentation"
    )
    parser.add_argument("--hard-labels", action="store_true", help="the most probable class instead of soft labels")
    parser.add_argument("--no-baseline", action="store_true", help="leave out random images of the same number")
    parser.add_argument(
        "--soft-random", action="store_true", help="also random images with soft labels of a network trained on all"
    )
    parser.add_argument("--whole", action="store_true", help="also the whole real set, under its own protocol")
    parser.add_argument(
        "--select",
        choices=("last", "validation"),
        default="last",
        help="last: the artifact (default); validation: the snapshot that is best on a split of the training data",
    )
    parser.add_argument(
        "--best-on-test", action="store_true", help="also the snapshot that is best on the test set, under that name"
    )
    parser.add_argument("--seed", type=int, default=0, help="names all random numbers")
    parser.add_argument("--save-networks", type=Path, metavar="DIR", help="keep the trained networks as safetensors")
    parser.add_argument("--no-cache", action="store_true", help="train anew what was measured before")
    parser.add_argument(
        "--save", action="store_true", help=f"also keep the rows in the artifact's folder ({ACCURACY}), for the report"
    )
    parser.add_argument("--json", action="store_true", help="print a list of rows as JSON")
    add_compute(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Evaluate, and print a table or JSON."""
    synthetic = SyntheticSet.load(options.artifact)
    origin = synthetic.card.get("data") or {}
    data = load_data(options, note, origin)
    made_from = origin.get("fingerprint")
    fits = (data.train.spec.shape, data.train.spec.classes) == (synthetic.spec.shape, synthetic.spec.classes)
    if fits and made_from not in (None, data.train.fingerprint()):
        note(f"note: the artifact was not made from this training set ({data.source})")
    needs_snapshots = options.select == "validation" or options.best_on_test
    rows = evaluate(
        synthetic,
        data,
        artifact=str(options.artifact),
        networks=tuple(options.networks),
        repeats=options.repeats,
        protocol=options.protocol,
        epochs=options.epochs,
        augment=options.augment,
        hard_labels=options.hard_labels,
        baseline=not options.no_baseline,
        soft_random=options.soft_random,
        with_whole=options.whole,
        snapshots=read_snapshots(options.artifact, synthetic) if needs_snapshots else None,
        select=options.select,
        best_on_test=options.best_on_test,
        seed=options.seed,
        device=options.device,
        precision=options.precision,
        compile=options.compile,
        save_networks=options.save_networks,
        ledger=None if options.no_cache else Ledger(cache_folder() / "accuracies"),
        report=lambda artifact, done, accuracy: note(
            f"{artifact}: network {done} of {options.repeats}, {accuracy:.2%}"
        ),
        announce=note,
    )
    if options.save:
        write_json(options.artifact / ACCURACY, [row.to_json() for row in rows])
    print(json.dumps([row.to_json() for row in rows], indent=2) if options.json else table(rows))
    return 0
