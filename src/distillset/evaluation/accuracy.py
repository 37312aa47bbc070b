"""What a set is worth: the test accuracy of fresh networks trained on it alone, beside random images of the same
number.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from torch import nn

from distillset.arguments import of_kind, path_of, text, truth, whole
from distillset.coresets import Expert, expert, told_twice
from distillset.data.synthetic import SyntheticSet
from distillset.errors import InputError
from distillset.evaluation.bench import Bench
from distillset.evaluation.checks import check_fit
from distillset.evaluation.ledger import Ledger
from distillset.evaluation.protocol import Protocol, choose
from distillset.evaluation.row import Row
from distillset.evaluation.snapshots import VALIDATION, VALIDATION_KEY, trial
from distillset.evaluation.subjects import Subject, alike, of_random, of_set, of_whole
from distillset.machine import Machine
from distillset.mesh import join
from distillset.nets import Network, Source, pool
from distillset.sources.load import Data, with_test
from distillset.sources.picture_sets import holds_pictures, read_pictures
from distillset.watch import Watcher, watching

MOST_REPEATS = 100_000
"""Networks a row: what each of them found is kept until the last."""


def evaluate(
    synthetic: SyntheticSet | str | PathLike[str],
    data: Any,
    *,
    artifact: str | None = None,
    networks: Source | Sequence[Source] = ("convnet",),
    repeats: int = 5,
    protocol: str = "auto",
    epochs: int | None = None,
    augment: str | None = None,
    hard_labels: bool = False,
    own: bool = True,
    baseline: bool = True,
    soft_random: bool = False,
    with_whole: bool = False,
    snapshots: Mapping[int, SyntheticSet] | None = None,
    select: str = "last",
    best_on_test: bool = False,
    seed: int = 0,
    machine: Machine | str = "auto",
    save_networks: str | Path | None = None,
    ledger: Ledger | None = None,
    watcher: Watcher | None = None,
) -> list[Row]:
    """Train ``repeats`` fresh networks of each kind on ``synthetic`` and test them; ranks of `torchrun` share them.

    Args:
        synthetic: the set, with hard or soft labels, or the folder of one, or a folder with a sub-folder of pictures a
            class.
        data: `Data`, or whatever else `distillset.load` takes with a test set or holds one out of; its ``test`` is what
            is tested on; its ``train``, the set that was distilled, gives the other rows.
        artifact: what to call ``synthetic`` in its rows; None is its folder, or ``synthetic``.
        networks: published names, pools (M, B, W, D, A, P, N), ``all``, or your own: see ``network`` of
            `distillset.distill`.
        repeats: networks a row.
        protocol: a name of `PROTOCOLS`, or ``auto``: the published one of the set's method.
        epochs: instead of the protocol's; its name then says so.
        augment: a strategy or ``none`` instead of the protocol's; its name then says so.
        hard_labels: whether the most probable class stands for soft labels.
        own: whether ``synthetic`` itself is; without it only gives the shape of what is beside it.
        baseline: whether random real images, redrawn for every network, are evaluated beside.
        soft_random: whether random real images with the soft labels of an expert are, see `distillset.coresets.expert`.
        with_whole: whether the whole real set is, under its own protocol.
        snapshots: other states of the same set, by step.
        select: ``last`` evaluates ``synthetic``; ``validation`` the snapshot that is best on a tenth of ``data.train``,
            which the distillation has seen, with networks of its own.
        best_on_test: whether the snapshot that is best on the test set has a row under that name. It has been chosen by
            what it is measured with: its accuracy is not one to report as the set's.
        seed: names all random streams.
        machine: what to compute on, as in `distillset.distill`; CPU threads are those that PyTorch has.
        save_networks: a folder for the trained networks, one safetensors file each.
        ledger: remembers the accuracy of every network trained, so that nothing is trained twice.
        watcher: hears of each network and of what else takes long, and may ask to stop; see `distillset.Watcher`.

    Raises:
        InputError: an argument out of its range, or a test or training set that does not fit the synthetic one.
        DivergedError: the logits of all networks of a row are not finite; of some, the row says how many.
        InterruptedRun: the watcher asked to stop.
    """
    watcher = watching(watcher)
    data = with_test(data, watcher)
    synthetic, artifact = _artifact(synthetic, artifact, data, watcher)
    repeats, seed, machine = _networks(repeats), whole("seed", seed), Machine.of(machine)
    _check_kinds(protocol, augment, select, (hard_labels, own, baseline, soft_random, with_whole, best_on_test))
    _check_places(snapshots, ledger)
    epochs = None if epochs is None else whole("epochs", epochs)
    if select not in ("last", "validation"):
        raise InputError("select", select, "choose last or validation")
    if (select == "validation" or best_on_test) and not snapshots:
        raise InputError(
            "snapshots",
            snapshots,
            "`select='validation'` and `best_on_test=True` choose among the snapshots of a run; there are none",
        )
    check_fit("test", data.test, synthetic)
    if baseline or soft_random or with_whole or select == "validation":
        check_fit("training", data.train, synthetic)
    built = [Network.of(source, synthetic.spec) for source in _named(networks)]
    fingerprint = synthetic.fingerprint()
    if hard_labels:
        synthetic = replace(synthetic, labels=synthetic.classes)
        snapshots = {step: replace(other, labels=other.classes) for step, other in (snapshots or {}).items()}
    method = str(synthetic.card.get("method", ""))
    protocols = [
        choose(protocol, method, synthetic.spec, network.name).with_epochs(epochs).with_augmentation(augment)
        for network in built
    ]

    mesh = join(machine.device)
    folder = path_of("save_networks", save_networks) if save_networks is not None else None
    bench = Bench(
        synthetic.spec, alike(data.test, synthetic), seed, machine, ledger, folder, mesh=mesh, watcher=watcher
    )
    taught = None
    if soft_random and synthetic.whitening is not None:
        raise InputError(
            "soft_random", True, "its labels come from a network that knows no whitened images; leave it out"
        )
    if soft_random:
        taught = expert(
            data.train.normalised(synthetic.spec),
            seed=seed,
            machine=machine,
            watcher=watcher,
            mesh=mesh,
        )
    for line in told_twice(data.train, synthetic.ipc) if baseline or soft_random else ():
        watcher.note(f"random images: {line}")
    others = _others(synthetic, data, seed, baseline, taught, with_whole)
    referee = None
    if select == "validation":
        held = alike(data.train.split(VALIDATION, VALIDATION_KEY)[1], synthetic)
        referee = Bench(synthetic.spec, held, seed, machine, ledger, None, "validation", mesh, watcher)
    rows = []
    for network, chosen in zip(built, protocols, strict=True):
        if own:
            subject = of_set(synthetic, artifact, chosen)
            rows += _own(bench, referee, subject, snapshots or {}, chosen, network, repeats, best_on_test)
        rows += [bench.row(subject, network, repeats) for subject in others(chosen)]
    return [replace(row, fingerprint=fingerprint) for row in rows]


def _check_kinds(protocol: Any, augment: Any, select: Any, truths: Sequence[Any]) -> None:
    """Whether plain arguments are of their kinds.

    Raises:
        InputError: names the first that is not.
    """
    text("protocol", protocol)
    text("select", select)
    if augment is not None:
        text("augment", augment)
    names = ("hard_labels", "own", "baseline", "soft_random", "with_whole", "best_on_test")
    for name, value in zip(names, truths, strict=True):
        truth(name, value)


def _check_places(snapshots: Any, ledger: Any) -> None:
    """The same of where things come from and go to."""
    if ledger is not None:
        of_kind("ledger", ledger, Ledger, "a Ledger")
    if snapshots is not None:
        of_kind("snapshots", snapshots, Mapping, "a mapping of steps to sets")


def _artifact(synthetic: Any, name: str | None, data: Data, watcher: Watcher) -> tuple[SyntheticSet, str]:
    """The set, read where it is a folder's path, and what to call it."""
    if isinstance(synthetic, SyntheticSet):
        return synthetic, "synthetic" if name is None else text("artifact", name)
    if not isinstance(synthetic, str | PathLike):
        raise InputError("synthetic", synthetic, "must be a SyntheticSet, or the folder of one")
    path, name = fspath(path_of("synthetic", synthetic)), text("artifact", fspath(synthetic) if name is None else name)
    if holds_pictures(path):
        return read_pictures(path, data.train.spec, watcher), name
    return SyntheticSet.load(path), name


def _own(
    bench: Bench,
    referee: Bench | None,
    subject: Subject,
    snapshots: Mapping[int, SyntheticSet],
    protocol: Protocol,
    network: Network,
    repeats: int,
    best_on_test: bool,
) -> list[Row]:
    """The rows of the artifact itself: the set or the snapshot that a referee chooses, and what the test set would."""
    artifact, rows, steps = subject.artifact, [], ", ".join(map(str, snapshots))
    if referee:
        step, found = trial(referee, snapshots, artifact, protocol, network, repeats)
        row = bench.row(of_set(snapshots[step], artifact, protocol), network, repeats)
        why = f"validation: step {step} of {steps}; {found.mean:.4f} on {len(referee.test)} training images"
        rows.append(replace(row, chosen=why, step=step))
    else:
        rows.append(bench.row(subject, network, repeats))
    if best_on_test:
        step, row = trial(bench, snapshots, artifact, protocol, network, repeats)
        why = f"the test set itself: step {step} of {steps}"
        rows.append(replace(row, artifact=f"{artifact} best-on-test", chosen=why, step=step))
    return rows


def _named(networks: Source | Sequence[Source]) -> list[Source]:
    """The networks with the names of every pool in its place; a single letter is a pool's.

    Raises:
        InputError: there is none.
    """
    found: list[Source] = []
    if isinstance(networks, str | nn.Module) or not isinstance(networks, Iterable):
        networks = (networks,)
    for source in networks:
        if not isinstance(source, str | nn.Module) and not callable(source):
            raise InputError("networks", source, "each must be a name, an nn.Module, or a function that makes one")
        if isinstance(source, str) and (len(source) == 1 or source.lower() == "all"):
            found += pool(source)
        else:
            found.append(source)
    return list(dict.fromkeys(found))


def _others(
    synthetic: SyntheticSet, data: Data, seed: int, baseline: bool, taught: Expert | None, with_whole: bool
) -> Callable[[Protocol], list[Subject]]:
    """What is evaluated beside the artifact, normalised as it is, by the protocol of each network."""
    if not (baseline or taught or with_whole):
        return lambda protocol: []
    real, ipc = alike(data.train, synthetic), synthetic.ipc

    def subjects(protocol: Protocol) -> list[Subject]:
        found = [of_random(real, ipc, seed, protocol)] if baseline else []
        found += [of_random(real, ipc, seed, protocol, taught)] if taught else []
        return [*found, of_whole(real)] if with_whole else found

    return subjects


def _networks(repeats: int) -> int:
    """``repeats``, checked.

    Raises:
        InputError: it is no whole number from 1 to `MOST_REPEATS`.
    """
    found = whole("repeats", repeats, 1)
    if found > MOST_REPEATS:
        raise InputError("repeats", found, f"must be at most {MOST_REPEATS}")
    return found
