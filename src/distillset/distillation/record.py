"""What a run stores and measures on its way."""

from collections.abc import Callable
from dataclasses import dataclass

from distillset.arguments import function, number, whole
from distillset.data.synthetic import SyntheticSet
from distillset.errors import InputError

CHECKPOINT_SECONDS = 30.0
"""A kill costs at most about this much work."""


@dataclass(frozen=True)
class Record:
    """What a run stores and measures on its way. It has no influence on the synthetic set.

    Args:
        snapshots: how many intermediate sets to store in the run's folder, evenly spaced, after the first; at least 0.
        evaluate: a function of the present set that returns its accuracy, a fraction; it is logged.
        evaluate_every: steps between two calls of ``evaluate``; 0 is never.
        checkpoint_seconds: seconds between two checkpoints, at least 0: a kill loses at most this much work.

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
