"""Artifacts side by side: one protocol, and no winner inside the noise."""

import json
from dataclasses import replace
from typing import Any

import pytest
from scipy import stats

from distillset.coresets import select
from distillset.data.synthetic import SyntheticSet
from distillset.errors import InputError
from distillset.evaluation import Protocol, Row
from distillset.sources.load import Data
from distillset.studies.compare import Comparison, compare, differences, holm, welch
from tests import toys

DATA = toys.toy_data((60, 50, 40), noise=255)
GOOD = select(DATA, "random", 3, seed=1)
WRONG = replace(GOOD, labels=(GOOD.labels + 1) % 3)


def row(artifact: str, accuracies: tuple[float, ...], network: str = "convnet") -> Row:
    mean, n = sum(accuracies) / len(accuracies), len(accuracies)
    return Row(artifact, network, "dm", "hard", mean, 0.1, n, 1, n, accuracies, 0.0, None, 0, {}, {}, {})


def run(artifacts: dict[str, SyntheticSet], data: Data = DATA, **changes: Any) -> Comparison:
    settings: dict[str, Any] = {
        "networks": (toys.NETWORK,),
        "repeats": 4,
        "protocol": Protocol(epochs=30),
        "machine": toys.EAGER,
        **changes,
    }
    return compare(artifacts, data, **settings)


def test_welch_worked_by_hand() -> None:
    """Means 0.50 and 0.40, variances 1e-4 and 4e-4, three of each: the standard error is sqrt(5e-4 / 3) = 0.0129099, t
    is 7.74597, and the degrees of freedom are (5e-4)^2 / (1e-8 / 2 + 16e-8 / 2) = 2.94118.
    """
    first, second = (0.49, 0.50, 0.51), (0.38, 0.40, 0.42)
    low, high, p = welch(first, second)
    half = stats.t.ppf(0.975, 2.9411765) * 0.0129099445
    assert (low, high) == pytest.approx((0.1 - half, 0.1 + half), rel=1e-6)
    assert p == pytest.approx(2 * stats.t.sf(7.7459667, 2.9411765), rel=1e-6)


def test_one_side_without_spread() -> None:
    """Mean 0.5 without spread, and 0.40 with variance 4e-4: sqrt(4e-4 / 3) = 0.011547, t = 8.66, 2 degrees."""
    p = welch((0.5, 0.5, 0.5), (0.38, 0.40, 0.42))[2]
    assert p == pytest.approx(2 * stats.t.sf(0.1 / 0.0115470054, 2), rel=1e-6)


def test_holm_worked_by_hand() -> None:
    """Of 0.005, 0.02, 0.03, 0.8: times 4, 3, 2 and 1, and never below the one before."""
    assert holm([0.03, 0.005, 0.8, 0.02]) == pytest.approx([0.06, 0.02, 0.8, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_no_winner_inside_the_noise() -> None:
    rows = [row("a", (0.50, 0.53, 0.47)), row("b", (0.51, 0.49, 0.55))]
    found = Comparison(tuple(rows), tuple(differences(rows)))
    assert found.winner("convnet") is None
    assert "inside the noise" in found.verdict()
    assert "convnet: no winner beyond the noise" in found.verdict()
    assert " is above " not in found.verdict()
    assert " is best" not in found.verdict()


def test_a_difference_beyond_the_noise_is_told_with_its_interval() -> None:
    rows = [row("a", (0.40, 0.41, 0.42, 0.41)), row("b", (0.60, 0.61, 0.60, 0.62))]
    found = Comparison(tuple(rows), tuple(differences(rows)))
    (difference,) = found.differences
    assert difference.difference == pytest.approx(-0.1975)
    assert difference.low < -0.1975 < difference.high < 0
    assert found.winner("convnet") == "b"
    told = f"b is above a by 19.8 points (95% interval {-100 * difference.high:.1f} to {-100 * difference.low:.1f}"
    assert told in found.verdict().replace("19.7 points", "19.8 points")


def test_the_best_of_two_equals_is_no_winner() -> None:
    """Both far above random, but not apart from each other."""
    rows = [row("a", (0.60, 0.62, 0.61)), row("b", (0.61, 0.60, 0.62)), row("random", (0.30, 0.31, 0.29))]
    found = Comparison(tuple(rows), tuple(differences(rows)))
    assert [d.significant for d in found.differences] == [False, True, True]
    assert found.winner("convnet") is None


def test_one_lucky_pair_of_many_is_not_announced() -> None:
    """p of 0.02 alone, 0.2 among ten pairs."""
    rows = [row(name, (0.50, 0.52, 0.54)) for name in "abcd"] + [row("e", (0.44, 0.47, 0.45))]
    assert welch(rows[0].accuracies, rows[4].accuracies)[2] < 0.05  # type: ignore[operator]
    assert not any(difference.significant for difference in differences(rows))


def test_without_spread_nothing_is_claimed() -> None:
    rows = [row("a", (0.5, 0.5)), row("b", (0.7, 0.7))]
    found = Comparison(tuple(rows), tuple(differences(rows)))
    assert found.differences[0].p is None
    assert found.winner("convnet") is None
    assert "without a deviation this cannot be tested" in found.verdict()


def test_networks_are_compared_each_for_itself() -> None:
    rows = [row("a", (0.5, 0.6)), row("b", (0.5, 0.6)), row("a", (0.1, 0.2), "MLP"), row("b", (0.1, 0.2), "MLP")]
    assert [(d.network, d.first, d.second) for d in differences(rows)] == [("convnet", "a", "b"), ("MLP", "a", "b")]


def test_under_one_protocol_with_one_random_row() -> None:
    found = run({"good": replace(GOOD, card={"method": "dc"}), "wrong": WRONG}, protocol=Protocol(epochs=2))
    assert [row.artifact for row in found.rows] == ["good", "random", "wrong"]
    assert {row.protocol for row in found.rows} == {"dc-2-epochs"}, "that of the first one's method"
    pairs = {(d.first, d.second): d for d in found.differences}
    assert pairs.keys() == {("good", "random"), ("good", "wrong"), ("random", "wrong")}
    record = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert record.keys() == {"rows", "differences", "winners"}
    assert record["differences"][0]["significant"] in (True, False)


def test_the_whole_set_stands_beside_once() -> None:
    two = {"good": GOOD, "one": select(DATA, "random", 1)}
    found = run(two, protocol=Protocol(epochs=0), repeats=2, beside=("random", "whole"))
    assert [row.artifact for row in found.rows] == ["good", "random-3", "whole", "one", "random-1"]


def test_sets_of_other_sizes_have_random_rows_of_their_own() -> None:
    found = run({"good": GOOD, "one": select(DATA, "random", 1)}, protocol=Protocol(epochs=2), repeats=2)
    assert [row.artifact for row in found.rows] == ["good", "random-3", "one", "random-1"]


@pytest.mark.parametrize(
    ("artifacts", "changes", "told"),
    [
        ({}, {}, "artifacts={}: name at least one"),
        ({"good": GOOD}, {"repeats": 1}, "repeats=1: must be at least 2"),
        ({"good": GOOD}, {"networks": ("Z",)}, "pool 'Z'"),
        ({"good": GOOD, "grey": select(toys.toy(shape=(1, 8, 8)), "random", 1)}, {}, "do not fit"),
    ],
)
def test_wrong_input(artifacts: dict[str, SyntheticSet], changes: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        run(artifacts, **changes)
