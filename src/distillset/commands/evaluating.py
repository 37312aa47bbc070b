"""What `evaluate` and `compare` share: flags for the networks, their training and the output."""

import argparse
from pathlib import Path
from typing import Any

from distillset.augment import OPERATIONS
from distillset.commands.options import add_machine, machine
from distillset.evaluation import PROTOCOLS, Ledger
from distillset.nets import NETWORKS, POOLS
from distillset.store import cache_folder


def add_evaluation(parser: argparse.ArgumentParser) -> None:
    """Networks, their number, how they are trained and what on."""
    parser.add_argument(
        "--networks",
        nargs="+",
        default=["convnet"],
        metavar="NAME",
        help=f"networks to train: {', '.join(NETWORKS)} or a variant, timm/NAME, module:function, a pool "
        f"({', '.join(POOLS)}) or all (default convnet)",
    )
    parser.add_argument(
        "--repeats",
        type=int,
        default=5,
        help="networks of each name per set; a comparison needs at least 2 (default 5)",
    )
    parser.add_argument(
        "--protocol",
        default="auto",
        help=f"how networks are trained: {', '.join(PROTOCOLS)} or auto (default auto: as in the set's paper)",
    )
    parser.add_argument("--epochs", type=int, help="training epochs in place of the protocol's; its name then says so")
    parser.add_argument(
        "--augment",
        metavar="STRATEGY",
        help=f"augmentation in place of the protocol's: none, or operations joined by _: {', '.join(OPERATIONS)}",
    )
    parser.add_argument(
        "--beside",
        nargs="+",
        default=["random"],
        metavar="WHAT",
        help="what to evaluate as well: random (as many random real images), whole (the whole real set), "
        "soft-random (random images, with the soft labels of a network trained on all), or none (default random)",
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed (default 0)")
    parser.add_argument("--no-cache", action="store_true", help="train again even if the result is in the cache")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    add_machine(parser)


def beside(options: argparse.Namespace) -> tuple[str, ...]:
    """What ``--beside`` names."""
    return () if options.beside == ["none"] else tuple(options.beside)


def evaluation(options: argparse.Namespace, save_networks: Path | None = None) -> dict[str, Any]:
    """What else `add_evaluation` read, as arguments of the library's functions; but the protocol."""
    return {
        "networks": tuple(options.networks),
        "repeats": options.repeats,
        "seed": options.seed,
        "ledger": Ledger(None if options.no_cache else cache_folder("accuracies"), save_networks),
        "machine": machine(options),
    }
