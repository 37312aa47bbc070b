"""Makes a small set of a real one, by the name of a selector or of a method; studies use it."""

from dataclasses import dataclass, field
from pathlib import Path

from distillset.coresets import SELECTORS, select
from distillset.data.real import RealSet
from distillset.data.spec import Spec
from distillset.data.synthetic import CARD, SyntheticSet
from distillset.distillation.distill import distill
from distillset.distillation.record import Record
from distillset.errors import InputError
from distillset.machine import Machine
from distillset.methods import METHODS
from distillset.nets import Network
from distillset.watch import Relay, Watcher


@dataclass(frozen=True)
class Maker:
    """How a small set is made.

    Args:
        by: a name of `SELECTORS` or `METHODS`.
        steps: of a distillation; None is the method's published number.
        network: the distilling network.
        machine: what to compute on.
    """

    by: str
    steps: int | None = None
    network: str = "convnet"
    machine: Machine = field(default_factory=Machine)

    @property
    def distils(self) -> bool:
        return self.by in METHODS

    def check(self, field: str, spec: Spec, ipc: int) -> None:
        """Whether it can be used, before anything is.

        Args:
            field: what the name was given for, such as ``memories``.
            spec: of the real set.
            ipc: images per class.

        Raises:
            InputError: an unknown name, or a value out of its range.
        """
        if self.by not in SELECTORS and not self.distils:
            raise InputError(field, self.by, f"choose from {', '.join([*SELECTORS, *METHODS])}")
        if ipc < 1:
            raise InputError("ipc", ipc, "must be at least 1")
        if self.steps is not None and self.steps < 0:
            raise InputError("distill_steps", self.steps, "must be at least 0")
        if self.distils:
            METHODS[self.by]().resolve(spec, ipc)
            Network.of(self.network, spec)

    def make(self, real: RealSet, ipc: int, seed: int, out: Path, watcher: Watcher) -> SyntheticSet:
        """``ipc`` images per class of ``real``, stored as an artifact in ``out``; one that is there is used again.

        Raises:
            InputError: the method cannot be used on ``real``.
            DivergedError, InterruptedRun: see `distillset.distill`.
        """
        if self.distils:
            return distill(
                real,
                METHODS[self.by](),
                ipc,
                steps=self.steps,
                seed=seed,
                network=self.network,
                whiten="none",  # memories of several steps, and proxies side by side, share one space
                out=out,
                record=Record(snapshots=0),
                watcher=_Aside(watcher),
                machine=self.machine,
            )
        if not (out / CARD).is_file():  # written last: the artifact is whole
            chosen = select(
                real,
                self.by,
                ipc,
                seed=seed,
                machine=self.machine,
                watcher=watcher,
            )
            chosen.save(out)
        return SyntheticSet.load(out)


def seconds(synthetic: SyntheticSet) -> float:
    """What a set took to make, its expert (if there is one) included."""
    metrics = synthetic.card.get("metrics") or {}
    return float(metrics.get("seconds") or 0.0) + float(metrics.get("expert_seconds") or 0.0)


class _Aside(Relay):
    """One of many distillations: its steps make no bar, a stop stops it."""

    def note(self, line: str) -> None:
        if line.startswith(("estimate", "going on")):
            self.watcher.note(f"distilling: {line}")

    def step(self, step: int, steps: int, loss: float) -> None:
        return None

    def epoch(self, epoch: int, epochs: int, loss: float) -> None:
        return None
