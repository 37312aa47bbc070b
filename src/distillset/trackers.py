"""A run's numbers for TensorBoard or Weights & Biases as well. Nothing is sent anywhere unless asked for."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from distillset.errors import InputError
from distillset.store import read_json, write_json
from distillset.tables import PluginTable, subclass_of
from distillset.watch import Watcher

WANDB = "wandb.json"
"""In the run's folder: which run of Weights & Biases it is, so that a resumed one goes on there."""


class Tracker(Watcher):
    """Sends the numbers of a run elsewhere, besides its folder: a watcher that is made for the run.

    Args:
        out: the run's folder. It has to be the run's first: nothing may be written to it before the first step.
        settings: of the run, as texts and numbers.
    """

    def __init__(self, out: Path, settings: Mapping[str, Any]) -> None:
        self.out, self.settings = out, settings


class TensorBoard(Tracker):
    """Scalars through PyTorch's own writer, into ``OUT/tensorboard``.

    Raises:
        InputError: the package tensorboard is not installed.
    """

    def __init__(self, out: Path, settings: Mapping[str, Any]) -> None:
        super().__init__(out, settings)
        _need("tensorboard")
        self._writer: Any = None

    def step(self, step: int, steps: int, loss: float) -> None:
        self._open(step).add_scalar("loss", loss, step)

    def accuracy(self, step: int, accuracy: float) -> None:
        self._open(step).add_scalar("accuracy", accuracy, step)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def _open(self, step: int) -> Any:
        if self._writer is None:  # not before the first step: see `Tracker`
            from torch.utils.tensorboard import SummaryWriter

            # What a killed run logged after its last checkpoint is computed, and told, again.
            self._writer = SummaryWriter(str(self.out / "tensorboard"), purge_step=step)
            self._writer.add_text("settings", "\n".join(f"    {name}: {v}" for name, v in self.settings.items()), step)
        return self._writer


class Wandb(Tracker):
    """Metrics to Weights & Biases, in the project and mode that its own environment variables say.

    Raises:
        InputError: the package wandb is not installed.
    """

    def __init__(self, out: Path, settings: Mapping[str, Any]) -> None:
        super().__init__(out, settings)
        self._wandb = _need("wandb")
        self._run: Any = None

    def step(self, step: int, steps: int, loss: float) -> None:
        self._open().log({"loss": loss}, step=step)

    def accuracy(self, step: int, accuracy: float) -> None:
        self._open().log({"accuracy": accuracy}, step=step)

    def close(self) -> None:
        if self._run is not None:
            self._run.finish()

    def _open(self) -> Any:
        if self._run is None:
            path = self.out / WANDB
            known = str(read_json(path)["id"]) if path.is_file() else None
            self._run = self._wandb.init(
                dir=str(self.out), name=self.out.resolve().name, config=dict(self.settings), id=known, resume="allow"
            )
            write_json(path, {"id": self._run.id})
        return self._run


TRACKERS: PluginTable[type[Tracker]] = PluginTable(
    "tracker", "distillset.trackers", {"tensorboard": TensorBoard, "wandb": Wandb}, subclass_of(Tracker)
)
"""By name."""


def open_trackers(names: Sequence[str], out: Path, settings: Mapping[str, Any]) -> list[Tracker]:
    """The trackers by name, each once.

    Raises:
        InputError: an unknown name, or a tracker whose package is not installed.
    """
    return [TRACKERS[name](out, settings) for name in dict.fromkeys(map(TRACKERS.resolve, names))]


def _need(package: str) -> Any:
    try:
        return import_module(package)
    except ImportError:
        raise InputError("tracker", package, f"not installed; pip install 'distillset[{package}]'") from None
