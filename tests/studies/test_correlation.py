"""Rank correlations by hand, and their intervals."""

import numpy as np
import pytest

from distillset.keys import Key
from distillset.studies.correlation import correlate, difference, draws, interval, kendall, spearman, spearmans, top

KEY = Key(0)("test")


@pytest.mark.parametrize(
    ("a", "b", "rho", "tau"),
    [
        # Differences of ranks 1, 1, 0, 0: rho = 1 - 6*2 / (4*15) = 0.8; one of six pairs is the wrong way round.
        ([1, 2, 3, 4], [2, 1, 3, 4], 0.8, 4 / 6),
        ([1, 2, 3, 4, 5], [50, 40, 30, 20, 10], -1.0, -1.0),
        ([0.1, 0.2, 0.3], [1.0, 10.0, 100.0], 1.0, 1.0),
        # Ranks 1.5, 1.5, 3, 4 against 1 to 4: covariance 4.5, variances 4.5 and 5. Of six pairs five agree, one is tied
        # on one side: tau-b = 5 / sqrt(5 * 6).
        ([1, 1, 2, 3], [1, 2, 3, 4], 4.5 / np.sqrt(4.5 * 5), 5 / np.sqrt(30)),
    ],
)
def test_by_hand(a: list[float], b: list[float], rho: float, tau: float) -> None:
    assert spearman(np.array(a), np.array(b)) == pytest.approx(rho)
    assert kendall(np.array(a), np.array(b)) == pytest.approx(tau)


def test_intervals_are_those_of_resampled_networks() -> None:
    generator = np.random.default_rng(3)
    whole = generator.normal(size=12)
    proxy = whole + generator.normal(size=12)
    found = correlate(proxy.tolist(), whole.tolist(), KEY, resamples=200)
    rhos = sorted(spearman(proxy[row], whole[row]) for row in draws(12, KEY("bootstrap"), 200))
    assert found.spearman_interval == pytest.approx((np.quantile(rhos, 0.025), np.quantile(rhos, 0.975)))
    assert found.spearman is not None
    assert found.spearman_interval is not None
    assert found.spearman_interval[0] < found.spearman < found.spearman_interval[1]
    assert found == correlate(proxy.tolist(), whole.tolist(), KEY, resamples=200)


def test_an_interval_leaves_out_a_fortieth_at_each_end() -> None:
    assert interval(np.arange(41.0)) == pytest.approx((1, 39))
    assert interval(np.array([np.nan] * 20 + [1.0] * 20)) == pytest.approx((0, 1)), "ranking nothing is 0"


def test_row_by_row_as_one_by_one() -> None:
    generator = np.random.default_rng(1)
    a, b = generator.integers(0, 5, size=(2, 30, 8))
    assert spearmans(a, b) == pytest.approx([spearman(x, y) for x, y in zip(a, b, strict=True)])
    assert spearmans(np.ones((1, 3)), np.arange(3.0)[None]).tolist() == [0]


def test_claims_follow_the_interval_and_the_permutations() -> None:
    rising = list(range(10))
    mixed = [4, 9, 0, 3, 7, 1, 8, 2, 6, 5]
    assert correlate(rising, rising, KEY, 100).claim == "ranks these networks better than chance"
    assert correlate(rising, rising[::-1], KEY, 100).claim == "ranks these networks worse than chance"
    assert correlate(rising, mixed, KEY, 100).claim == "not told apart from chance"
    equal = correlate([0.1] * 10, rising, KEY, 100)
    assert (equal.spearman, equal.kendall_interval, equal.p) == (None, None, None)
    assert equal.claim == "no ranking: all accuracies are equal"


def test_four_networks_prove_nothing() -> None:
    # A perfect ranking of four: every resample agrees, but of 24 permutations 2 are as extreme, p = 1/12.
    four = correlate([1, 2, 3, 4], [1, 2, 3, 4], KEY)
    assert four.spearman_interval is not None
    assert four.spearman_interval[1] == pytest.approx(1)
    assert four.p == pytest.approx(1 / 12, abs=0.03)
    assert four.claim == "not told apart from chance"


def test_one_network_among_equals_proves_nothing() -> None:
    # The one that stands out is best on both sides; a third of the resamples lack it.
    one = correlate([0.1] * 3 + [0.5], [0.1, 0.1, 0.2, 0.5], KEY)
    assert one.spearman_interval is not None
    assert one.spearman_interval[0] == 0
    assert one.claim == "not told apart from chance"


def test_differences_are_taken_within_a_resample() -> None:
    whole = list(range(10))
    assert difference(whole, whole, whole, KEY) == (0, 0)
    low, high = difference(whole, whole[::-1], whole, KEY) or (0, 0)
    assert low == pytest.approx(2)
    assert high == pytest.approx(2)
    assert difference([0.5] * 10, whole, whole, KEY) is None


def test_the_top_is_the_best_by_the_whole_set() -> None:
    whole = [0.5, 0.9, 0.9, 0.1, 0.8, 0.3, 0.2, 0.6]
    assert top(whole, 0.5) == [1, 2, 4, 7]
    assert top(whole, 0.1) == [1, 2, 4, 7], "four at least"
    assert top(whole, 0.6) == [1, 2, 4, 7, 0]
    assert len(top(list(range(720)), 0.05)) == 36
