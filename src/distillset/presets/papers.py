"""What the papers ran, whatever the data. Methods have these numbers as defaults, presets as settings; they stand here
alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Paper:
    """A method as published.

    Args:
        title: authors, title, place and year.
        steps: of a run; 0 for a selection.
        init: where images start.
        settings: fields of the method that are the same for all data.
    """

    title: str
    steps: int = 0
    init: str = "real"
    settings: Mapping[str, Any] = field(default_factory=dict)


_SIAMESE = {"momentum": 0.5, "batch_real": 256}
_GRADIENTS = {"lr": 0.1, **_SIAMESE, "lr_net": 0.01}

PAPERS: dict[str, Paper] = {
    "dc": Paper(
        "Zhao, Mopuri and Bilen, Dataset Condensation with Gradient Matching, ICLR 2021", 1000, "noise", _GRADIENTS
    ),
    "dsa": Paper(
        "Zhao and Bilen, Dataset Condensation with Differentiable Siamese Augmentation, ICML 2021",
        1000,
        settings=_GRADIENTS,
    ),
    "dm": Paper(
        "Zhao and Bilen, Dataset Condensation with Distribution Matching, WACV 2023", 20_000, settings=_SIAMESE
    ),
    "mtt": Paper(
        "Cazenavette et al., Dataset Distillation by Matching Training Trajectories, CVPR 2022",
        5000,
        settings={"momentum": 0.5, "expert_count": 100, "expert_lr": 0.01, "expert_batch": 256},
    ),
    "random": Paper("the baseline of Zhao, Mopuri and Bilen, ICLR 2021"),
    "herding": Paper("Welling, Herding Dynamical Weights to Learn, ICML 2009"),
    "k-center": Paper("Sener and Savarese, Active Learning for Convolutional Neural Networks, ICLR 2018"),
    "forgetting": Paper("Toneva et al., An Empirical Study of Example Forgetting, ICLR 2019"),
}
"""Method or selector to the paper that proposed it."""

EXPERT_EPOCHS = 50
"""Of experts whose every epoch is kept, as the authors of MTT did."""


def dm_lr(name: str, ipc: int) -> float:
    """DM's learning rate of the images: on CIFAR-100 1, published up to 125 images per class; else 1 up to 50 and 10
    from 100 on, and between these the nearer one, in ratio.

    >>> [dm_lr(name, ipc) for name, ipc in (("cifar10", 50), ("cifar10", 100), ("cifar100", 100))]
    [1.0, 10.0, 1.0]
    """
    return 1.0 if ipc <= 70 or name == "cifar100" else 10.0


def loops(ipc: int) -> tuple[int, int]:
    """(outer, inner) of DC and DSA: updates of the images in a step, and epochs of the network after each but the last.

    The published table has 1: (1, 1), 10: (10, 50), 20: (20, 25), 30: (30, 20), 40: (40, 15), 50: (50, 10), and nothing
    else. The rule that goes through it: as many updates as images per class, at most 50; and 500 epochs divided by the
    images per class, rounded up to fives, between 10 and 50 (with a single update there is nothing to train).

    >>> [loops(ipc) for ipc in (1, 2, 10, 15, 30, 100)]
    [(1, 1), (2, 50), (10, 50), (15, 35), (30, 20), (50, 10)]
    """
    if ipc == 1:
        return 1, 1
    return min(ipc, 50), min(50, max(10, 5 * -(-100 // ipc)))
