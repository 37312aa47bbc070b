"""Experts: networks trained on the real set, whose parameters are recorded epoch by epoch.

As in Cazenavette et al., "Dataset Distillation by Matching Training Trajectories" (CVPR 2022, section 3.1 and
appendix): SGD without momentum or weight decay, a constant rate, the differentiable augmentation with parameters drawn
per image. Option: sharpness-aware minimisation (Foret et al., ICLR 2021), after "Minimizing the Accumulated Trajectory
Error" (Du et al., CVPR 2023), who use a variant of it.

Deviations from the authors' code: random numbers come from named streams; every state is a copy (there, on a CPU, all
of them alias the live weights); only epochs that the matching can reach are kept.
"""

import copy
import math
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from itertools import count as numbers
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from distillset.augment import Augmentation, Table
from distillset.data.real import RealSet
from distillset.engine import Engine, FlatLoss, GradientAndVJP, Launch
from distillset.errors import DivergedError, InputError, InterruptedRun
from distillset.keys import Key
from distillset.mesh import Mesh, Solo
from distillset.nets import fresh, mixes_images
from distillset.store import locked, sweep
from distillset.training.sessions import Drawing, Numbers, TrainingSet
from distillset.training.trajectories import ExpertSetting, Layout, Trajectories
from distillset.watch import Watcher

OVERHEAD = 600
"""Bytes of a state's file besides its numbers, at most."""


def stateless(module: nn.Module) -> nn.Module:
    """A copy of ``module`` that is a function of its parameters alone: batch norm uses the batch, in training or not.

    Running statistics are no part of a trajectory.
    """
    copied = copy.deepcopy(module).train()
    for layer in copied.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.track_running_stats = False
            layer.running_mean = layer.running_var = layer.num_batches_tracked = None
    return copied


def flat_loss(module: nn.Module, layout: Layout) -> FlatLoss:
    """The cross entropy of a network as a function of its parameters in one vector."""
    network = stateless(module)

    def loss(parameters: Tensor, images: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        out: Tensor = functional_call(network, layout.unflatten(parameters), (images,))
        # Float64 stays: the same code is its own oracle on double inputs.
        exact = out if out.dtype == torch.float64 else out.float()
        return (F.cross_entropy(exact, targets, reduction="none") * weights).sum()

    return loss


class ExpertTrainer:
    """Trains experts of one setting; compiled functions are kept from one expert to the next."""

    def __init__(self, engine: Engine, module: nn.Module, real: RealSet, setting: ExpertSetting) -> None:
        self.engine, self.module, self.real, self.setting = engine, module, real, setting
        self.layout = Layout(module)
        self.gradient_and_vjp = GradientAndVJP(engine, flat_loss(module, self.layout), mixes_images(module))
        self.drawing = Drawing(engine, Augmentation.parse(setting.augment))
        self.labels = real.labels.to(engine.device)
        self._vector = torch.zeros(self.layout.size, device=engine.device)
        self._total = torch.zeros((), device=engine.device)
        self._captures = engine.defers and real.resident(engine.device)
        self._launches: dict[int, Launch] = {}

    def key(self, expert: int) -> Key:
        """The streams of an expert: initial weights, orders and augmentations."""
        return Key(self.setting.seed)("expert", expert)

    def start(self, expert: int) -> Tensor:
        """The parameters before the first epoch, ``[P]``."""
        return self.layout.flatten(fresh(self.module, self.key(expert)("network"), self.engine.device))

    def epoch(self, vector: Tensor, expert: int, epoch: int) -> tuple[Tensor, float]:
        """(the parameters after one more epoch, its mean loss). ``vector`` is left as it is."""
        self._vector.copy_(vector)
        self._total.zero_()
        numbers = Numbers(
            [TrainingSet(self._images, self.labels, self.key(expert))],
            self.setting.batch,
            epoch + 1,
            self.drawing,
            self.real.spec.shape,
            self.engine.device,
            on_host=not self._captures,
        )
        for update in numbers.of(epoch):
            rows, (table,) = update.rows[0], update.tables
            if not self._captures:
                assert isinstance(table, Table)
                self._update(rows, table.apply(self._images(rows)))
                continue
            if len(rows) not in self._launches:
                self._launches[len(rows)] = self.engine.launch(self._captured)
            self._launches[len(rows)](rows, table)
        return self._vector.clone(), float(self._total) / len(self.real)

    def _images(self, rows: Tensor) -> Tensor:
        return self.real.rows(rows, self.engine.device)

    def _captured(self, rows: Tensor, numbers: Tensor) -> None:
        images = self._images(rows)
        self._update(rows, self.drawing.augment(images, numbers) if self.drawing.augmentation.strategy else images)

    def _update(self, rows: Tensor, images: Tensor) -> None:
        """A step on the mean loss of augmented images, whose loss is added up."""
        setting, vector, full = self.setting, self._vector, min(self.setting.batch, len(self.real))
        targets = self.labels[rows]
        weights = torch.full((len(rows),), 1 / len(rows), device=images.device)
        gradient, loss = self.gradient_and_vjp.gradient(vector, images, targets, weights, full)
        if setting.sam:
            ascent = vector + gradient * (setting.sam / (gradient.norm() + 1e-12))
            gradient, _ = self.gradient_and_vjp.gradient(ascent, images, targets, weights, full)
        vector.sub_(gradient, alpha=setting.lr)
        self._total += loss * len(rows)


def disk_needed(trajectories: Trajectories, layout: Layout, count: int, epochs: int) -> int:
    """Bytes still to be written for ``count`` experts of ``epochs`` epochs."""
    states = sum(max(0, epochs - trajectories.last(expert)) for expert in range(count))
    return states * (4 * layout.size + OVERHEAD)


def check_disk(folder: Path, needed: int) -> str:
    """A line that tells the disk needed and free.

    Raises:
        InputError: there is not enough.
    """
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(place).free
    space = f"{needed / 1e6:,.1f} MB of disk needed, {free / 1e6:,.0f} MB free"
    if needed > free:
        raise InputError("out", folder, f"{space}; fewer experts or epochs need less")
    return space


def train_experts(
    engine: Engine,
    module: nn.Module,
    real: RealSet,
    setting: ExpertSetting,
    folder: Path,
    count: int,
    epochs: int,
    watcher: Watcher,
    mesh: Mesh | None = None,
) -> Trajectories:
    """Experts ``0`` to ``count - 1``, trained up to ``epochs`` epochs; those in ``folder`` are continued.

    Bit for bit on a CPU, whenever the process was killed: an expert is resumed from its state alone. Ranks train whole
    experts, each its own, into the same folder, which all must see; the one that writes holds it.

    Raises:
        InputError: the folder holds experts of another setting, or the disk is too small.
        DivergedError: a loss is not finite, on whichever rank.
        InterruptedRun: a watcher asked to stop; every whole epoch is in ``folder``.
    """
    mesh, layout = mesh or Solo(), Layout(module)
    space = check_disk(folder, disk_needed(Trajectories(folder, {}), layout, count, epochs)) if mesh.writes else ""
    with locked(folder) if mesh.writes else nullcontext():
        begun: list[Any] = [[], 0, ""]
        if mesh.writes:
            trajectories = Trajectories.make(folder, setting, layout, engine.compute.to_json())
            sweep(folder)  # what a killed process was writing
            ends = [min(trajectories.last(expert), epochs) for expert in range(count)]
            begun = [
                [expert for expert in range(count) if ends[expert] < epochs],
                sum(max(0, end) for end in ends),
                space,
            ]
        missing, done, space = mesh.agree(begun)
        trajectories = Trajectories.open(folder)
        if missing:
            watcher.note(f"{count} experts of {epochs} epochs in {folder}: {len(missing)} to be trained, {space}")
            _check_precision(trajectories, engine)
            epochs_trained = _trained(
                trajectories, ExpertTrainer(engine, module, real, setting), mesh.share(missing), epochs, watcher
            )
            _together(epochs_trained, done, count * epochs, folder, watcher, mesh)
    return trajectories


def _check_precision(trajectories: Trajectories, engine: Engine) -> None:
    before, now = trajectories.card["compute"]["precision"], engine.compute.precision
    if before != now:
        raise InputError(
            "precision",
            now,
            f"the experts in {trajectories.folder} were begun with {before}; use that, or another folder",
        )


def _trained(
    trajectories: Trajectories, trainer: ExpertTrainer, missing: Sequence[int], epochs: int, watcher: Watcher
) -> Iterator[tuple[int, int, float]]:
    """Train experts one after the other; gives (expert, epochs it has, loss) after every epoch."""
    for expert in missing:
        epoch, vector = _resume(trajectories, trainer, expert, watcher)
        while epoch < epochs:
            vector, loss = trainer.epoch(vector, expert, epoch)
            epoch += 1
            if not math.isfinite(loss) or not bool(torch.isfinite(vector).all()):
                raise DivergedError(
                    f"expert {expert} diverged in epoch {epoch}: loss {loss:g}; earlier states are kept; "
                    "try a smaller learning rate of the experts"
                )
            trajectories.save(expert, epoch, vector)
            yield expert, epoch, loss


def _together(
    epochs_trained: Iterator[tuple[int, int, float]], done: int, total: int, folder: Path, watcher: Watcher, mesh: Mesh
) -> None:
    """Drive this rank's experts. Ranks meet after every epoch, so that none waits for long and all stop together."""
    expert, epoch, loss, took = 0, 0, math.nan, 0.0
    for turn in numbers():
        before, failed, went_on = time.monotonic(), None, 0
        try:
            expert, epoch, loss = next(epochs_trained)
            went_on = 1
        except StopIteration:
            pass
        except DivergedError as error:
            failed = error
        took = time.monotonic() - before
        flags = torch.tensor([went_on, failed is not None])
        mesh.add([flags])
        advanced, failures = (int(number) for number in flags.tolist())
        if failures:
            raise failed or DivergedError("experts of another rank diverged; see what it says")
        if not advanced:
            return
        done += advanced
        watcher.epoch(done, total, loss)
        if turn == 0 and done < total:
            watcher.note(
                f"estimate: {total - done} more epochs of experts at {took:.3g} s (as long as the first), at "
                f"most {took * (total - done) / mesh.size / 60:.1f} min"
            )
        if mesh.any(watcher.stop()) and done < total:
            raise InterruptedRun(
                f"stopped after epoch {epoch} of expert {expert}; stored in {folder}; run the same command again to "
                "resume"
            )


def _resume(trajectories: Trajectories, trainer: ExpertTrainer, expert: int, watcher: Watcher) -> tuple[int, Tensor]:
    """The last whole state of an expert, or its start; a damaged state is noted and trained again."""
    for epoch in range(trajectories.last(expert), -1, -1):
        try:
            return epoch, trajectories.state(expert, epoch, trainer.engine.device)
        except InputError as error:
            watcher.note(f"{error}; trained again")
    vector = trainer.start(expert)
    trajectories.save(expert, 0, vector)
    return 0, vector
