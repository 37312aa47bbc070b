"""The networks of a row, one after the other while there is time."""

import statistics
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from distillset.coresets import select
from distillset.data.sources import Data
from distillset.data.synthetic import SyntheticSet
from distillset.errors import InterruptedRun
from distillset.evaluation import Ledger, Row
from distillset.evaluation import evaluate as evaluate_set
from distillset.loop import Watcher
from distillset.reproduction.budget import Budget, OutOfTime
from distillset.reproduction.plan import Plan


class Networks:
    """Evaluates sets within a budget. What was trained is in the ledger, so that the next call goes on after it.

    Args:
        budget: of this call.
        watcher: is told of each network, and may ask to stop between two.
        ledger: remembers them.
        seed: names all random streams.
        compute: device, precision and compile.
    """

    def __init__(self, budget: Budget, watcher: Watcher, ledger: Ledger, seed: int, compute: dict[str, Any]) -> None:
        self.budget, self.watcher, self.ledger, self.seed, self.compute = budget, watcher, ledger, seed, compute

    def measure(self, plan: Plan, made: SyntheticSet, data: Data) -> tuple[list[Row], int]:
        """The row of all networks, or of as many as there was time for; and how many those are.

        A random selection is drawn anew for every network.
        """
        if plan.preset.method == "random":
            return self._redrawn(plan, data)
        done = 0

        def report(i: int) -> None:
            nonlocal done
            done = i

        try:
            return self.evaluate(plan, made, data, plan.networks, self.seed, report), plan.networks
        except OutOfTime:
            if not done:
                raise
        return self.evaluate(plan, made, data, done, self.seed), done

    def _redrawn(self, plan: Plan, data: Data) -> tuple[list[Row], int]:
        rows: list[Row] = []
        try:
            for seed in range(self.seed, self.seed + plan.networks):
                made = select(data, "random", plan.preset.ipc, seed=seed)
                start = self.budget.clock()
                rows += self.evaluate(plan, made, data, 1, seed)
                self._go_on(self.budget.clock() - start, len(rows) == plan.networks)
        except OutOfTime:
            if not rows:
                raise
        accuracies = tuple(row.accuracies[0] for row in rows)
        joined = replace(
            rows[0],
            accuracies=accuracies,
            mean=statistics.fmean(accuracies),
            std=statistics.stdev(accuracies) if len(rows) > 1 else 0.0,
            n=len(rows),
            sets=len(rows),
            networks=1,
            seconds=round(sum(row.seconds for row in rows), 2),
            memory=max(row.memory or 0 for row in rows) or None,
        )
        return [joined], len(rows)

    def evaluate(
        self,
        plan: Plan,
        made: SyntheticSet,
        data: Data,
        repeats: int,
        seed: int,
        report: Callable[[int], None] = lambda i: None,
        baseline: bool = False,
    ) -> list[Row]:
        """``repeats`` networks under the row's protocol; ``report`` is told of each that is done."""
        last = self.budget.clock()

        def told(artifact: str, i: int, accuracy: float) -> None:
            nonlocal last
            now = self.budget.clock()
            took, last = now - last, now
            report(i)
            self.watcher.note(f"{plan.name}: {artifact}, network {i} of {repeats}, {accuracy:.2%}")
            self._go_on(took, i == repeats)

        return evaluate_set(
            made,
            data,
            artifact=plan.preset.method,
            networks=(plan.preset.network,),
            repeats=repeats,
            protocol=plan.preset.protocol,
            baseline=baseline,
            seed=seed,
            ledger=self.ledger,
            report=told,
            **self.compute,
        )

    def _go_on(self, took: float, last: bool) -> None:
        """Whether to train one more network that takes as long."""
        if self.watcher.stop():
            raise InterruptedRun("stopped between two networks; the same command goes on")
        if not last and not self.budget.allows(took):
            raise OutOfTime
