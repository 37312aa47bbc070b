"""What is kept and measured while a run goes on."""

from collections.abc import Callable
from dataclasses import dataclass

from distillset.arguments import function, number, whole
from distillset.data.synthetic import SyntheticSet
from distillset.errors import InputError

CHECKPOINT_SECONDS = 30.0
"""A kill costs at most about this much work."""


@dataclass(frozen=True)
class Record:
    """What is kept and measured while a run goes on. It has no influence on the synthetic set.

    Args:
        snapshots: how many intermediate sets to keep in the run's folder, evenly spaced, beside the first; at least 0.
        evaluate: takes the set as it is and returns its accuracy, a fraction, which is logged.
        evaluate_every: steps between two calls of ``evaluate``; 0 is never.
        checkpoint_seconds: seconds between two checkpoints, at least 0: the most work that a kill costs.

    Raises:
        InputError: a field is out of its range.
    """

    snapshots: int = 10
    evaluate: Callable[[SyntheticSet], float] | None = None
    evaluate_every: int = 0
    checkpoint_seconds: float = CHECKPOINT_SECONDS

    def __post_init__(self) -> None:
        object.__setattr__(self, "snapshots", whole("snapshots", self.snapshots, 0))
        object.__setattr__(self, "evaluate_every", whole("evaluate_every", self.evaluate_every, 0))
        object.__setattr__(self, "checkpoint_seconds", number("checkpoint_seconds", self.checkpoint_seconds))
        if self.evaluate is not None:
            function("evaluate", self.evaluate)
        if not self.checkpoint_seconds >= 0:
            raise InputError("checkpoint_seconds", self.checkpoint_seconds, "must be at least 0")

    @property
    def every(self) -> int:
        """Steps between two evaluations; 0 where there is none."""
        return self.evaluate_every if self.evaluate else 0

    def steps_kept(self, steps: int) -> set[int]:
        """After which of ``steps`` steps a snapshot is kept: evenly, with the first and the last state."""
        parts = min(self.snapshots, steps)
        if not parts:
            return {0} if self.snapshots else set()
        return {round(steps * part / parts) for part in range(parts + 1)}
