"""``distillset select SELECTOR``: choose real images."""

import argparse
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from distillset.commands.options import add_data, add_machine, load_data, machine
from distillset.commands.progress import CommandProgress
from distillset.coresets import SELECTORS, select
from distillset.coresets.expert import NETWORK
from distillset.data.grid import GRID
from distillset.data.synthetic import CARD, SyntheticSet
from distillset.errors import InputError, unwritable
from distillset.store import held, read_json
from distillset.watch import speaks


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("select", help="choose a few real images per class")
    parser.add_argument("selector", metavar="SELECTOR", help=f"how to choose: {', '.join(SELECTORS)}")
    add_data(parser, "digits")
    parser.add_argument("--ipc", type=int, required=True, help="images per class")
    parser.add_argument("--out", type=Path, required=True, help="folder of the artifact")
    parser.add_argument("--seed", type=int, default=0, help="random seed (default 0)")
    group = parser.add_argument_group(
        "expert", "a network trained on the whole set; most selectors choose by its embeddings or predictions"
    )
    group.add_argument("--network", default=NETWORK, help=f"network to train; it is cached (default {NETWORK})")
    group.add_argument("--epochs", type=int, help="training epochs (default 4, more for small sets)")
    add_machine(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Select, and say where the result is."""
    out: Path = options.out
    try:
        out.exists()
    except OSError as error:
        raise unwritable(out, error, "out") from None
    if (out / "checkpoints").exists():
        raise InputError("out", out, "holds the run of a distillation; choose another folder")
    if out.is_file() or (out.is_dir() and not (out / CARD).is_file() and not SyntheticSet.unfinished(out)):
        raise InputError("out", out, "exists and is not an artifact; choose another folder")
    with held(out) if speaks() else nullcontext():
        return _select(options, out)


def _select(options: argparse.Namespace, out: Path) -> int:
    card = read_json(out / CARD) if (out / CARD).is_file() else None
    asked = {"method": SELECTORS.resolve(options.selector), "settings": {"ipc": options.ipc, "seed": options.seed}}
    _check_same(out, card, asked)
    data = load_data(options, CommandProgress())
    _check_same(out, card, {"data": {"fingerprint": data.train.fingerprint()}})
    synthetic = select(
        data,
        options.selector,
        options.ipc,
        seed=options.seed,
        network=options.network,
        epochs=options.epochs,
        machine=machine(options),
        watcher=CommandProgress(),
    )
    _check_same(out, card, {name: synthetic.card[name] for name in ("settings", "data")})
    if speaks():
        synthetic.save(out)
    print(f"{out}: {len(synthetic)} images of {synthetic.spec.classes} classes; picture {out / GRID}")
    return 0


def _check_same(out: Path, card: Any, asked: Mapping[str, Any], of: str = "") -> None:
    """Whether the artifact in ``out`` is the one that this command makes, and may make again; if there is one.

    Raises:
        InputError: it is another.
    """
    if card is None:
        return
    for name, value in asked.items():
        was = card.get(name) if isinstance(card, dict) else None
        if isinstance(value, Mapping):
            _check_same(out, was or {}, value, f"{of}{name}.")
        elif was != value:
            raise InputError(
                "out",
                out,
                f"holds another artifact ({of}{name} {was}, not {value}); it is not overwritten; choose another folder",
            )
