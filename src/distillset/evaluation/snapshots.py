"""Snapshots of a run, and the choice among them: by held-out training data, never silently by the test set."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from distillset.arguments import of_kind, path_of, text, truth
from distillset.data.synthetic import SyntheticSet
from distillset.errors import DivergedError, InputError
from distillset.evaluation.candidates import of_set
from distillset.evaluation.evaluator import Evaluator
from distillset.evaluation.protocol import ResolvedProtocol
from distillset.evaluation.row import Row
from distillset.keys import Key
from distillset.nets import Network
from distillset.store import read_tensors

VALIDATION = 0.1
"""The share of every class of the training data that snapshots are chosen by."""

VALIDATION_KEY = Key(0)("validation")
"""Never the user's seed: which images choose must not depend on it."""


SELECT = ("last", "validation")


@dataclass(frozen=True)
class Snapshots:
    """Other states of a set, and how to use them.

    Args:
        sets: by step, such as `read_snapshots` gives; at least one.
        select: ``last`` evaluates the set itself; ``validation`` the snapshot that is best on a tenth of the training
            data, which the distillation has seen, with networks of its own.
        best_on_test: whether the snapshot that is best on the test set has a row under that name. It has been chosen by
            what it is measured with: its accuracy is not one to report as the set's.

    Raises:
        InputError: there is no snapshot, or an unknown value.
    """

    sets: Mapping[int, SyntheticSet]
    select: str = "last"
    best_on_test: bool = False

    def __post_init__(self) -> None:
        of_kind("snapshots", self.sets, Mapping, "a mapping of steps to sets")
        for snapshot in self.sets.values():
            of_kind("snapshots", snapshot, SyntheticSet, "sets by their steps")
        if not self.sets:
            raise InputError("snapshots", {}, "there are none to choose among")
        if text("select", self.select) not in SELECT:
            raise InputError("select", self.select, "choose last or validation")
        truth("best_on_test", self.best_on_test)

    def with_hard_labels(self) -> "Snapshots":
        """The same with the most probable class of each image as its label."""
        return replace(self, sets={step: replace(one, labels=one.classes) for step, one in self.sets.items()})


def read_snapshots(folder: str | Path, synthetic: SyntheticSet) -> dict[int, SyntheticSet]:
    """The sets in ``snapshots/step-N.safetensors`` of a run by step, ascending, with all else as in its artifact.

    Raises:
        InputError: there are none, or one is damaged or does not fit the artifact.
    """
    paths = {
        int(match[1]): path
        for path in Path(path_of("folder", folder), "snapshots").glob("step-*.safetensors")
        if (match := re.fullmatch(r"step-(\d+)\.safetensors", path.name))
    }
    if not paths:
        raise InputError.about(
            folder, "holds no snapshots to choose among (`distill(record=Record(snapshots=10))` writes them)"
        )
    snapshots = {}
    for step in sorted(paths):
        tensors, _ = read_tensors(paths[step])
        if "images" not in tensors:
            raise InputError.about(paths[step], "tensor images is missing")
        labels = tensors.get("labels", synthetic.labels)
        lr = float(tensors["lr"]) if "lr" in tensors else synthetic.lr
        try:
            snapshots[step] = replace(synthetic, images=tensors["images"], labels=labels, lr=lr)
        except InputError as error:
            raise InputError.about(paths[step], str(error)) from None
    return snapshots


def trial(
    evaluator: Evaluator,
    snapshots: Mapping[int, SyntheticSet],
    artifact: str,
    protocol: ResolvedProtocol,
    network: Network,
    repeats: int,
) -> tuple[int, Row]:
    """The step whose images have the best test accuracy, and its row; the earliest of equals.

    Raises:
        DivergedError: there is no accuracy of any of them.
    """
    rows: dict[int, Row] = {}
    diverged: DivergedError | None = None
    for step, snapshot in snapshots.items():
        try:
            rows[step] = evaluator.row(of_set(snapshot, f"{artifact} step {step}", protocol), network, repeats)
        except DivergedError as error:
            diverged = error
    if diverged and not rows:
        raise diverged
    best = max(rows, key=lambda step: (rows[step].mean, -step))
    return best, rows[best]
