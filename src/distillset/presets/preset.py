"""What a published setting consists of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Accuracy:
    """A published test accuracy in percent, mean and standard deviation, and the table that was read."""

    mean: float
    std: float
    source: str


@dataclass(frozen=True)
class Ours:
    """What this library recommends in place of a published setting, because it measured at least as much.

    Args:
        steps: instead of the published ones.
        settings: fields of the method in place of the published ones.
        result: name of the file in ``results/`` that shows it.
    """

    steps: int
    result: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Preset:
    """A row: a method on a data set at some images per class, as published.

    Args:
        method: a name of `distillset.methods.METHODS`, or of `distillset.coresets.SELECTORS`.
        data: a known name, or whatever else `distillset.load` takes.
        ipc: images per class.
        classes: of the data set.
        steps: published; 0 for a selection.
        protocol: of the evaluation, a name of `distillset.evaluation.PROTOCOLS`.
        settings: fields of the method, as published.
        published: None where no confirmed number is known.
        paper: who proposed the method.
        ours: what measured better here, if anything.
        network: distilled with and evaluated on.
    """

    method: str
    data: str
    ipc: int
    classes: int
    steps: int
    protocol: str
    paper: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    published: Accuracy | None = None
    ours: Ours | None = None
    network: str = "convnet"

    @property
    def name(self) -> str:
        """``dm-cifar10-10``."""
        return f"{self.method}-{self.data}-{self.ipc}"
