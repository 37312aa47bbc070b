"""Scores that take labels and augmentation out of an accuracy, with all their parts.

By the formulas of DD-Ranking (Li et al., 2025) for its label- and augmentation scores, LRS and ARS. With
accuracies as fractions::

    HLR = whole set with hard labels - set with hard labels                        (hard-label recovery: less is better)
    IOR = set with its own labels - random with labels of the same kind            (improvement over random)
    alpha = w IOR - (1 - w) HLR                                            label score = (e^alpha - 1/e) / (e - 1/e)
    beta = g (set - random, augmented) + (1 - g) (set - random, plain)     augmentation score = (e^beta - 1/e) / ...

both weights one half, so that a set that is no better than random and loses nothing to the whole one has 0.269.
They have names of their own because two inputs are not DD-Ranking's, so that values do not compare with its tables: its
whole set trains for as many epochs as the small one and without augmentation, here by the protocol `whole` (1,000
epochs of a whole set are out of reach of most readers); its random images have the best of five learning rates, chosen
on the test set, here the protocol's (nothing is chosen on a test set here). Besides, its code (version 0.2.0)
exponentiates percentages and reports the best epoch on the test set; here it is the last. The parts say more than the
scores: two sets with one score may differ in each of them.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from distillset.errors import InputError
from distillset.evaluation.row import Row

WEIGHT = 0.5


def robust(difference: float) -> float:
    """A weighted difference of accuracies, in [-1, 1], as a score in [0, 1].

    >>> robust(-1.0), round(robust(0.0), 3), robust(1.0)
    (0.0, 0.269, 1.0)
    """
    return (math.exp(difference) - math.exp(-1)) / (math.e - math.exp(-1))


@dataclass(frozen=True)
class LabelScore:
    """The label score and its parts.

    Args:
        whole_hard: accuracy of the whole real set.
        set_hard: of the set with hard labels.
        set_any: of the set with its own labels.
        random_any: of random images with labels of the same kind.
        weight: of the improvement over random; the rest is that of hard-label recovery.

    Raises:
        InputError: a value is no fraction.
    """

    whole_hard: float
    set_hard: float
    set_any: float
    random_any: float
    weight: float = WEIGHT

    def __post_init__(self) -> None:
        _check_fractions(self)

    @property
    def recovery(self) -> float:
        """HLR: what is lost to the whole set, with hard labels."""
        return self.whole_hard - self.set_hard

    @property
    def improvement(self) -> float:
        """IOR: what is gained over random images."""
        return self.set_any - self.random_any

    @property
    def alpha(self) -> float:
        return self.weight * self.improvement - (1 - self.weight) * self.recovery

    @property
    def score(self) -> float:
        return robust(self.alpha)

    def to_json(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "hard_label_recovery": self.recovery,
            "improvement_over_random": self.improvement,
            "alpha": self.alpha,
            "label_score": self.score,
        }


@dataclass(frozen=True)
class AugmentationScore:
    """The augmentation score and its parts.

    Args:
        set_augmented: accuracy of the set, trained with augmentation.
        random_augmented: of random images, likewise.
        set_plain: of the set, trained without augmentation.
        random_plain: of random images, likewise.
        weight: of the difference with augmentation.

    Raises:
        InputError: a value is no fraction.
    """

    set_augmented: float
    random_augmented: float
    set_plain: float
    random_plain: float
    weight: float = WEIGHT

    def __post_init__(self) -> None:
        _check_fractions(self)

    @property
    def augmented(self) -> float:
        """What is gained over random with augmentation."""
        return self.set_augmented - self.random_augmented

    @property
    def plain(self) -> float:
        """What is gained over random without augmentation."""
        return self.set_plain - self.random_plain

    @property
    def beta(self) -> float:
        return self.weight * self.augmented + (1 - self.weight) * self.plain

    @property
    def score(self) -> float:
        return robust(self.beta)

    def to_json(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "improvement_augmented": self.augmented,
            "improvement_plain": self.plain,
            "beta": self.beta,
            "augmentation_score": self.score,
        }


@dataclass(frozen=True)
class Scores:
    """Both scores of one artifact for one network."""

    artifact: str
    network: str
    label: LabelScore
    augmentation: AugmentationScore

    def to_json(self) -> dict[str, Any]:
        labels, augmentation = self.label.to_json(), self.augmentation.to_json()
        return {"artifact": self.artifact, "network": self.network, "label": labels, "augmentation": augmentation}

    def text(self) -> str:
        """Both scores and their parts as text, accuracies in percent."""
        label, augmentation = self.label, self.augmentation
        return (
            f"{self.artifact} on {self.network}:\n"
            f"  label score {label.score:.3f}: hard-label recovery {100 * label.recovery:.1f} "
            f"({100 * label.whole_hard:.1f} - {100 * label.set_hard:.1f}), improvement over random "
            f"{100 * label.improvement:.1f} ({100 * label.set_any:.1f} - {100 * label.random_any:.1f})\n"
            f"  augmentation score {augmentation.score:.3f}: over random with augmentation "
            f"{100 * augmentation.augmented:.1f} ({100 * augmentation.set_augmented:.1f} - "
            f"{100 * augmentation.random_augmented:.1f}), without {100 * augmentation.plain:.1f} "
            f"({100 * augmentation.set_plain:.1f} - {100 * augmentation.random_plain:.1f})"
        )


def score(rows: Sequence[Row], artifact: str) -> list[Scores]:
    """The scores of ``artifact`` for every network it has rows of.

    Args:
        rows: of one evaluation with the whole set, hard labels as well as its own, random with labels of the same kind,
            and all but the whole set with augmentation and without.
        artifact: what its rows are called.

    Raises:
        InputError: a row is missing.
    """
    scores = []
    for network in dict.fromkeys(row.network for row in rows if row.artifact == artifact):
        mine = [row for row in rows if row.network == network]
        kind = next(row.labels for row in mine if row.artifact == artifact)
        random = "soft-random" if kind == "soft" else "random"
        means = {(row.artifact, row.labels, row.recipe["augmentation"] != "none"): row.mean for row in mine}
        names = {
            "set, hard labels": (artifact, "hard", True),
            "set, augmented": (artifact, kind, True),
            "random, augmented": (random, kind, True),
            "set, not augmented": (artifact, kind, False),
            "random, not augmented": (random, kind, False),
            "whole set": ("whole", "hard", True),
        }
        for name, key in names.items():
            if key not in means:
                raise InputError.about(f"scores of {artifact} on {network}", f"the row {name!r} is missing")
        hard, augmented, random_augmented, plain, random_plain, whole = (means[key] for key in names.values())
        label = LabelScore(whole, hard, augmented, random_augmented)
        scores.append(
            Scores(artifact, network, label, AugmentationScore(augmented, random_augmented, plain, random_plain))
        )
    return scores


def _check_fractions(record: LabelScore | AugmentationScore) -> None:
    for field in fields(record):
        value = getattr(record, field.name)
        if not 0 <= value <= 1:
            raise InputError(field.name, value, "must be a fraction between 0 and 1, not a percentage")
