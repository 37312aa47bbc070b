"""What a set is worth: the test accuracy of fresh networks trained on it alone, beside random images of the same number."""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distillset.coresets import SELECTORS
from distillset.data.real import RealSet
from distillset.data.sources import Data
from distillset.data.synthetic import SyntheticSet
from distillset.engine import Compute, Engine, Work, measure
from distillset.engine.hardware import hardware
from distillset.errors import InputError
from distillset.evaluation.ledger import Ledger
from distillset.evaluation.protocol import Protocol, choose, whole
from distillset.keys import Key
from distillset.nets import build
from distillset.store import write_tensors
from distillset.training import Examples, Trainer

Report = Callable[[str, int, float], None]
"""Called after each network: artifact, networks done, accuracy."""


@dataclass(frozen=True)
class Row:
    """One line of an evaluation. ``mean`` and ``std`` (of the sample) are fractions over ``n`` = sets by networks trainings.

    ``sets`` is how many different sets were trained on: 1 for an artifact, ``n`` for random, which is redrawn each time.
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
    networks: tuple[str, ...] = ("convnet",),
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
        data: its ``test`` is what is tested on; its ``train``, the set that was distilled, gives the rows random and whole.
        artifact: what to call ``synthetic`` in its rows.
        networks: names that `distillset.nets.build` knows.
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
        InputError: an argument out of its range, or a test set that does not fit the synthetic one.
    """
    test, train = data.test, data.train
    if repeats < 1:
        raise InputError(f"--repeats {repeats}: must be at least 1")
    if test.spec.shape != synthetic.spec.shape or test.spec.classes != synthetic.spec.classes:
        raise InputError(
            f"test set {test.spec.name}: {test.spec.classes} classes of {test.spec.shape} do not fit the artifact's "
            f"{synthetic.spec.classes} of {synthetic.spec.shape}"
        )
    chosen = choose(protocol, str(synthetic.card.get("method", "")), synthetic.spec).with_epochs(epochs)
    subjects = list(_subjects(synthetic, train, artifact, chosen, baseline, with_whole, seed))
    rows = []
    for name in networks:
        for subject in subjects:
            compute = _compute(name, synthetic, subject, repeats, device, precision, compile)
            rows.append(_row(subject, name, test, synthetic, repeats, seed, compute, save_networks, ledger, report))
    return rows


def _subjects(
    synthetic: SyntheticSet, train: RealSet, artifact: str, protocol: Protocol, baseline: bool, with_whole: bool, seed: int
) -> Iterator[_Subject]:
    images = synthetic.images
    yield _Subject(artifact, protocol, synthetic.fingerprint(), lambda i: (_held(images), synthetic.labels), len(images))
    real = _as(train, synthetic)
    if baseline:
        ipc = synthetic.ipc

        def draw(i: int) -> tuple[Examples, Tensor]:
            rows = SELECTORS["random"](real, ipc, Key(seed)("baseline", i))
            return _held(real.rows(rows)), real.labels[rows]

        yield _Subject("random", protocol, f"{real.fingerprint()}-{ipc}", draw, ipc * real.spec.classes, redrawn=True)
    if with_whole:
        recipe = whole(len(real), real.spec)
        yield _Subject("whole", recipe, real.fingerprint(), lambda i: (real.rows, real.labels), len(real))


def _as(real: RealSet, synthetic: SyntheticSet) -> RealSet:
    """``real`` as the artifact sees it: the same normalisation for everything that is compared."""
    if real.spec == synthetic.spec:
        return real
    return RealSet(real.images, real.labels, synthetic.spec, partial=real.partial, fingerprint=real.fingerprint())


def _held(images: Tensor) -> Examples:
    return lambda rows: images[rows]


def _compute(
    network: str, synthetic: SyntheticSet, subject: _Subject, repeats: int, device: str, precision: str, compile: str  # noqa: A002
) -> Compute:
    passes = 3.0 * subject.size * (subject.protocol.recipe.epochs + 1) * repeats
    work: Work = measure(build(network, synthetic.spec), synthetic.spec.shape, passes)
    return Compute.resolve(device, precision, compile, work)


def _row(
    subject: _Subject, network: str, test: RealSet, synthetic: SyntheticSet, repeats: int, seed: int, compute: Compute,
    save_networks: str | Path | None, ledger: Ledger | None, report: Report | None,
) -> Row:
    engine = Engine(compute)
    module = build(network, synthetic.spec)
    trainer = Trainer(engine, module, subject.protocol.recipe)
    tested = _as(test, synthetic)
    accuracies, seconds = [], 0.0
    for i in range(repeats):
        key = Key(seed)("evaluate", network, i)
        entry = {
            "set": subject.fingerprint, "test": test.fingerprint(), "network": network, "seed": seed, "i": i,
            "recipe": asdict(subject.protocol.recipe), "precision": compute.precision, "spec": synthetic.spec.to_json(),
        }
        known = ledger.find(entry) if ledger and save_networks is None else None
        if known is None:
            start = time.monotonic()
            examples, labels = subject.draw(i)
            state = trainer.fit(_on(examples, engine.device), labels, key)
            accuracy = trainer.accuracy(state, _on(tested.rows, engine.device), tested.labels)
            known = {"accuracy": accuracy, "seconds": time.monotonic() - start}
            if ledger:
                ledger.add(entry, known)
            if save_networks is not None:
                path = Path(save_networks) / f"{subject.artifact.replace('/', '_')}-{network}-{i}.safetensors"
                write_tensors(path, state, {"network": network, "accuracy": accuracy, "seed": seed, "i": i})
        accuracies.append(known["accuracy"])
        seconds += known["seconds"]
        if report:
            report(subject.artifact, i + 1, known["accuracy"])
    values = torch.tensor(accuracies, dtype=torch.float64)
    std = float(values.std()) if len(values) > 1 else 0.0
    sets = repeats if subject.redrawn else 1
    return Row(
        subject.artifact, network, subject.protocol.name, float(values.mean()), std, repeats, sets, repeats, tuple(accuracies),
        round(seconds, 2), asdict(subject.protocol.recipe), compute.to_json(), hardware(engine.device),
    )


def _on(examples: Examples, device: torch.device) -> Examples:
    return lambda rows: examples(rows).to(device)
