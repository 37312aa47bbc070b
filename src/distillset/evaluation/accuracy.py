"""What a set is worth: the test accuracy of fresh networks trained on it alone, beside random images of the same
number.
"""

import re
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distillset.coresets import SELECTORS
from distillset.data.real import RealSet
from distillset.data.sources import Data
from distillset.data.spec import Spec
from distillset.data.synthetic import SyntheticSet
from distillset.data.whiten import Whitening
from distillset.engine import Compute, Engine, measure
from distillset.engine.hardware import hardware
from distillset.errors import InputError
from distillset.evaluation.ledger import Ledger
from distillset.evaluation.protocol import Protocol, choose, whole
from distillset.keys import Key
from distillset.nets import Network, Source
from distillset.store import write_tensors
from distillset.training import Examples, Recipe, Trainer

Report = Callable[[str, int, float], None]
"""Called after each network: artifact, networks done, accuracy."""


@dataclass(frozen=True)
class Row:
    """One line of an evaluation. ``mean`` and ``std`` (of the sample) are fractions over ``n`` = sets by networks
    trainings.

    ``sets`` is how many different sets were trained on: 1 for an artifact, ``n`` for random, which is redrawn each
    time.
    """

    artifact: str
    network: str
    protocol: str
    mean: float
    std: float
    n: int
    sets: int
    networks: int
    accuracies: tuple[float, ...]
    seconds: float
    recipe: dict[str, Any]
    compute: dict[str, Any]
    hardware: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "accuracies": list(self.accuracies)}


@dataclass(frozen=True)
class _Subject:
    """A kind of set under evaluation: the i-th set to train on, and how."""

    artifact: str
    protocol: Protocol
    fingerprint: str
    draw: Callable[[int], tuple[Examples, Tensor]]
    size: int
    redrawn: bool = False


def evaluate(
    synthetic: SyntheticSet,
    data: Data,
    *,
    artifact: str = "synthetic",
    networks: Sequence[Source] = ("convnet",),
    repeats: int = 5,
    protocol: str = "auto",
    epochs: int | None = None,
    baseline: bool = True,
    with_whole: bool = False,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    compile: str = "auto",  # noqa: A002 (the flag's name)
    save_networks: str | Path | None = None,
    ledger: Ledger | None = None,
    report: Report | None = None,
) -> list[Row]:
    """Train ``repeats`` fresh networks of each kind on ``synthetic`` and test them.

    Args:
        synthetic: the set.
        data: its ``test`` is what is tested on; its ``train``, the set that was distilled, gives the rows random and
            whole.
        artifact: what to call ``synthetic`` in its rows.
        networks: published names, or your own: see ``network`` of `distillset.distill`.
        repeats: networks a row.
        protocol: a name of `PROTOCOLS`, or ``auto``: the published one of the set's method.
        epochs: instead of the protocol's; its name then says so.
        baseline: whether random real images, redrawn for every network, are evaluated beside.
        with_whole: whether the whole real set is, under its own protocol.
        seed: names all random streams.
        device, precision, compile: as in `distillset.distill`.
        save_networks: a folder for the trained networks, one safetensors file each.
        ledger: remembers the accuracy of every network trained, so that nothing is trained twice.
        report: is told of each network.

    Raises:
        InputError: an argument out of its range, or a test or training set that does not fit the synthetic one.
    """
    test, train = data.test, data.train
    if repeats < 1:
        raise InputError(f"--repeats {repeats}: must be at least 1")
    _check_fit("test", test, synthetic.spec)
    if baseline or with_whole:
        _check_fit("training", train, synthetic.spec)
    chosen = choose(protocol, str(synthetic.card.get("method", "")), synthetic.spec).with_epochs(epochs)
    subjects = list(_subjects(synthetic, train, artifact, chosen, baseline, with_whole, seed))
    kept = Path(save_networks) if save_networks else None
    bench = _Bench(synthetic.spec, synthetic.whitening, test, seed, ledger, kept, report)
    rows = []
    for network in [Network.of(source, synthetic.spec) for source in networks]:
        for subject in subjects:
            passes = 3.0 * subject.size * (subject.protocol.recipe.epochs + 1) * repeats
            work = measure(network.module, synthetic.spec.shape, passes)
            rows.append(bench.row(subject, network, repeats, Compute.resolve(device, precision, compile, work)))
    return rows


def _check_fit(part: str, real: RealSet, spec: Spec) -> None:
    if real.spec.shape != spec.shape or real.spec.classes != spec.classes:
        raise InputError(
            f"{part} set {real.spec.name}: {real.spec.classes} classes of {real.spec.shape} do not fit the artifact's "
            f"{spec.classes} of {spec.shape}"
        )
    numbered = tuple(map(str, range(spec.classes)))
    if numbered in (real.spec.class_names, spec.class_names):
        return  # of one of them no names are known
    for label, (found, needed) in enumerate(zip(real.spec.class_names, spec.class_names, strict=True)):
        if found != needed:
            raise InputError(
                f"{part} set {real.spec.name}: class {label} is {found}, but the artifact's is {needed}; --classes "
                "brings the classes into the artifact's order"
            )


def _subjects(
    synthetic: SyntheticSet,
    train: RealSet,
    artifact: str,
    protocol: Protocol,
    baseline: bool,
    with_whole: bool,
    seed: int,
) -> Iterator[_Subject]:
    images = synthetic.images
    yield _Subject(
        artifact,
        protocol.at(synthetic.lr, synthetic.labels.is_floating_point()),
        synthetic.fingerprint(),
        lambda i: (_held(images), synthetic.labels),
        len(images),
    )
    real = _as(train, synthetic.spec, synthetic.whitening)
    if baseline:
        ipc = synthetic.ipc

        def draw(i: int) -> tuple[Examples, Tensor]:
            rows = SELECTORS["random"](real, ipc, Key(seed)("baseline", i))
            return _held(real.rows(rows)), real.labels[rows]

        yield _Subject("random", protocol, f"{real.fingerprint()}-{ipc}", draw, ipc * real.spec.classes, redrawn=True)
    if with_whole:
        recipe = whole(len(real), real.spec)
        yield _Subject("whole", recipe, real.fingerprint(), lambda i: (real.rows, real.labels), len(real))


class _Bench:
    """Where every set of an evaluation is tried: the same test set, seed and trainers for all."""

    def __init__(
        self,
        spec: Spec,
        whitening: Whitening | None,
        test: RealSet,
        seed: int,
        ledger: Ledger | None,
        save_networks: Path | None,
        report: Report | None,
    ) -> None:
        self.spec, self.test, self.seed = spec, _as(test, spec, whitening), seed
        self.ledger, self.save_networks, self.report = ledger, save_networks, report
        self._trainers: dict[tuple[str, Recipe, Compute], Trainer] = {}

    def row(self, subject: _Subject, network: Network, repeats: int, compute: Compute) -> Row:
        """``repeats`` networks on a subject."""
        found = []
        for i in range(repeats):
            entry = self._entry(subject, network, compute, i)
            known = self.ledger.find(entry) if self.ledger and not self.save_networks else None
            if known is None:
                known = self._train(subject, network, compute, i)
                if self.ledger:
                    self.ledger.add(entry, known)
            if self.report:
                self.report(subject.artifact, i + 1, known["accuracy"])
            found.append(known)
        accuracies = tuple(known["accuracy"] for known in found)
        return Row(
            artifact=subject.artifact,
            network=network.title,
            protocol=subject.protocol.name,
            mean=statistics.fmean(accuracies),
            std=statistics.stdev(accuracies) if repeats > 1 else 0.0,
            n=repeats,
            sets=repeats if subject.redrawn else 1,
            networks=1 if subject.redrawn else repeats,
            accuracies=accuracies,
            seconds=round(sum(known["seconds"] for known in found), 2),
            recipe=asdict(subject.protocol.recipe),
            compute=compute.to_json(),
            hardware=hardware(torch.device(compute.device)),
        )

    def _train(self, subject: _Subject, network: Network, compute: Compute, i: int) -> dict[str, float]:
        """Accuracy of the ``i``-th network on the ``i``-th set, and the seconds it took."""
        start = time.monotonic()
        trainer, device = self._trainer(network, subject.protocol.recipe, compute), torch.device(compute.device)
        examples, labels = subject.draw(i)
        state = trainer.fit(_on(examples, device), labels, Key(self.seed)("evaluate", network.name, i))
        accuracy = trainer.accuracy(state, _on(self.test.rows, device), self.test.labels)
        if self.save_networks:
            artifact, title = _plain(subject.artifact), _plain(network.title)
            file = f"{artifact}-{title}-{i}.safetensors"
            meta = {
                "network": network.title,
                "accuracy": accuracy,
                "seed": self.seed,
                "i": i,
                "spec": self.spec.to_json(),
            }
            write_tensors(self.save_networks / file, state, meta)
        return {"accuracy": accuracy, "seconds": time.monotonic() - start}

    def _trainer(self, network: Network, recipe: Recipe, compute: Compute) -> Trainer:
        """Kept, so that what was compiled for one set serves the next."""
        wanted = (network.name, recipe, replace(compute, reasons=()))
        if wanted not in self._trainers:
            self._trainers[wanted] = Trainer(Engine(compute), network.module, recipe)
        return self._trainers[wanted]

    def _entry(self, subject: _Subject, network: Network, compute: Compute, i: int) -> dict[str, Any]:
        """All that an accuracy depends on."""
        whitening = self.test.whitening
        return {
            **({} if whitening is None else {"whitening": whitening.fingerprint()}),
            "set": subject.fingerprint,
            "test": self.test.fingerprint(),
            "spec": self.spec.to_json(),
            "network": network.name,
            "recipe": asdict(subject.protocol.recipe),
            "precision": compute.precision,
            "seed": self.seed,
            "i": i,
        }


def _as(real: RealSet, spec: Spec, whitening: Whitening | None) -> RealSet:
    """``real`` normalised or whitened as the artifact is: the same for everything that is compared."""
    if real.spec == spec and whitening is None and real.whitening is None:
        return real
    return RealSet(
        real.images, real.labels, spec, partial=real.partial, fingerprint=real.fingerprint(), whitening=whitening
    )


def _held(images: Tensor) -> Examples:
    return lambda rows: images[rows]


def _on(examples: Examples, device: torch.device) -> Examples:
    return lambda rows: examples(rows).to(device)


def _plain(title: str) -> str:
    """What of a title can be in the name of a file."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", title).strip("-.")
