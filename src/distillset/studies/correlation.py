"""Rank correlations with bootstrap intervals: how well one ranking predicts another."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from distillset.keys import Key, fold, integers, permutation

RESAMPLES = 1000
LEVEL = 0.95
LEAST = 4
"""Networks that a correlation is over at least."""

Interval = tuple[float, float]
Numbers = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Correlation:
    """Spearman's rho and Kendall's tau-b with percentile intervals of 95% over resampled networks.

    None where one side is the same for all networks.

    Args:
        networks: how many.
        p: two-sided, of a permutation test of rho: how often a random ranking does as well. A bootstrap of few networks
            or of a perfect ranking is too sure of itself.
    """

    networks: int
    spearman: float | None
    spearman_interval: Interval | None
    kendall: float | None
    kendall_interval: Interval | None
    p: float | None

    @property
    def claim(self) -> str:
        """What the interval of rho and the permutation test both allow to be said, and no more."""
        if self.spearman_interval is None or self.p is None:
            return "no ranking: all accuracies are equal"
        low, high = self.spearman_interval
        if self.p >= 1 - LEVEL or low <= 0 <= high:
            return "not told apart from chance"
        return f"ranks these networks {'better' if low > 0 else 'worse'} than chance"


def spearman(a: Numbers, b: Numbers) -> float:
    """Spearman's rho; equal values share their mean rank. NaN where all of one side are equal."""
    from scipy import stats

    return math.nan if np.ptp(a) == 0 or np.ptp(b) == 0 else float(stats.spearmanr(a, b).statistic)


def kendall(a: Numbers, b: Numbers) -> float:
    """Kendall's tau-b; NaN as in `spearman`."""
    from scipy import stats

    equal = np.ptp(a) == 0 or np.ptp(b) == 0
    return math.nan if equal else float(stats.kendalltau(a, b, method="asymptotic").statistic)


def draws(networks: int, key: Key, resamples: int = RESAMPLES) -> Numbers:
    """Networks drawn with replacement, ``int64 [resamples, networks]``."""
    drawn = integers(key.words(), (resamples, networks), 0, networks)
    return np.asarray(drawn.numpy())


def correlate(proxy: Sequence[float], whole: Sequence[float], key: Key, resamples: int = RESAMPLES) -> Correlation:
    """The correlation of two accuracies of the same networks.

    Args:
        proxy: of each network trained on a proxy.
        whole: of each network trained on the whole set.
        key: names the resamples.
        resamples: of the bootstrap, and of the permutation test.
    """
    a, b = np.asarray(proxy, dtype=float), np.asarray(whole, dtype=float)
    rho, tau = spearman(a, b), kendall(a, b)
    if math.isnan(rho):
        return Correlation(len(a), None, None, None, None, None)
    rows = draws(len(a), key("bootstrap"), resamples)
    rhos, taus = spearmans(a[rows], b[rows]), np.array([kendall(a[row], b[row]) for row in rows])
    streams = fold(key("permutations").words(), torch.arange(resamples))
    shuffled = permutation(streams, len(a), len(a)).numpy()
    as_well = np.abs(spearmans(np.broadcast_to(a, shuffled.shape), b[shuffled])) >= abs(rho) - 1e-9
    p = (1 + int(as_well.sum())) / (1 + resamples)
    return Correlation(len(a), rho, interval(rhos), tau, interval(taus), p)


def difference(one: Sequence[float], other: Sequence[float], whole: Sequence[float], key: Key) -> Interval | None:
    """The interval of rho of ``one`` less rho of ``other``, over the same resamples; None if one does not rank."""
    a, b, c = (np.asarray(values, dtype=float) for values in (one, other, whole))
    if 0 in (np.ptp(a), np.ptp(b), np.ptp(c)):
        return None
    rows = draws(len(a), key("bootstrap"))
    return interval(spearmans(a[rows], c[rows]) - spearmans(b[rows], c[rows]))


def spearmans(a: Numbers, b: Numbers) -> Numbers:
    """`spearman` row by row of ``[n, networks]``; 0 where all of one side are equal, which ranks nothing."""
    from scipy import stats

    ranks = [stats.rankdata(side, axis=1) for side in (a, b)]
    x, y = (side - side.mean(axis=1, keepdims=True) for side in ranks)
    spread = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    return np.asarray((x * y).sum(axis=1) / np.where(spread == 0, 1, spread))


def interval(values: Numbers) -> Interval:
    """The middle 95%; what is no number ranks nothing and counts as 0."""
    low, high = np.quantile(np.nan_to_num(values, nan=0.0), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def top(whole: Sequence[float], fraction: float) -> list[int]:
    """The best networks by their accuracy on the whole set: this fraction, rounded up, but `LEAST` at least.

    >>> top([0.1, 0.9, 0.5, 0.8, 0.7, 0.2], 0.5)
    [1, 3, 4, 2]
    """
    count = min(len(whole), max(LEAST, math.ceil(fraction * len(whole) - 1e-9)))
    return sorted(range(len(whole)), key=lambda i: (-whole[i], i))[:count]
