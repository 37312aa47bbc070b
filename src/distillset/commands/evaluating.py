"""What `evaluate` and `compare` share: which networks are trained, how, and what is told meanwhile."""

import argparse
from typing import Any

from distillset.commands.options import add_machine, machine
from distillset.evaluation import PROTOCOLS, Ledger
from distillset.nets import POOLS
from distillset.store import cache_folder


def add_evaluation(parser: argparse.ArgumentParser) -> None:
    """Networks, their number, how they are trained and what on."""
    parser.add_argument(
        "--networks",
        nargs="+",
        default=["convnet"],
        metavar="NAME",
        help=f"names, timm/NAME, module:function, pools ({', '.join(POOLS)}) or all (default convnet)",
    )
    parser.add_argument("--repeats", type=int, default=5, help="fresh networks a row; a comparison needs 2 (default 5)")
    parser.add_argument(
        "--protocol", default="auto", help=f"auto (that of the first set's paper), {', '.join(PROTOCOLS)}"
    )
    parser.add_argument("--epochs", type=int, help="instead of the protocol's; the protocol's name then says so")
    parser.add_argument(
        "--augment", metavar="STRATEGY", help="none, or operations joined by _, instead of the protocol's augmentation"
    )
    parser.add_argument("--no-baseline", action="store_true", help="leave out random images of the same number")
    parser.add_argument("--seed", type=int, default=0, help="names all random numbers")
    parser.add_argument("--no-cache", action="store_true", help="train anew what was measured before")
    parser.add_argument("--json", action="store_true", help="print what was found as JSON")
    add_machine(parser)


def evaluation(options: argparse.Namespace) -> dict[str, Any]:
    """What `add_evaluation` read, as arguments of the library's functions; but ``augment`` and the baseline."""
    return {
        "networks": tuple(options.networks),
        "repeats": options.repeats,
        "protocol": options.protocol,
        "epochs": options.epochs,
        "seed": options.seed,
        "ledger": None if options.no_cache else Ledger(cache_folder("accuracies")),
        "machine": machine(options),
    }
