"""The scores against their formulas, worked by hand."""

import dataclasses
import math

import pytest

from distillset.errors import InputError
from distillset.evaluation.row import Row
from distillset.evaluation.scores import AugmentationScore, LabelScore, robust, score


def row(artifact: str, mean: float, labels: str = "hard", augmentation: str = "crop", network: str = "convnet") -> Row:
    recipe = {"augmentation": augmentation}
    return Row(artifact, network, "p", labels, mean, 0.0, 1, 1, 1, (mean,), 0.0, None, 0, recipe, {}, {})


def test_published_figures_in_fractions() -> None:
    """DM on CIFAR-10 at 10 images per class: whole 84.8, set 48.9, random 26.0 (hard labels throughout).

    HLR 0.359, IOR 0.229, alpha (0.229 - 0.359) / 2 = -0.065, LRS (0.93707 - 0.36788) / 2.35040 = 0.24217.
    """
    found = LabelScore(whole_hard=0.848, set_hard=0.489, set_any=0.489, random_any=0.260)
    assert found.recovery == pytest.approx(0.359)
    assert found.improvement == pytest.approx(0.229)
    assert found.alpha == pytest.approx(-0.065)
    assert found.score == pytest.approx(0.24217, abs=2e-5)


def test_augmentation_by_hand() -> None:
    """Gains of 0.2 and 0.1: beta 0.15, ARS (1.16183 - 0.36788) / 2.35040 = 0.33779."""
    found = AugmentationScore(set_augmented=0.5, random_augmented=0.3, set_plain=0.35, random_plain=0.25)
    assert (found.augmented, found.plain, found.beta) == pytest.approx((0.2, 0.1, 0.15))
    assert found.score == pytest.approx(0.33779, abs=2e-5)
    assert AugmentationScore(0.5, 0.3, 0.35, 0.25, weight=1.0).beta == pytest.approx(0.2)


def test_the_ends_of_the_scale() -> None:
    assert LabelScore(1.0, 0.0, 0.0, 1.0).score == 0.0
    assert LabelScore(0.0, 1.0, 1.0, 0.0).score == pytest.approx(1.0)
    assert LabelScore(0.5, 0.5, 0.4, 0.4).score == pytest.approx((1 - 1 / math.e) / (math.e - 1 / math.e))
    assert robust(0.0) == pytest.approx(0.26894, abs=1e-5)


@pytest.mark.parametrize("field", ["whole_hard", "set_hard", "set_any", "random_any", "weight"])
@pytest.mark.parametrize("value", [48.9, -0.1, float("nan")])
def test_percentages_are_refused(field: str, value: float) -> None:
    given = {"whole_hard": 0.8, "set_hard": 0.4, "set_any": 0.5, "random_any": 0.3, field: value}
    with pytest.raises(InputError, match=f"{field}=.*: must be a fraction"):
        LabelScore(**given)


HARD = [
    row("a", 0.5),
    row("random", 0.3),
    row("whole", 0.9),
    row("a", 0.35, augmentation="none"),
    row("random", 0.25, augmentation="none"),
]
SOFT = [
    row("a", 0.6, "soft"),
    row("a", 0.5),
    row("random", 0.3),
    row("soft-random", 0.4, "soft"),
    row("whole", 0.9),
    row("a", 0.45, "soft", "none"),
    row("soft-random", 0.35, "soft", "none"),
]


def test_from_rows_with_hard_labels() -> None:
    (found,) = score(HARD, "a")
    assert found.label == LabelScore(0.9, 0.5, 0.5, 0.3)
    assert found.augmentation == AugmentationScore(0.5, 0.3, 0.35, 0.25)


def test_soft_labels_are_held_against_random_with_soft_labels() -> None:
    (found,) = score(SOFT, "a")
    assert found.label == LabelScore(0.9, 0.5, 0.6, 0.4)
    assert found.augmentation == AugmentationScore(0.6, 0.4, 0.45, 0.35)


def test_all_parts_are_told() -> None:
    record = score(HARD, "a")[0].to_json()
    assert record["label"].keys() == {
        "whole_hard", "set_hard", "set_any", "random_any", "weight", "hard_label_recovery", "improvement_over_random",
        "alpha", "label_score",
    }  # fmt: skip
    assert record["augmentation"].keys() == {
        "set_augmented", "random_augmented", "set_plain", "random_plain", "weight", "improvement_augmented",
        "improvement_plain", "beta", "augmentation_score",
    }  # fmt: skip
    assert record["label"]["label_score"] == LabelScore(0.9, 0.5, 0.5, 0.3).score


def test_each_network_has_its_own() -> None:
    other = [row(r.artifact, r.mean / 2, r.labels, r.recipe["augmentation"], "MLP") for r in HARD]
    assert [(found.network, found.label.set_any) for found in score([*HARD, *other], "a")] == [
        ("convnet", 0.5), ("MLP", 0.25),
    ]  # fmt: skip


@pytest.mark.parametrize("missing", range(1, 7))
def test_a_missing_row_is_named(missing: int) -> None:
    rows = [row for i, row in enumerate(SOFT) if i != missing]
    if missing == 2:
        assert score(rows, "a")  # random with hard labels is no part of it
        return
    with pytest.raises(InputError, match="is missing"):
        score(rows, "a")


def test_a_row_is_shown_in_a_line() -> None:
    shown = dataclasses.replace(row("a", 0.5), std=0.012, n=5)
    assert repr(shown) == "Row(a on convnet: 50.0 +- 1.2 %, n 5, protocol p)"
