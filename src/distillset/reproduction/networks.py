"""The networks of a row, one after the other while there is time."""

from collections.abc import Sequence

from distillset.data.synthetic import SyntheticSet
from distillset.errors import InterruptedRun
from distillset.evaluation import Ledger, Row
from distillset.evaluation.accuracy import Evaluation
from distillset.machine import Machine
from distillset.reproduction.budget import Budget, OutOfTime
from distillset.reproduction.plan import Plan
from distillset.sources.load import Data
from distillset.watch import Relay, Watcher


class Networks:
    """Evaluates sets within a budget. What was trained is in the ledger, so that the next call resumes after it.

    Args:
        budget: of this call.
        watcher: is notified of each network, and may ask to stop between two.
        ledger: remembers them.
        seed: random seed.
        machine: what to compute on.
    """

    def __init__(self, budget: Budget, watcher: Watcher, ledger: Ledger, seed: int, machine: Machine) -> None:
        self.budget, self.watcher, self.ledger, self.seed, self.machine = budget, watcher, ledger, seed, machine

    def measure(self, plan: Plan, synthetic: SyntheticSet, data: Data) -> tuple[list[Row], int]:
        """The row of all networks, or of as many as there was time for; and how many those are.

        A random selection is drawn anew for every network.
        """
        redrawn = plan.preset.method == "random"
        limited = _TimeLimitedNetworks(self.watcher, self.budget, plan.name)

        def rows(repeats: int) -> list[Row]:
            limited.start()
            return self.evaluate(
                plan, synthetic, data, repeats, limited, itself=not redrawn, beside=("random",) if redrawn else ()
            )

        try:
            return rows(plan.networks), plan.networks
        except OutOfTime:
            if not limited.done:
                raise
        return rows(limited.done), limited.done

    def evaluate(
        self,
        plan: Plan,
        synthetic: SyntheticSet,
        data: Data,
        repeats: int,
        watcher: Watcher | None = None,
        itself: bool = True,
        beside: Sequence[str] = (),
    ) -> list[Row]:
        """``repeats`` networks under the row's protocol, on the set ``itself`` and what stands beside it."""
        preset = plan.preset
        watcher = watcher or _TimeLimitedNetworks(self.watcher, self.budget, plan.name)
        evaluation = Evaluation(
            synthetic, data, preset.protocol, beside, None, self.seed, preset.method, self.machine, self.ledger, watcher
        )
        return evaluation.rows((preset.network,), repeats, itself)


class _TimeLimitedNetworks(Relay):
    """Ends an evaluation where there is no time for one more network that takes as long as the last.

    Args:
        watcher: is notified of each network.
        budget: of time.
        row: what the networks belong to.
    """

    def __init__(self, watcher: Watcher, budget: Budget, row: str) -> None:
        super().__init__(watcher)
        self.budget, self.row, self.done = budget, row, 0
        self.start()

    def start(self) -> None:
        """The first network begins now."""
        self._last = self.budget.clock()

    def network(self, artifact: str, network: int, networks: int, accuracy: float) -> None:
        now = self.budget.clock()
        took, self._last = now - self._last, now
        self.done = network
        self.watcher.note(f"{self.row}: {artifact}, network {network} of {networks}, {accuracy:.2%}")
        if self.watcher.stop():
            raise InterruptedRun("stopped between two networks; run the same command again to resume")
        if network < networks and not self.budget.allows(took):
            raise OutOfTime
