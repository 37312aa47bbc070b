"""The published settings of matching training trajectories.

From the parameters that the authors gave to DC-BENCH (Cui et al., NeurIPS 2022, its folder ``methods/tm``). Known
misprints elsewhere: the CIFAR-10 row of 10 images per class in the first table of the paper's own repository was
corrected by its author (a copy in circulation, with an image rate of 1e5, a rate of rates of 1e-4 and a first rate of
1e-2, diverges); for the ImageNet subsets the sources disagree about the image rate and are left out.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Trajectories:
    """One row: N, M, T+ and the batch in the paper's words, then the rates, and whether images are whitened."""

    syn_steps: int
    expert_epochs: int
    max_start: int
    batch_syn: int
    lr: float
    lr_lr: float
    lr_start: float
    whiten: str


SETTINGS: dict[str, dict[int, Trajectories]] = {
    "cifar10": {
        1: Trajectories(50, 2, 2, 0, 100.0, 1e-7, 0.01, "zca"),
        10: Trajectories(30, 2, 20, 0, 100.0, 1e-5, 0.001, "zca"),
        50: Trajectories(30, 2, 40, 0, 1000.0, 1e-5, 0.001, "none"),
    },
    "cifar100": {
        1: Trajectories(20, 3, 20, 0, 1000.0, 1e-5, 0.01, "zca"),
        10: Trajectories(20, 2, 20, 0, 1000.0, 1e-5, 0.01, "none"),
        50: Trajectories(80, 2, 40, 125, 1000.0, 1e-5, 0.01, "zca"),
    },
    "tiny_imagenet": {
        1: Trajectories(10, 2, 10, 0, 10_000.0, 1e-4, 0.01, "none"),
        10: Trajectories(20, 2, 40, 200, 10_000.0, 1e-4, 0.01, "none"),
        50: Trajectories(20, 2, 40, 300, 10_000.0, 1e-4, 0.01, "none"),
    },
}
"""Data set and images per class to setting. A batch of 0 is the whole synthetic set."""


def published(name: str, classes: int, ipc: int) -> tuple[Trajectories, bool]:
    """(the setting for a data set, whether it is the published one).

    A data set without one takes that of the data set nearest in classes, and of the nearest images per class by ratio.
    """
    sizes = {"cifar10": 10, "cifar100": 100, "tiny_imagenet": 200}
    family = name if name in SETTINGS else min(sizes, key=lambda known: abs(math.log(sizes[known] / classes)))
    rows = SETTINGS[family]
    nearest = min(rows, key=lambda known: abs(math.log(known / ipc)))
    return rows[nearest], family == name and nearest == ipc


def reach(name: str, classes: int, ipc: int | None) -> int:
    """The last epoch that the setting for ``ipc`` can reach; None means every setting of the data set."""
    counts = [ipc] if ipc is not None else [1, 10, 50]
    rows = [published(name, classes, count)[0] for count in counts]
    return max(row.max_start - 1 + row.expert_epochs for row in rows)
