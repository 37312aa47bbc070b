"""Rows of the published table run one after the other until the time is up; the next call resumes there."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from distillset.coresets import select
from distillset.data.synthetic import CARD, SyntheticSet
from distillset.distillation.distill import distill
from distillset.distillation.run_folder import RunFolder
from distillset.errors import DivergedError, InputError, InterruptedRun
from distillset.evaluation import Ledger, Row
from distillset.evaluation.beside import names_beside
from distillset.machine import Machine
from distillset.methods import METHODS
from distillset.reproduction.budget import Budget, OutOfTime, TimeLimitedWatcher
from distillset.reproduction.networks import Networks
from distillset.reproduction.plan import Plan
from distillset.reproduction.record import Results, ours, result_of
from distillset.sources.load import Data, load
from distillset.store import held
from distillset.watch import Watcher, watching


@dataclass(frozen=True)
class Outcome:
    """How far a row came. ``state`` is ``done``, ``partial`` (the same call resumes it), ``waiting`` or
    ``failed``.
    """

    name: str
    state: str
    text: str


def reproduce(
    plans: Sequence[Plan],
    budget: Budget,
    *,
    results: Results,
    out: Path,
    data_dir: Path | None = None,
    machine: Machine | str = "auto",
    seed: int = 0,
    beside: Sequence[str] = ("random",),
    watcher: Watcher | None = None,
    why: str = "",
    commit: str | None = None,
    distill_for: float | None = None,
) -> list[Outcome]:
    """Run ``plans`` in their order within ``budget``; the same call resumes what was interrupted.

    A row is distilled to its last step, with its state kept in ``out/ROW``, then evaluated under its published
    protocol; what has been trained is remembered in ``out/accuracies``. Its result is written when networks have been
    evaluated on the whole run's set, and says how many; a distillation that is not at its last step has no result,
    unless ``distill_for`` asks for one.

    When all rows are done and time is left, random real images are evaluated beside them.

    Args:
        plans: see `distillset.reproduction.plan.choose`.
        budget: of wall time for this call.
        results: where the result of a row goes.
        out: folder for run folders and accuracies.
        data_dir: the folder to search first for known names.
        machine: what to compute on.
        seed: random seed.
        beside: what is evaluated as well when time is left: ``("random",)``, or ``()``.
        watcher: is notified of progress and may ask to stop.
        why: reason to store with results that fall short.
        commit: commit of the source, stored with the results.
        distill_for: seconds after which a distillation ends in this call; its set is evaluated, and the result shows
            how many steps it took. None waits for the last step.

    Raises:
        InputError: every row failed, the first by this.
        DivergedError: the same.
        InterruptedRun: the watcher asked to stop; everything is kept.
    """
    watcher = watching(watcher)
    if set(names_beside(beside)) - {"random"}:
        raise InputError("beside", beside, "choose random or none; nothing else can be evaluated beside rows")
    desk = _Desk(budget, results, out, data_dir, Machine.of(machine), seed, watcher, why, commit, distill_for)
    outcomes: list[Outcome] = []
    for plan in plans:
        if budget.left <= budget.margin:
            outcomes.append(Outcome(plan.name, "waiting", "no time was left"))
            continue
        outcomes.append(desk.guarded(plan, desk.row))
        watcher.note(f"{plan.name}: {outcomes[-1].state}, {outcomes[-1].text}")
    done = [plan for plan, outcome in zip(plans, outcomes, strict=True) if outcome.state == "done"]
    finished = all(outcome.state in ("done", "failed") for outcome in outcomes)
    for plan in done if beside and finished else []:
        if budget.left > budget.margin and desk.lacks_baseline(plan):
            outcome = desk.guarded(plan, desk.beside)
            watcher.note(f"{plan.name}: random images: {outcome.state}, {outcome.text}")
    if outcomes and len(desk.errors) == len(outcomes):
        raise desk.errors[0]
    return outcomes


class _Desk:
    """What the rows of a call share."""

    def __init__(
        self,
        budget: Budget,
        results: Results,
        out: Path,
        data_dir: Path | None,
        machine: Machine,
        seed: int,
        watcher: Watcher,
        why: str,
        commit: str | None,
        distill_for: float | None,
    ) -> None:
        self.budget, self.results, self.out, self.data_dir, self.machine = budget, results, out, data_dir, machine
        self.seed, self.watcher, self.why, self.commit = seed, watcher, why, commit
        self.distill_for = distill_for
        self.networks = Networks(budget, watcher, Ledger(out / "accuracies"), seed, machine)
        self.errors: list[InputError | DivergedError] = []
        self._data: tuple[str, Data | InputError] | None = None

    def guarded(self, plan: Plan, work: Callable[[Plan], Outcome]) -> Outcome:
        """The outcome of ``work``, also where it fails or the time ends."""
        try:
            with self.budget.enforced():
                return work(plan)
        except OutOfTime:
            return Outcome(plan.name, "partial", "the time ended; what was done is kept")
        except InterruptedRun as stopped:
            if self.watcher.stop():  # a person asked for it, not the clock
                raise
            return Outcome(plan.name, "partial", str(stopped))
        except (InputError, DivergedError) as error:
            self.errors.append(error)
            return Outcome(plan.name, "failed", str(error))

    def row(self, plan: Plan) -> Outcome:
        """Distil or select, evaluate, and write the result."""
        if self._done(plan):
            return Outcome(plan.name, "done", f"exists already: {self.results.path(plan.name)}")
        data = self._load(plan.preset.data)
        synthetic, reached = self._make(plan, data)
        rows, n = self.networks.measure(reached, synthetic, data)
        path = self._write(reached, synthetic, rows)
        if n < plan.networks:
            return Outcome(plan.name, "partial", f"{n} of {plan.networks} networks, {rows[0].mean:.2%} so far; {path}")
        text = f"{' '.join(rows[0].percent.split())} %; {path}"
        if reached.steps < plan.steps:
            return Outcome(plan.name, "partial", f"{reached.steps} of {plan.steps} steps, {text}")
        return Outcome(plan.name, "done", text)

    def lacks_baseline(self, plan: Plan) -> bool:
        """Whether random images could and should be evaluated beside a row."""
        result = self.results.read(plan.name)
        folder = self.out / plan.folder
        if result is None or plan.preset.method not in METHODS or not (folder / CARD).is_file():
            return False
        same = SyntheticSet.load(folder).fingerprint() == result["artifact"]
        return same and all(row["artifact"] != "random" for row in result["rows"])

    def beside(self, plan: Plan) -> Outcome:
        """Evaluate random images beside a finished row, and add them to its result."""
        data = self._load(plan.preset.data)
        synthetic = SyntheticSet.load(self.out / plan.folder)
        rows = self.networks.evaluate(plan, synthetic, data, plan.networks, beside=("random",))
        return Outcome(plan.name, "done", f"{rows[1].mean:.2%}; {self._write(plan, synthetic, rows)}")

    def _done(self, plan: Plan) -> bool:
        result = self.results.read(plan.name)
        if result is None or not result.get("complete", True) or result.get("departures", []) != plan.departures:
            return False
        best = ours(result)
        as_published = best["protocol"] == plan.preset.protocol and result["settings"].get("seed", 0) == self.seed
        return bool(as_published and result["steps"] >= plan.steps and best["n"] >= plan.networks)

    def _load(self, name: str) -> Data:
        if self._data is None or self._data[0] != name:
            try:
                data: Data | InputError = load(name, data_dir=self.data_dir, watcher=self.watcher)
            except InputError as error:
                data = error
            self._data = name, data
        if isinstance(self._data[1], InputError):
            raise self._data[1]
        return self._data[1]

    def _make(self, plan: Plan, data: Data) -> tuple[SyntheticSet, Plan]:
        """The set of a row, whole on the disk, and the plan as far as it came."""
        folder, preset = self.out / plan.folder, plan.preset
        if preset.method not in METHODS:
            with held(folder):
                synthetic = _whole(folder)
                if synthetic is None or synthetic.card.get("data", {}).get("fingerprint") != data.train.fingerprint():
                    chosen = select(
                        data,
                        preset.method,
                        preset.ipc,
                        seed=self.seed,
                        watcher=self.watcher,
                        machine=self.machine,
                    )
                    chosen.save(folder)
                return SyntheticSet.load(folder), plan
        try:
            self._distil(plan, data, TimeLimitedWatcher(self.budget.part(self.distill_for), self.watcher))
        except InterruptedRun:
            with RunFolder.open(folder) as run:
                stored, _ = run.latest()
            if self.distill_for is None or self.watcher.stop() or stored is None or stored.step == 0:
                raise
            plan = replace(plan, steps=stored.step)
            self._distil(plan, data, self.watcher)  # nothing is left to do but the set
        return SyntheticSet.load(folder), plan

    def _distil(self, plan: Plan, data: Data, watcher: Watcher) -> None:
        distill(
            data,
            METHODS[plan.preset.method](**plan.settings),
            plan.preset.ipc,
            steps=plan.steps,
            seed=self.seed,
            network=plan.preset.network,
            out=self.out / plan.folder,
            watcher=watcher,
            machine=self.machine,
        )

    def _write(self, plan: Plan, synthetic: SyntheticSet, rows: Sequence[Row]) -> Path:
        result = result_of(
            synthetic.card,
            [row.to_json() for row in rows],
            preset=plan.preset,
            wanted=plan.networks,
            departures=plan.departures,
            why=self.why,
            commit=self.commit,
        )
        return self.results.write(plan.name, result)


def _whole(folder: Path) -> SyntheticSet | None:
    """The artifact in ``folder``; None where there is none, or a kill or damage left no whole one."""
    try:
        return SyntheticSet.load(folder)
    except InputError:
        return None
