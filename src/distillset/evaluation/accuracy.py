"""What a set is worth: the test accuracy of fresh networks trained on it alone, beside random images of the same
number.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from torch import nn

from distillset.arguments import of_kind, path_of, text, whole
from distillset.coresets import Expert, expert, notes_on_repeats
from distillset.data.synthetic import SyntheticSet
from distillset.errors import InputError
from distillset.evaluation.beside import candidates_beside, names_beside
from distillset.evaluation.candidates import alike, of_set
from distillset.evaluation.checks import check_fit
from distillset.evaluation.evaluator import Evaluator
from distillset.evaluation.ledger import Ledger
from distillset.evaluation.protocol import Protocol, ResolvedProtocol
from distillset.evaluation.row import Row
from distillset.evaluation.snapshots import VALIDATION, VALIDATION_KEY, Snapshots, trial
from distillset.machine import Machine
from distillset.mesh import join
from distillset.nets import Network, Source, pool
from distillset.sources.load import Data, with_test
from distillset.sources.picture_sets import holds_pictures, read_pictures
from distillset.watch import Watcher, watching

MOST_REPEATS = 100_000
"""Networks per row: what each of them found is kept until the last."""


def evaluate(
    synthetic: SyntheticSet | str | PathLike[str],
    data: Any,
    *,
    networks: Source | Sequence[Source] = ("convnet",),
    repeats: int = 5,
    protocol: Protocol | str = "auto",
    beside: Sequence[str] = ("random",),
    snapshots: Snapshots | None = None,
    seed: int = 0,
    artifact: str | None = None,
    machine: Machine | str = "auto",
    ledger: Ledger | str | Path | None = None,
    watcher: Watcher | None = None,
) -> list[Row]:
    """Train ``repeats`` fresh networks of each kind on ``synthetic`` and test them; ranks of `torchrun` share them.

    Args:
        synthetic: the set, with hard or soft labels; or its folder; or a folder of pictures, one sub-folder per class.
        data: `Data`, or whatever `distillset.load` takes. Networks are tested on its ``test``. Its ``train``, the set
            that was distilled, gives the real images of ``beside``.
        networks: published names, pools (M, B, W, D, A, P, N), ``all``, or your own: see ``network`` of
            `distillset.distill`.
        repeats: networks to train of each kind on each set, from 1 to 100,000.
        protocol: how they are trained: a published name, ``auto`` for that of the set's method, or a `Protocol` that
            changes epochs, augmentation or labels.
        beside: what to evaluate as well, in this order: ``random`` is as many random real images, redrawn for every
            network; ``soft-random`` the same with the soft labels of an expert (`distillset.coresets.expert`);
            ``whole`` is the whole real set, under its own protocol. ``()`` is nothing.
        snapshots: other states of the same set to choose from; None is the set as it is.
        seed: random seed, a whole number.
        artifact: what to call ``synthetic`` in its rows; None is its folder, or ``synthetic``.
        machine: what to compute on, as in `distillset.distill`; CPU threads are those that PyTorch has.
        ledger: where accuracies are stored, so that no network is trained twice: a `Ledger`, or a folder; None stores
            nothing.
        watcher: is notified of each network and of other long work, and may ask to stop; see `distillset.Watcher`.

    Returns:
        For every network a row for the set, and a row for each set named in ``beside``.

    Raises:
        InputError: an argument out of its range, or a test or training set that does not fit the synthetic one.
        DivergedError: the logits of all networks of a row are not finite; of some, the row says how many.
        InterruptedRun: the watcher asked to stop.
    """
    evaluation = Evaluation(
        synthetic, data, protocol, beside, snapshots, seed, artifact, machine, Ledger.of(ledger), watching(watcher)
    )
    return evaluation.rows(networks, repeats)


class Evaluation:
    """An evaluation whose arguments have been checked. The arguments are those of `evaluate`."""

    def __init__(
        self,
        synthetic: Any,
        data: Any,
        protocol: Protocol | str,
        beside: Sequence[str],
        snapshots: Snapshots | None,
        seed: int,
        artifact: str | None,
        machine: Machine | str,
        ledger: Ledger,
        watcher: Watcher,
    ) -> None:
        data = with_test(data, watcher)
        synthetic, self.artifact = _artifact(synthetic, artifact, data, watcher)
        self.seed, self.machine, self.beside = whole("seed", seed), Machine.of(machine), names_beside(beside)
        self.protocol, self.ledger, self.watcher = Protocol.of(protocol), ledger, watcher
        if snapshots is not None:
            of_kind("snapshots", snapshots, Snapshots, "Snapshots, or None")
        check_fit("test", data.test, synthetic)
        validates = snapshots is not None and snapshots.select == "validation"
        if self.beside or validates:
            check_fit("training", data.train, synthetic)
        if "soft-random" in self.beside and synthetic.whitening is not None:
            raise InputError(
                "beside",
                "soft-random",
                "its labels come from a network trained on unwhitened images, and this set is whitened; leave it out",
            )
        self.fingerprint = synthetic.fingerprint()
        if self.protocol.labels == "hard":
            synthetic = replace(synthetic, labels=synthetic.classes)
            snapshots = snapshots and snapshots.with_hard_labels()
        self.synthetic, self.data, self.snapshots = synthetic, data, snapshots
        self.mesh = join(self.machine.device)
        test = alike(data.test, synthetic)
        self.evaluator = Evaluator(
            synthetic.spec, test, self.seed, self.machine, ledger, mesh=self.mesh, watcher=watcher
        )
        self.referee: Evaluator | None = None
        if validates:
            held = alike(data.train.split(VALIDATION, VALIDATION_KEY)[1], synthetic)
            accuracies = Ledger(ledger.folder)
            self.referee = Evaluator(
                synthetic.spec, held, self.seed, self.machine, accuracies, "validation", self.mesh, watcher
            )

    def rows(self, networks: Source | Sequence[Source], repeats: int, itself: bool = True) -> list[Row]:
        """The rows; without ``itself`` only of what stands beside the set."""
        repeats, spec = _networks(repeats), self.synthetic.spec
        built = [Network.of(source, spec) for source in _named(networks)]
        method = str(self.synthetic.card.get("method", ""))
        protocols = [self.protocol.resolve(method, spec, network.name) for network in built]
        real = alike(self.data.train, self.synthetic) if self.beside else None
        taught = self._expert() if "soft-random" in self.beside else None
        if {"random", "soft-random"} & set(self.beside):
            for line in notes_on_repeats(self.data.train, self.synthetic.ipc):
                self.watcher.note(f"random images: {line}")
        rows: list[Row] = []
        for network, protocol in zip(built, protocols, strict=True):
            if itself:
                rows += self._itself(network, protocol, repeats)
            if real is not None:
                beside = candidates_beside(self.beside, real, self.synthetic.ipc, self.seed, protocol, taught)
                rows += [self.evaluator.row(candidate, network, repeats) for candidate in beside]
        return [replace(row, fingerprint=self.fingerprint) for row in rows]

    def _expert(self) -> Expert:
        """The network whose labels random images have."""
        real = self.data.train.normalised(self.synthetic.spec)
        return expert(real, seed=self.seed, machine=self.machine, watcher=self.watcher, mesh=self.mesh)

    def _itself(self, network: Network, protocol: ResolvedProtocol, repeats: int) -> list[Row]:
        """The rows of the artifact: the set or the snapshot that a referee chooses, and what the test set would."""
        artifact, rows, sets = self.artifact, [], self.snapshots.sets if self.snapshots else {}
        steps = ", ".join(map(str, sets))
        if self.referee:
            step, best = trial(self.referee, sets, artifact, protocol, network, repeats)
            row = self.evaluator.row(of_set(sets[step], artifact, protocol), network, repeats)
            why = f"validation: step {step} of {steps}; {best.mean:.4f} on {len(self.referee.test)} training images"
            rows.append(replace(row, chosen=why, step=step))
        else:
            rows.append(self.evaluator.row(of_set(self.synthetic, artifact, protocol), network, repeats))
        if self.snapshots and self.snapshots.best_on_test:
            step, row = trial(self.evaluator, sets, artifact, protocol, network, repeats)
            why = f"the test set itself: step {step} of {steps}"
            rows.append(replace(row, artifact=f"{artifact} best-on-test", chosen=why, step=step))
        return rows


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


def _named(networks: Source | Sequence[Source]) -> list[Source]:
    """The networks with the names of every pool in its place; a single letter is a pool's.

    Raises:
        InputError: there is none.
    """
    sources: list[Source] = []
    if isinstance(networks, str | nn.Module) or not isinstance(networks, Iterable):
        networks = (networks,)
    for source in networks:
        if not isinstance(source, str | nn.Module) and not callable(source):
            raise InputError("networks", source, "each must be a name, an nn.Module, or a function that makes one")
        if isinstance(source, str) and (len(source) == 1 or source.lower() == "all"):
            sources += pool(source)
        else:
            sources.append(source)
    return list(dict.fromkeys(sources))


def _networks(repeats: int) -> int:
    """``repeats``, checked.

    Raises:
        InputError: it is no whole number from 1 to `MOST_REPEATS`.
    """
    count = whole("repeats", repeats, 1)
    if count > MOST_REPEATS:
        raise InputError("repeats", count, f"must be at most {MOST_REPEATS}")
    return count
