"""Small runs of trajectory matching, and their experts' setting: shared by its tests."""

import dataclasses
from pathlib import Path
from typing import Any

import torch

from distillset import SyntheticSet, distill
from distillset.methods import MTT, Task
from distillset.methods.mtt import TrajectoryMatching
from distillset.nets import build, canonical
from distillset.training import ExpertSetting
from distillset.watch import Watcher
from tests import toys

REAL = toys.toy()
NAME = canonical(toys.NETWORK)
SETTING = ExpertSetting(REAL.fingerprint(), "none", NAME, 0.05, 10)
METHOD = MTT(
    lr=10.0, lr_start=0.05, lr_lr=1e-5, syn_steps=4, expert_epochs=2, max_start=2, batch_syn=0, expert_lr=0.05,
    expert_batch=10, expert_count=2,
)  # fmt: skip


FULL = dataclasses.replace(METHOD, lr_labels=1.0, average=0.9, segments=2, lr_lr=1e-3)
"""Everything on."""


def task_of(dtype: torch.dtype = torch.float32, ipc: int = 2) -> Task:
    return Task(REAL, ipc, build(toys.NETWORK, REAL.spec).to(dtype), toys.engine(), NAME)


def matcher_of(experts: str, dtype: torch.dtype = torch.float32, **changes: Any) -> TrajectoryMatching:
    method = dataclasses.replace(METHOD, experts=experts, **changes).resolve(REAL.spec, 2)
    return method.prepare(task_of(dtype))


def distil(out: Path | None = None, **changes: Any) -> SyntheticSet:
    arguments: dict[str, Any] = {
        "data": toys.toy_data(), "method": METHOD, "ipc": 2, "steps": 4, "network": toys.NETWORK, "out": out,
        "machine": toys.EAGER, **changes,
    }  # fmt: skip
    return distill(**arguments)


class Stopping(Watcher):
    def __init__(self, epochs: int = -1, steps: int = -1) -> None:
        self.left = {"epochs": epochs, "steps": steps}
        self.notes: list[str] = []

    def note(self, line: str) -> None:
        self.notes.append(line)

    def step(self, step: int, steps: int, loss: float) -> None:
        self.left["steps"] -= 1

    def epoch(self, epoch: int, epochs: int, loss: float) -> None:
        self.left["epochs"] -= 1

    def stop(self) -> bool:
        return 0 in self.left.values()


class Losses(Watcher):
    def __init__(self) -> None:
        self.losses: list[float] = []

    def step(self, step: int, steps: int, loss: float) -> None:
        self.losses.append(loss)
