"""The evaluator: trains networks on every set of an evaluation, with the same test set, seed and trainers for all."""

import re
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distillset.augment import packages
from distillset.data.real import RealSet
from distillset.data.spec import Spec
from distillset.engine import Compute, Engine, measure
from distillset.engine.hardware import forget_peak, hardware, peak
from distillset.errors import DivergedError, InterruptedRun
from distillset.evaluation.candidates import Candidate
from distillset.evaluation.ledger import Ledger
from distillset.evaluation.row import Row
from distillset.keys import STREAMS, Key
from distillset.machine import Machine
from distillset.mesh import Mesh, Solo
from distillset.nets import Network, State
from distillset.store import write_tensors
from distillset.training import Examples, Recipe, Trainer
from distillset.watch import Watcher


class Evaluator:
    """Trains networks on candidates and tests them.

    Args:
        spec: shape, classes and normalisation of all that is tried.
        test: what is tested on.
        seed: random seed.
        machine: what to compute on.
        ledger: what is kept of the networks; None keeps nothing.
        purpose: ``evaluate``; networks that serve another purpose are others.
        mesh: the ranks among which the networks of a row are shared; None is this process alone.
        watcher: is notified of each network, and may ask to stop after it.
    """

    def __init__(
        self,
        spec: Spec,
        test: RealSet,
        seed: int,
        machine: Machine,
        ledger: Ledger | None = None,
        purpose: str = "evaluate",
        mesh: Mesh | None = None,
        watcher: Watcher | None = None,
    ) -> None:
        self.spec, self.test, self.seed, self.machine = spec, test.normalised(spec), seed, machine
        self.ledger, self.purpose = ledger or Ledger(None), purpose
        self.mesh, self.watcher = mesh or Solo(), watcher or Watcher()
        self._trainers: dict[tuple[str, Recipe, Compute], Trainer] = {}

    def row(self, candidate: Candidate, network: Network, repeats: int) -> Row:
        """``repeats`` networks on a candidate; those that diverge are noted and counted, and are not in the mean.

        Raises:
            DivergedError: all of them did.
            InterruptedRun: the watcher asked to stop.
        """
        passes = 3.0 * candidate.size * (candidate.protocol.recipe.epochs + 1) * repeats
        compute = Compute.resolve(self.machine, measure(network.module, self.spec.shape, passes / self.mesh.size))
        trainings: list[dict[str, float]] = [{} for _ in range(repeats)]
        trainer = self._trainer(network, candidate.protocol.recipe, compute)
        mine = list(self.mesh.share(range(repeats)))
        size = trainer.together(self.spec.shape, candidate.size)
        for group in [mine[start : start + size] for start in range(0, len(mine), size)]:
            for i, known in zip(group, self._group(candidate, network, compute, trainer, group), strict=True):
                if "diverged" in known:
                    fault = f"network {i + 1} of {repeats} ({network.title}) diverged and has no accuracy"
                    self.watcher.note(f"{candidate.artifact}: {fault}")
                else:
                    self.watcher.network(candidate.artifact, i + 1, repeats, known["accuracy"])
                trainings[i] = known
            if self.watcher.stop():
                raise InterruptedRun(
                    f"stopped between two networks of {candidate.artifact}; what is in the ledger stays there"
                )
        trainings = self._everywhere(trainings)
        accuracies = tuple(known["accuracy"] for known in trainings if not known["diverged"])
        if not accuracies:
            raise DivergedError(
                f"{candidate.artifact}: the logits of all {repeats} networks ({network.title}) are not finite after "
                f"training by protocol {candidate.protocol.name} at learning rate "
                f"{candidate.protocol.recipe.rate:g}; there is no accuracy"
            )
        n = len(accuracies)
        return Row(
            artifact=candidate.artifact,
            network=network.title,
            protocol=candidate.protocol.name,
            labels=candidate.protocol.labels,
            mean=statistics.fmean(accuracies),
            std=statistics.stdev(accuracies) if n > 1 else 0.0,
            n=n,
            sets=n if candidate.redrawn else 1,
            networks=1 if candidate.redrawn else n,
            accuracies=accuracies,
            seconds=round(sum(known["seconds"] for known in trainings), 2),
            memory=int(max(known["memory"] for known in trainings)) or None,
            bytes=candidate.bytes,
            recipe=asdict(candidate.protocol.recipe),
            compute=compute.to_json(),
            hardware=hardware(torch.device(compute.device)),
            diverged=repeats - n,
        )

    def _everywhere(self, trainings: list[dict[str, float]]) -> list[dict[str, float]]:
        """What each rank found of its networks, on every rank."""
        names = ("accuracy", "seconds", "memory", "diverged")
        table = torch.tensor([[known.get(name, 0.0) for name in names] for known in trainings], dtype=torch.float64)
        self.mesh.add([table])
        return [dict(zip(names, row, strict=True)) for row in table.tolist()]

    def _group(
        self, candidate: Candidate, network: Network, compute: Compute, trainer: Trainer, group: Sequence[int]
    ) -> list[dict[str, float]]:
        """What is known of the networks ``group``; those that are not known yet are trained side by side."""
        entries = {i: self._entry(candidate, network, compute, i) for i in group}
        known = {i: self.ledger.find(entries[i]) for i in group}
        missing = [i for i in group if known[i] is None]
        for i, new in zip(missing, self._train(candidate, network, trainer, missing) if missing else [], strict=True):
            known[i] = new
            if "diverged" not in new:
                self.ledger.add(entries[i], new)
        return [training for i in group if (training := known[i]) is not None]

    def _train(
        self, candidate: Candidate, network: Network, trainer: Trainer, group: Sequence[int]
    ) -> list[dict[str, float]]:
        """Accuracy of each network of ``group`` on its set, its part of the seconds, and the most bytes in use;
        ``diverged`` in place of the accuracy of one that has none.

        Compiling, which serves all, is in no seconds.
        """
        device = trainer.engine.device
        sets = [candidate.draw(i, device, Key(self.seed)(self.purpose, network.name, i)) for i in group]

        def tests(rows: Tensor) -> Tensor:
            return self.test.rows(rows, device)

        trainer.compile_for(sets, tests, len(self.test))
        start = time.monotonic()
        forget_peak(device)
        states = trainer.fit_together(sets)
        accuracies = [self._accuracy(trainer, state, tests) for state in states]
        if self.ledger.networks:
            for i, state, accuracy in zip(group, states, accuracies, strict=True):
                if accuracy is not None:
                    self._save(self.ledger.networks, candidate, network, i, state, accuracy)
        seconds = (time.monotonic() - start) / len(group)
        spent = {"seconds": seconds, "memory": float(peak(device))}
        return [{**spent, **({"diverged": 1.0} if a is None else {"accuracy": a})} for a in accuracies]

    def _accuracy(self, trainer: Trainer, state: State, tests: Examples) -> float | None:
        """On the test set; None where the network diverged."""
        try:
            return trainer.accuracy(state, tests, self.test.labels)
        except DivergedError:
            return None

    def _save(
        self, folder: Path, candidate: Candidate, network: Network, i: int, state: State, accuracy: float
    ) -> None:
        title = network.title
        meta = {"network": title, "accuracy": accuracy, "seed": self.seed, "i": i, "spec": self.spec.to_json()}
        write_tensors(folder / f"{_plain(candidate.artifact)}-{_plain(title)}-{i}.safetensors", state, meta)

    def _trainer(self, network: Network, recipe: Recipe, compute: Compute) -> Trainer:
        """Kept, so that what was compiled for one set serves the next."""
        wanted = (network.name, recipe, replace(compute, reasons=()))
        if wanted not in self._trainers:
            self._trainers[wanted] = Trainer(Engine(compute, self.watcher), network.module, recipe)
        return self._trainers[wanted]

    def _entry(self, candidate: Candidate, network: Network, compute: Compute, i: int) -> dict[str, Any]:
        """All that an accuracy depends on."""
        purpose: dict[str, Any] = {} if self.purpose == "evaluate" else {"purpose": self.purpose}
        if brought := packages(candidate.protocol.recipe.augmentation):
            purpose["packages"] = brought
        return {
            "set": candidate.fingerprint,
            "test": self.test.fingerprint(),
            "spec": self.spec.to_json(),
            "network": network.name,
            "recipe": asdict(candidate.protocol.recipe),
            "precision": compute.precision,
            "seed": self.seed,
            "i": i,
            "streams": STREAMS,
            **purpose,
            **({} if self.test.whitening is None else {"whitening": self.test.whitening.fingerprint()}),
        }


def _plain(title: str) -> str:
    """What of a title can be in the name of a file."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", title)[-100:].strip("-.")
