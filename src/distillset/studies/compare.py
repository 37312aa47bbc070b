"""Comparison of artifacts under one protocol: which differences are more than noise.

The noise is that of networks trained on these very sets: their initial weights, orders and augmentations. Another run
of the same method gives another set, and varies more.
"""

import statistics
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from distillset.arguments import of_kind, whole
from distillset.data.synthetic import SyntheticSet
from distillset.errors import InputError
from distillset.evaluation import Ledger, Protocol, Row, evaluate
from distillset.evaluation.beside import names_beside
from distillset.evaluation.checks import check_fit
from distillset.machine import Machine
from distillset.nets import Source
from distillset.sources.load import with_test
from distillset.watch import Watcher, watching

LEVEL = 0.05
"""Chance, over all pairs together, that a difference is announced where there is none."""


@dataclass(frozen=True)
class Difference:
    """Two rows of one network.

    Args:
        network: on which both were evaluated.
        first, second: what they are called.
        difference: mean accuracy of the first less that of the second, a fraction.
        low, high: its 95% interval by Welch's t-distribution, of this pair alone.
        p: of Welch's t-test, corrected for the number of pairs (Holm); None where neither has any spread, so that there
            is nothing to measure noise by.
    """

    network: str
    first: str
    second: str
    difference: float
    low: float
    high: float
    p: float | None

    @property
    def significant(self) -> bool:
        """Whether it is more than noise."""
        return self.p is not None and self.p < LEVEL

    def __str__(self) -> str:
        points = f"{100 * abs(self.difference):.1f} points"
        apart = f"{self.network}: {self.first} and {self.second}: {points} apart"
        if self.p is None:
            return f"{apart}; without a deviation this cannot be tested"
        if not self.significant:
            return f"{apart}, inside the noise (p = {self.p:.2g})"
        above, below = (self.first, self.second) if self.difference > 0 else (self.second, self.first)
        low, high = sorted((100 * abs(self.low), 100 * abs(self.high)))
        significance = f"(95% interval {low:.1f} to {high:.1f}, p = {self.p:.2g})"
        return f"{self.network}: {above} is above {below} by {points} {significance}"


@dataclass(frozen=True)
class Comparison:
    """All rows, and the difference of every two of one network."""

    rows: tuple[Row, ...]
    differences: tuple[Difference, ...]

    def winner(self, network: str) -> str | None:
        """The artifact that is above every other row of this network by more than noise; None where there is none."""
        for name in {row.artifact for row in self.rows if row.network == network}:
            pairs = [d for d in self.differences if d.network == network and name in (d.first, d.second)]
            if pairs and all(d.significant and (d.difference > 0) == (d.first == name) for d in pairs):
                return name
        return None

    def verdict(self) -> str:
        """Every difference in words, then the winner on each network or that there is none."""
        lines = [str(difference) for difference in self.differences]
        for network in dict.fromkeys(row.network for row in self.rows):
            won = self.winner(network)
            lines.append(f"{network}: {f'{won} is best' if won else 'no winner beyond the noise'}")
        test = f"Welch's t-test over networks, corrected for {len(self.differences)} pair(s) (Holm), level {LEVEL:g};"
        return "\n".join([*lines, f"{test} it does not cover the variation between runs of a method"])

    def to_json(self) -> dict[str, Any]:
        differences = [{**asdict(d), "significant": d.significant} for d in self.differences]
        networks = dict.fromkeys(row.network for row in self.rows)
        winners = {network: self.winner(network) for network in networks}
        return {"rows": [row.to_json() for row in self.rows], "differences": differences, "winners": winners}


def compare(
    artifacts: Mapping[str, SyntheticSet],
    data: Any,
    *,
    networks: Source | Sequence[Source] = ("convnet",),
    repeats: int = 5,
    protocol: Protocol | str = "auto",
    beside: Sequence[str] = ("random",),
    seed: int = 0,
    machine: Machine | str = "auto",
    ledger: Ledger | str | Path | None = None,
    watcher: Watcher | None = None,
) -> Comparison:
    """Evaluate artifacts under one protocol, and test which differ.

    Args:
        artifacts: the sets, each under the name that its rows have.
        data, networks, repeats, seed, machine, ledger, watcher: as in `distillset.evaluate`; at least two networks.
        protocol: how networks are trained on all sets, as in `distillset.evaluate`; ``auto`` is that of the first set.
        beside: what to evaluate as well, as in `distillset.evaluate`: once for every number of images per class.

    Raises:
        InputError: no artifact, one network only, or an artifact that the data do not fit.
    """
    of_kind("artifacts", artifacts, Mapping, "a mapping of names to sets")
    watcher, names = watching(watcher), names_beside(beside)
    data, repeats = with_test(data, watcher), whole("repeats", repeats)
    if not artifacts:
        raise InputError("artifacts", artifacts, "name at least one")
    if repeats < 2:
        raise InputError("repeats", repeats, "must be at least 2, else no difference can be told from noise")
    for synthetic in artifacts.values():
        check_fit("test", data.test, synthetic)
    first = next(iter(artifacts.values()))
    protocol = Protocol.of(protocol).of_method(str(first.card.get("method", "")))
    several = len({synthetic.ipc for synthetic in artifacts.values()}) > 1
    rows, known = [], set()
    for artifact, synthetic in artifacts.items():
        space = synthetic.whitening.fingerprint() if synthetic.whitening else ""
        seen_as = (synthetic.spec.mean, synthetic.spec.std, space)
        needed = {name: (name, 0 if name == "whole" else synthetic.ipc, seen_as) for name in names}
        evaluated = evaluate(
            synthetic,
            data,
            artifact=artifact,
            networks=networks,
            repeats=repeats,
            protocol=protocol,
            beside=[name for name, what in needed.items() if what not in known],
            seed=seed,
            machine=machine,
            ledger=ledger,
            watcher=watcher,
        )
        known |= set(needed.values())
        rows += [_renamed(row, synthetic.ipc) if several else row for row in evaluated]
    order = list(dict.fromkeys(row.network for row in rows))
    rows.sort(key=lambda row: order.index(row.network))
    return Comparison(tuple(rows), tuple(differences(rows)))


def _renamed(row: Row, ipc: int) -> Row:
    return replace(row, artifact=f"{row.artifact}-{ipc}") if row.artifact in ("random", "soft-random") else row


def differences(rows: Sequence[Row]) -> list[Difference]:
    """The difference of every two rows of one network, in their order."""
    pairs = [(a, b) for a, b in combinations(rows, 2) if a.network == b.network]
    tested = [welch(a.accuracies, b.accuracies) for a, b in pairs]
    corrected = holm([p for _, _, p in tested])
    return [
        Difference(a.network, a.artifact, b.artifact, a.mean - b.mean, low, high, p)
        for (a, b), (low, high, _), p in zip(pairs, tested, corrected, strict=True)
    ]


def welch(first: Sequence[float], second: Sequence[float]) -> tuple[float, float, float | None]:
    """(low, high, p) of Welch's t-test: the 95% interval of the difference of means; p is None without any spread, or
    where one of the two has a single value (others diverged).
    """
    from scipy.stats import ttest_ind

    if min(len(first), len(second)) < 2 or len(set(first)) == len(set(second)) == 1:
        difference = statistics.fmean(first) - statistics.fmean(second)
        return difference, difference, None
    with warnings.catch_warnings():
        # SciPy warns of nearly equal numbers; accuracies of networks that happened to agree are exactly equal.
        warnings.simplefilter("ignore", RuntimeWarning)
        result = ttest_ind(first, second, equal_var=False)
    interval = result.confidence_interval(1 - LEVEL)
    return float(interval.low), float(interval.high), float(result.pvalue)


def holm(values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down correction: the k-th smallest of m values times ``m - k + 1``, never falling, at most 1.

    >>> holm([0.01, None, 0.04, 0.03])
    [0.03, None, 0.06, 0.06]
    """
    order = sorted((i for i, value in enumerate(values) if value is not None), key=lambda i: values[i] or 0.0)
    corrected: list[float | None] = [None] * len(values)
    largest = 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * (values[i] or 0.0)))
        corrected[i] = largest
    return corrected
