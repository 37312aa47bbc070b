"""Experts of trajectory matching: from a folder, or trained first; and their predictions for images."""

import shutil
import tempfile
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from distillset.engine import logits
from distillset.errors import InputError
from distillset.methods.task import Task
from distillset.nets import mixes_images
from distillset.training import ExpertSetting, Layout, Trajectories, stateless, train_experts

CANDIDATES = 40
"""Real images looked at for each one that is wanted, when only correctly classified ones will do."""

SHARPNESS = 2.0
"""Soft labels start as the softmax of this many times an expert's standardised logits."""


@dataclass(frozen=True)
class Wanted:
    """What is asked of experts: every epoch up to ``reach`` of ``count`` of them; the rest says how to train them."""

    reach: int
    count: int
    lr: float
    batch: int
    augment: str
    sam: float


class Experts:
    """Experts at hand. A temporary folder of theirs is gone with them."""

    def __init__(self, trajectories: Trajectories, wanted: Wanted, scratch: str | None = None) -> None:
        self.trajectories, self.wanted = trajectories, wanted
        self._gone = weakref.finalize(self, shutil.rmtree, scratch, ignore_errors=True) if scratch else None
        self._judge: tuple[Task, Callable[..., tuple[list[Tensor], list[Tensor]]]] | None = None

    def close(self) -> None:
        """Remove the temporary folder, if there is one."""
        if self._gone:
            self._gone()

    def segment(self, expert: int, start: int, epochs: int) -> tuple[Tensor, Tensor]:
        """The parameters of an expert at epoch ``start`` and ``epochs`` later, float32 ``[P]`` on the CPU."""
        return self.trajectories.state(expert, start), self.trajectories.state(expert, start + epochs)

    def guesses(self, expert: int, images: Tensor, task: Task, full: int | None = None) -> Tensor:
        """Logits of an expert at its last reachable epoch, ``[n, classes]``; ``full`` is the usual number of images."""
        state = Layout(task.network).unflatten(self.trajectories.state(expert, self.wanted.reach, task.device))
        if self._judge is None or self._judge[0] is not task:
            predict = logits(stateless(task.network))
            # Kept, for where it is compiled it serves all experts and classes.
            judge = task.engine.split(lambda *inputs: ((), (predict(*inputs),)), mixes_images(task.network))
            self._judge = task, judge
        _, (outputs,) = self._judge[1]((state,), (images.float(),), full)
        return outputs

    def correct_images(self, judges: int, task: Task, count: int) -> Tensor:
        """Images that ``judges`` experts all classify correctly, ``count`` per class; where they run out, others."""
        parts: list[Tensor] = []
        looked = [max(count, min(size, CANDIDATES * count)) for size in task.real.counts.tolist()]
        for c, most in enumerate(looked):
            images = task.real.draw(c, most, task.key("init", c), task.device)
            right = torch.ones(len(images), dtype=torch.bool, device=task.device)
            for expert in range(min(judges, self.wanted.count)):
                right &= self.guesses(expert, images, task, max(looked)).argmax(1) == c
            parts.append(images[torch.argsort((~right).int(), stable=True)[:count]])
        return torch.cat(parts)

    def first_labels(self, images: Tensor, classes: Tensor, task: Task) -> Tensor:
        """Logits ``[N, classes]`` to start soft labels from: an expert's, standardised, the own class raised to the
        top.

        Args:
            images: ``[N, C, H, W]``.
            classes: ``int64 [N]``.
            task: what the experts were trained for.
        """
        logits = self.guesses(0, images, task).to(images.dtype)
        logits = SHARPNESS * (logits - logits.mean(1, keepdim=True)) / (logits.std(1, keepdim=True) + 1e-6)
        one_hot = F.one_hot(classes, task.spec.classes).bool()
        return torch.where(one_hot, logits.max(1, keepdim=True).values + 1, logits)


def count_reaching(folder: str, reach: int) -> int:
    """How many experts of a folder have every epoch up to ``reach``.

    Raises:
        InputError: none has, or the folder holds no experts.
    """
    trajectories = Trajectories.open(Path(folder))
    count = trajectories.count(reach)
    if count == 0:
        raise InputError(
            "experts",
            Path(folder),
            f"no expert has epoch {reach}, the last one that `max_start` and `expert_epochs` reach (their sum less 1); "
            f"the first expert ends at epoch {trajectories.last(0)}",
        )
    return count


def experts_in(folder: str, wanted: Wanted, task: Task) -> Experts:
    """The experts in ``folder``.

    Raises:
        InputError: they are of other data, another whitening or network, too few or too short; names the field.
    """
    trajectories = Trajectories.open(Path(folder))
    network = {"network": task.name} if task.name else {}
    trajectories.check({"data": task.real.fingerprint(), "whiten": _whiten(task), **network})
    trajectories.check_network(Layout(task.network))
    count = count_reaching(folder, wanted.reach)
    if count < wanted.count:
        raise InputError(
            "expert_count",
            wanted.count,
            f"in {folder} only {count} experts have epoch {wanted.reach}, the last one that `max_start` and "
            "`expert_epochs` reach",
        )
    return Experts(trajectories, wanted)


def trained_experts(wanted: Wanted, task: Task) -> Experts:
    """Experts trained for this task, in the folder of its run; those that are there are continued.

    Ranks share the work, and the folder.
    """
    setting = ExpertSetting(
        data=task.real.fingerprint(),
        whiten=_whiten(task),
        network=task.name,
        lr=wanted.lr,
        batch=wanted.batch,
        augment=wanted.augment,
        sam=wanted.sam,
        seed=task.key.seed,
    )
    scratch = tempfile.mkdtemp(prefix="distillset-") if task.folder is None and task.mesh.writes else None
    place = Path(task.mesh.agree(str(Path(scratch or task.folder or "").absolute())))
    trajectories = train_experts(
        task.engine,
        task.network,
        task.real,
        setting,
        place / "experts",
        wanted.count,
        wanted.reach,
        task.watcher,
        task.mesh,
    )
    return Experts(trajectories, wanted, scratch)


def _whiten(task: Task) -> str:
    return "none" if task.real.whitening is None else "zca"
