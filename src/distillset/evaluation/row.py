"""One line of an evaluation, and the table that people read."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """One line of an evaluation. ``mean`` and ``std`` (of the sample) are fractions over ``n`` = sets by networks
    trainings, each the accuracy on the whole test set after the last epoch.

    ``sets`` is how many different sets were trained on: 1 for an artifact, ``n`` for random, which is redrawn each
    time.

    Args:
        labels: what was trained on, ``hard`` (classes) or ``soft`` (probabilities).
        seconds: of all trainings and tests of this row, also of those that were remembered; without compiling.
        memory: peak bytes of this process (or on the GPU) in any of them; None where it was not measured.
        bytes: of images and labels as an artifact stores them; of the whole set, as the cache does.
        chosen: ``last``, or how else the images were chosen among a run's snapshots.
        step: of the snapshot that was chosen; None for the artifact itself.
        diverged: networks whose logits were not finite; they are in no other number but the seconds.
        fingerprint: of the artifact that was evaluated; of ``random`` and ``whole`` the one that they stand beside.
    """

    artifact: str
    network: str
    protocol: str
    labels: str
    mean: float
    std: float
    n: int
    sets: int
    networks: int
    accuracies: tuple[float, ...]
    seconds: float
    memory: int | None
    bytes: int
    recipe: dict[str, Any]
    compute: dict[str, Any]
    hardware: dict[str, Any]
    chosen: str = "last"
    step: int | None = None
    diverged: int = 0
    fingerprint: str = ""

    def __repr__(self) -> str:
        accuracy = " ".join(self.percent.split())
        return f"Row({self.artifact} on {self.network}: {accuracy} %, n {self.n}, protocol {self.protocol})"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "accuracies": list(self.accuracies)}

    @property
    def percent(self) -> str:
        """Mean and deviation as printed."""
        spread = f"{100 * self.std:.1f}" if self.n > 1 else "-"
        return f"{100 * self.mean:5.1f} +- {spread:<4}"


HEAD = ("set", "network", "protocol", "labels", "accuracy %", "n (sets x networks)", "s", "peak MB", "kB")


def table(rows: Sequence[Row]) -> str:
    """The rows as text, each protocol in full below."""
    lines = [
        (
            row.artifact,
            row.network,
            row.protocol,
            row.labels,
            row.percent,
            f"{row.n} ({row.sets} x {row.networks})",
            f"{row.seconds:.0f}",
            "-" if row.memory is None else f"{row.memory / 1e6:.0f}",
            f"{row.bytes / 1e3:.0f}",
        )
        for row in rows
    ]
    protocols = dict.fromkeys(
        f"{row.protocol}: " + ", ".join(f"{name} {value}" for name, value in row.recipe.items()) for row in rows
    )
    chosen = dict.fromkeys(f"{row.artifact}: chosen by {row.chosen}" for row in rows if row.chosen != "last")
    lost = [
        f"{row.artifact}: {row.diverged} of {row.n + row.diverged} networks ({row.network}) diverged, left out"
        for row in rows
        if row.diverged
    ]
    notes = [
        *protocols,
        *chosen,
        *lost,
        "accuracy: share of the test set that is classified right after the last epoch",
    ]
    return "\n".join([*columns(HEAD, lines), "", *notes])


def columns(head: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """Lines of text with aligned columns."""
    wide = [max(len(line[i]) for line in (head, *lines)) for i in range(len(head))]
    padded = ([f"{cell:<{width}}" for cell, width in zip(line, wide, strict=True)] for line in (head, *lines))
    return ["  ".join(line).rstrip() for line in padded]
