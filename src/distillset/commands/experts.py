"""``distillset experts``: train networks on the real set and store their parameters, for trajectory matching."""

import argparse
from pathlib import Path
from typing import Any

from distillset.augment import default_strategy
from distillset.commands.options import add_data, add_machine, add_whiten, check_room, load_data, machine
from distillset.commands.process import compute_with
from distillset.commands.progress import Terminal
from distillset.distillation.run_folder import resolve_compute, threads_of
from distillset.distillation.whitening import chosen, whitened
from distillset.engine import Compute, Engine, measure
from distillset.engine.room import check_disk
from distillset.errors import InputError
from distillset.mesh import join
from distillset.methods import MTT
from distillset.nets import Network
from distillset.nets.twice import check_twice, math_attention
from distillset.presets.papers import EXPERT_EPOCHS, PAPERS
from distillset.presets.trajectories import reach
from distillset.sources.load import Data
from distillset.training import ExpertSetting, Layout, Trajectories, train_experts
from distillset.training.trajectories import CARD

PAPER = PAPERS["mtt"].settings


def add(verbs: Any) -> None:
    """Add the verb."""
    about = "Train networks on the real set and store their weights after every epoch, for distill mtt --experts."
    parser = verbs.add_parser(
        "experts", help="train networks on the real set, for trajectory matching", description=about
    )
    add_data(parser, "digits")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the experts; run the same command again to resume it"
    )
    parser.add_argument(
        "--count",
        type=int,
        default=PAPER["expert_count"],
        help="number of experts (default: the published %(default)s)",
    )
    parser.add_argument(
        "--ipc", type=int, help="images per class of the later distillation, which decides how many epochs it reaches"
    )
    parser.add_argument(
        "--epochs",
        type=int,
        help=f"training epochs (default: those that a distillation reaches, {EXPERT_EPOCHS} with --keep all)",
    )
    parser.add_argument(
        "--keep",
        default="reachable",
        help="epochs to store: reachable (those that a published setting reaches) or all (default reachable)",
    )
    parser.add_argument("--network", default="convnet", help="network to train (default convnet)")
    parser.add_argument(
        "--lr", type=float, default=PAPER["expert_lr"], help="learning rate of SGD (default: the published %(default)s)"
    )
    parser.add_argument(
        "--batch",
        type=int,
        default=PAPER["expert_batch"],
        help="images per update (default: the published %(default)s)",
    )
    parser.add_argument(
        "--augment",
        default="auto",
        help="augmentation: operations joined by _, none, or auto (default auto: the published one)",
    )
    parser.add_argument(
        "--sam", type=float, default=0.0, help="radius of sharpness-aware minimisation (default 0: off)"
    )
    add_whiten(parser, "auto: as published for the data and --ipc")
    parser.add_argument("--seed", type=int, default=0, help="random seed (default 0)")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    add_machine(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Train the experts, and say where they are."""
    for name, minimum in (("count", 1), ("epochs", 1), ("ipc", 1)):
        value = getattr(options, name)
        if value is not None and value < minimum:
            raise InputError(name, value, f"must be at least {minimum}")
    with Terminal(options.quiet) as terminal:
        check_room(options)
        data = load_data(options, terminal)
        trajectories, epochs = _make(options, data, terminal)
    size = trajectories.bytes(range(options.count))
    disk = f"{size / 1e6:,.1f} MB, {size / options.count / 1e6:,.2f} per expert"
    print(f"{options.out}: {options.count} experts, epochs 0 to {epochs} each; {disk}")
    return 0


def _make(options: argparse.Namespace, data: Data, terminal: Terminal) -> tuple[Trajectories, int]:
    real, out = data.train, options.out
    spec = real.spec
    epochs = _epochs(options, spec.name, spec.classes)
    whiten = chosen(options.whiten, MTT(), spec, options.ipc or 1)
    augment = default_strategy(spec.flip) if options.augment == "auto" else options.augment
    net = Network.of(options.network, spec)
    with math_attention():
        check_twice(net, spec, "mtt")
    setting = ExpertSetting(
        data=real.fingerprint(),
        whiten=whiten,
        network=net.name,
        lr=options.lr,
        batch=options.batch,
        augment=augment,
        sam=options.sam,
        seed=options.seed,
    )
    module, mesh, stored = net.module, join(options.device), None
    if (out / CARD).is_file():
        trajectories = Trajectories.open(out)
        trajectories.check(vars(setting))
        trajectories.check_network(Layout(module))
        stored = trajectories.card
        compute_with(threads_of(stored))
    check_disk("count", options.count, "keeping so many experts", options.count * Layout(module).size * 4, out)
    work = measure(module, spec.shape, (6.0 if options.sam else 3.0) * len(real) * epochs * options.count / mesh.size)
    compute = resolve_compute(machine(options), work, stored)
    compute = Compute(**mesh.agree(compute.to_json()), reasons=compute.reasons)
    for reason in compute.reasons:
        terminal.note(reason)
    real = whitened(real, whiten, None, terminal, mesh)
    engine = Engine(compute, terminal)
    trained = train_experts(engine, module, real, setting, out, options.count, epochs, terminal, mesh)
    return trained, epochs


def _epochs(options: argparse.Namespace, name: str, classes: int) -> int:
    """The epochs to train: no more than are kept."""
    if options.keep not in ("reachable", "all"):
        raise InputError("keep", options.keep, "choose reachable or all")
    most = reach(name, classes, options.ipc)
    if options.keep == "all":
        return options.epochs or EXPERT_EPOCHS
    return min(options.epochs or most, most)
