"""Class-incremental learning with a fixed memory per class, filled by any selector or distilled by the run itself.

Classes arrive in steps. At each the new classes' images are there and everything earlier is gone but for its memory of
``ipc`` images per class: the memory of the new classes is made of their own images alone, joined to what is kept, and a
network is trained from scratch on all of it (GDumb, ECCV 2020, as the DM paper, WACV 2023, uses it). Labels are global:
every network has an output for every class of the data, and is tested on all classes seen so far.

Deviation: where a step brings one class alone, a classifier needs a second; what is remembered of earlier classes
stands in for it, noise in the first step, and what is made of that is thrown away.
"""

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from distillset.arguments import path_of, several, whole
from distillset.data.real import RealSet
from distillset.data.synthetic import SyntheticSet, versions
from distillset.engine import Compute
from distillset.errors import InputError
from distillset.evaluation import Ledger, Protocol, Row, evaluate
from distillset.keys import Key, integers
from distillset.machine import Machine
from distillset.nets import Network
from distillset.sources.load import Data, with_test
from distillset.store import write_json
from distillset.studies.folder import ACCURACIES, Networks, opened
from distillset.studies.makers import Maker, seconds
from distillset.studies.plot import curves
from distillset.watch import Watcher, watching

RESULT = "continual.json"
PLOT = "continual.png"


def class_order(classes: int, seed: int) -> tuple[int, ...]:
    """The order in which classes arrive: the published one, NumPy's legacy permutation of this seed.

    >>> class_order(10, 0)
    (2, 8, 4, 9, 1, 6, 7, 3, 0, 5)
    """
    return tuple(int(c) for c in np.random.RandomState(seed).permutation(classes))


def arrivals(order: Sequence[int], steps: int) -> list[tuple[int, ...]]:
    """The classes of each step, as evenly as it goes.

    >>> arrivals((2, 0, 3, 1, 4), 2)
    [(2, 0), (3, 1, 4)]
    """
    edges = [len(order) * step // steps for step in range(steps + 1)]
    return [tuple(order[a:b]) for a, b in pairwise(edges)]


def arriving(train: RealSet, classes: Sequence[int], memory: SyntheticSet | None, key: Key) -> RealSet:
    """The images of the new classes, class ``i`` being ``classes[i]``; with a stand-in for a class that is alone."""
    spec, rows = train.spec, [train.index(c) for c in classes]
    names = tuple(spec.class_names[c] for c in classes)
    images = train.images.index_select(0, torch.cat(rows))
    labels = torch.arange(len(classes)).repeat_interleave(torch.tensor([len(part) for part in rows]))
    if len(classes) == 1:
        noise = integers(key.words(), (len(images), *spec.shape), 0, 256).to(torch.uint8)
        other = noise if memory is None else memory.pixels
        images, names = torch.cat([images, other]), (*names, "stand-in")
        labels = torch.cat([labels, torch.ones(len(other), dtype=torch.int64)])
    return RealSet(images, labels, replace(spec, class_names=names))


def joined(
    memory: SyntheticSet | None, synthetic: SyntheticSet, classes: Sequence[int], whole: RealSet
) -> SyntheticSet:
    """The memory with what was made of new classes, in global labels; the spec is that of the whole set.

    Args:
        memory: what is remembered already; None in the first step.
        synthetic: a set of `arriving`, whose labels are positions in ``classes``.
        classes: global label of each position.
        whole: the set that all classes are of.
    """
    complete = synthetic.classes < len(classes)  # not of the stand-in
    if synthetic.labels.dim() == 1:
        labels = torch.tensor(classes)[synthetic.labels[complete]]
    else:
        soft = synthetic.labels[complete][:, : len(classes)]
        labels = torch.zeros(len(soft), whole.spec.classes)
        labels[:, list(classes)] = soft / soft.sum(1, keepdim=True)
    images = synthetic.images[complete]
    if memory is not None:
        images, labels = torch.cat([memory.images, images]), torch.cat([memory.labels, labels])
    return SyntheticSet(images, labels, whole.spec, {"method": str(synthetic.card.get("method", ""))})


@dataclass(frozen=True)
class Point:
    """A step of a curve: accuracy (a fraction) on the test images of all classes seen so far.

    ``mean`` and ``std`` (of the sample; 0 for one) are over ``n`` class orders, each the mean of ``networks`` networks
    trained from scratch.

    Args:
        memory: the selector or method that filled it.
        classes: seen so far.
        images: in the memory.
        orders: seed to the classes that arrived in this step.
        by_order: seed to the accuracies of its networks.
        seconds: of making the memories of this step, and of all trainings and tests.
    """

    memory: str
    step: int
    steps: int
    ipc: int
    classes: int
    images: int
    mean: float
    std: float
    n: int
    networks: int
    network: str
    protocol: str
    recipe: dict[str, Any]
    orders: dict[str, list[int]]
    by_order: dict[str, list[float]]
    seconds: dict[str, float]
    compute: dict[str, Any]
    hardware: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class _Measured:
    """One step of one order."""

    classes: tuple[int, ...]
    seen: int
    images: int
    making: float
    row: Row


def continual(
    data: Any,
    memories: Sequence[str],
    out: str | Path,
    *,
    steps: int = 5,
    ipc: int = 20,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    distill_steps: int | None = None,
    network: str = "convnet",
    repeats: int = 3,
    protocol: Protocol | str = "dm",
    machine: Machine | str = "auto",
    watcher: Watcher | None = None,
) -> list[Point]:
    """Learn the classes of ``data`` step by step, once for every memory and class order.

    Args:
        data: its training set arrives in steps; its test set is what is tested on.
        memories: names of selectors and methods.
        out: folder for every memory as an artifact, every accuracy, the curves and a plot. The same call resumes an
            interrupted study; memories, seeds and repeats may be added.
        steps: steps in which new classes arrive, from 1 to the number of classes.
        ipc: images per class in the memory, at least 1. A class with fewer images is drawn by `RealSet.draw_rows`.
        seeds: random seeds, one per class order; they also seed the memories and the networks.
        distill_steps: steps of each distillation, at least 0; None is the method's published number.
        network: the network that distils, and that is trained on the memory.
        repeats: networks trained per step and class order, at least 1.
        protocol: how networks are trained, as in `distillset.evaluate`, the same for every memory.
        machine: what to compute on, as in `distillset.distill`.
        watcher: is notified of progress, and may ask to stop.

    Returns:
        The points of the curves, memory by memory.

    Raises:
        InputError: an argument is out of its range, or contradicts the study in ``out``.
        InterruptedRun: the watcher asked to stop.
    """
    watcher, machine = watching(watcher), Machine.of(machine)
    data = with_test(data, watcher)
    train, seeds = data.train, [whole("seeds", seed) for seed in several("seeds", seeds)]
    steps, ipc, repeats = whole("steps", steps), whole("ipc", ipc), whole("repeats", repeats)
    distill_steps = None if distill_steps is None else whole("distill_steps", distill_steps)
    protocol = Protocol.of(protocol)
    makers = {name: Maker(name, distill_steps, network, machine) for name in dict.fromkeys(memories)}
    _check(train, makers, steps, ipc, seeds, repeats)
    Network.of(network, train.spec)
    Compute.resolve(machine)
    settings = {
        "study": "continual",
        "data": f"{train.fingerprint()} {data.test.fingerprint()}",
        "steps": steps,
        "ipc": ipc,
        "distill_steps": distill_steps,
        "network": network,
        **protocol.settings(train.spec),
    }
    with opened(path_of("out", out), settings) as folder:
        ledger, points = Ledger(folder / ACCURACIES), []

        def measure(memory: SyntheticSet, seen: Sequence[int], seed: int, label: str) -> Row:
            rows = torch.isin(data.test.labels, torch.tensor(seen)).nonzero().squeeze(1)

            return evaluate(
                memory,
                Data(train, data.test.subset(rows), data.source),
                networks=(network,),
                repeats=repeats,
                protocol=protocol,
                beside=(),
                seed=seed,
                machine=machine,
                ledger=ledger,
                watcher=Networks(watcher, folder, label),
            )[0]

        for name, maker in makers.items():
            measured = {
                seed: _learn(train, maker, steps, ipc, seed, folder / name / f"order-{seed}", measure, watcher)
                for seed in dict.fromkeys(seeds)
            }
            points += list(_points(name, measured, ipc))
            _keep(folder, settings, points, watcher)
    return points


def _learn(
    train: RealSet,
    maker: Maker,
    steps: int,
    ipc: int,
    seed: int,
    at: Path,
    measure: Callable[[SyntheticSet, Sequence[int], int, str], Row],
    watcher: Watcher,
) -> list[_Measured]:
    """All steps of one class order."""
    memory, seen, results = None, list[int](), []
    for step, classes in enumerate(arrivals(class_order(train.spec.classes, seed), steps), 1):
        real = arriving(train, classes, memory, Key(seed)("stand-in", step))
        synthetic = maker.make(real, ipc, seed, at / f"step-{step}", watcher)
        memory, seen = joined(memory, synthetic, classes, train), [*seen, *classes]
        row = measure(memory, seen, seed, f"{maker.by}, order {seed}, step {step} of {steps}")
        results.append(_Measured(classes, len(seen), len(memory), seconds(synthetic), row))
    return results


def _check(train: RealSet, makers: dict[str, Maker], steps: int, ipc: int, seeds: Sequence[int], repeats: int) -> None:
    classes = train.spec.classes
    if not makers:
        raise InputError("memories", [], "name a selector or a method")
    if not 1 <= steps <= classes:
        raise InputError("steps", steps, f"must be from 1 to {classes}, the number of classes")
    if repeats < 1:
        raise InputError("repeats", repeats, "must be at least 1")
    if not seeds:
        raise InputError("seeds", seeds, "name at least one")
    for seed in seeds:
        if not 0 <= seed < 2**32:
            raise InputError("seeds", seed, f"must be from 0 to {2**32 - 1}")
    for maker in makers.values():
        maker.check("memories", train.spec, ipc)


def _points(name: str, measured: dict[int, list[_Measured]], ipc: int) -> Iterator[Point]:
    first = next(iter(measured.values()))
    for step in range(len(first)):
        at = {str(seed): results[step] for seed, results in measured.items()}
        means = [one.row.mean for one in at.values()]
        some = first[step]
        yield Point(
            memory=name,
            step=step + 1,
            steps=len(first),
            ipc=ipc,
            classes=some.seen,
            images=some.images,
            mean=statistics.fmean(means),
            std=statistics.stdev(means) if len(means) > 1 else 0.0,
            n=len(means),
            networks=some.row.n,
            network=some.row.network,
            protocol=some.row.protocol,
            recipe=some.row.recipe,
            orders={seed: list(one.classes) for seed, one in at.items()},
            by_order={seed: list(one.row.accuracies) for seed, one in at.items()},
            seconds={
                "making": round(sum(one.making for one in at.values()), 2),
                "training": round(sum(one.row.seconds for one in at.values()), 2),
            },
            compute=some.row.compute,
            hardware=some.row.hardware,
        )


def _keep(folder: Path, settings: dict[str, Any], points: Sequence[Point], watcher: Watcher) -> None:
    """The curves so far as JSON, and as a picture where matplotlib is there."""
    record = {"settings": settings, "versions": versions(), "points": [point.to_json() for point in points]}
    write_json(folder / RESULT, record)
    points_of_memories = {
        name: [(p.classes, 100 * p.mean, 100 * p.std) for p in points if p.memory == name]
        for name in dict.fromkeys(p.memory for p in points)
    }
    title = f"{points[0].steps} steps, {points[0].ipc} images per class, {points[0].n} class orders"
    curves(folder / PLOT, points_of_memories, title, "classes seen", "accuracy % on them", watcher)
