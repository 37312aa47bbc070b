"""``--log``: a run's numbers for TensorBoard or Weights & Biases as well. Nothing is sent anywhere unless asked for."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from distillset.errors import InputError
from distillset.store import read_json, write_json
from distillset.watch import Watcher

WANDB = "wandb.json"
"""In the run's folder: which run of Weights & Biases it is, so that a resumed one goes on there."""


class TensorBoard(Watcher):
    """Scalars through PyTorch's own writer, into ``OUT/tensorboard``.

    Raises:
        InputError: the package tensorboard is not installed.
    """

    def __init__(self, out: Path, settings: dict[str, Any]) -> None:
        _need("tensorboard")
        self.folder, self.settings = out / "tensorboard", settings
        self._writer: Any = None

    def step(self, step: int, steps: int, loss: float) -> None:
        self._open(step).add_scalar("loss", loss, step)

    def accuracy(self, step: int, accuracy: float) -> None:
        self._open(step).add_scalar("accuracy", accuracy, step)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def _open(self, step: int) -> Any:
        if self._writer is None:  # not before the first step: the run's folder has to be the run's first
            from torch.utils.tensorboard import SummaryWriter

            # What a killed run logged after its last checkpoint is computed, and told, again.
            self._writer = SummaryWriter(str(self.folder), purge_step=step)
            self._writer.add_text("settings", "\n".join(f"    {name}: {v}" for name, v in self.settings.items()), step)
        return self._writer


class Wandb(Watcher):
    """Metrics to Weights & Biases, in the project and mode that its own environment variables say.

    Raises:
        InputError: the package wandb is not installed.
    """

    def __init__(self, out: Path, settings: dict[str, Any]) -> None:
        self._wandb = _need("wandb")
        self.out, self.settings = out, settings
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
                dir=str(self.out), name=self.out.resolve().name, config=self.settings, id=known, resume="allow"
            )
            write_json(path, {"id": self._run.id})
        return self._run


LOGS: dict[str, type[TensorBoard] | type[Wandb]] = {"tensorboard": TensorBoard, "wandb": Wandb}


def open_logs(names: Sequence[str], out: Path, settings: dict[str, Any]) -> list[Watcher]:
    """The logs by name, each once.

    Raises:
        InputError: one whose package is not installed.
    """
    return [LOGS[name](out, settings) for name in dict.fromkeys(names)]


def _need(package: str) -> Any:
    try:
        return import_module(package)
    except ImportError:
        raise InputError("log", package, f"not installed; pip install 'distillset[{package}]'") from None
