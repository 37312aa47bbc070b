"""The networks of a row, one after the other while there is time."""

from collections.abc import Callable

from distillset.data.synthetic import SyntheticSet
from distillset.errors import InterruptedRun
from distillset.evaluation import Ledger, Row
from distillset.evaluation import evaluate as evaluate_set
from distillset.machine import Machine
from distillset.reproduction.budget import Budget, OutOfTime
from distillset.reproduction.plan import Plan
from distillset.sources.load import Data
from distillset.watch import Watcher


class Networks:
    """Evaluates sets within a budget. What was trained is in the ledger, so that the next call goes on after it.

    Args:
        budget: of this call.
        watcher: is told of each network, and may ask to stop between two.
        ledger: remembers them.
        seed: names all random streams.
        machine: what to compute on.
    """

    def __init__(self, budget: Budget, watcher: Watcher, ledger: Ledger, seed: int, machine: Machine) -> None:
        self.budget, self.watcher, self.ledger, self.seed, self.machine = budget, watcher, ledger, seed, machine

    def measure(self, plan: Plan, made: SyntheticSet, data: Data) -> tuple[list[Row], int]:
        """The row of all networks, or of as many as there was time for; and how many those are.

        A random selection is drawn anew for every network.
        """
        done, redrawn = 0, plan.preset.method == "random"

        def report(i: int) -> None:
            nonlocal done
            done = i

        def rows(repeats: int) -> list[Row]:
            return self.evaluate(plan, made, data, repeats, report, own=not redrawn, baseline=redrawn)

        try:
            return rows(plan.networks), plan.networks
        except OutOfTime:
            if not done:
                raise
        return rows(done), done

    def evaluate(
        self,
        plan: Plan,
        made: SyntheticSet,
        data: Data,
        repeats: int,
        report: Callable[[int], None] = lambda i: None,
        own: bool = True,
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
            own=own,
            baseline=baseline,
            seed=self.seed,
            ledger=self.ledger,
            report=told,
            announce=self.watcher.note,
            machine=self.machine,
        )

    def _go_on(self, took: float, last: bool) -> None:
        """Whether to train one more network that takes as long."""
        if self.watcher.stop():
            raise InterruptedRun("stopped between two networks; the same command goes on")
        if not last and not self.budget.allows(took):
            raise OutOfTime
