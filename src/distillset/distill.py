"""The distillation loop: the only one. Methods say what to match; this owns updates, checkpoints, progress and
divergence.
"""

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distillset.data.real import RealSet
from distillset.data.sources import Data
from distillset.data.synthetic import SyntheticSet
from distillset.engine import Engine, measure
from distillset.engine.hardware import hardware, memory
from distillset.errors import DivergedError, InputError, InterruptedRun
from distillset.initial import initial
from distillset.keys import Key
from distillset.mesh import Mesh, Solo
from distillset.methods import Leaf, Matcher, Method, Piece, Task
from distillset.nets import build
from distillset.run import Checkpoint, RunFolder, check_same, resolve_compute

CHECKPOINT_SECONDS = 30.0
"""A kill costs at most about this much work."""


class Watcher:
    """What a face may do while a run goes on. The base class watches silently."""

    def note(self, line: str) -> None:
        """A line worth telling."""

    def step(self, step: int, steps: int, loss: float) -> None:
        """An episode is done: ``step`` of ``steps``."""

    def stop(self) -> bool:
        """Whether the run should save and end now."""
        return False


def distill(
    data: Data | RealSet,
    method: Method,
    ipc: int,
    *,
    steps: int | None = None,
    seed: int = 0,
    network: str = "convnet",
    init: str | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    precision: str = "auto",
    compile: str = "auto",  # noqa: A002 (the flag's name)
    snapshots: int = 10,
    evaluate: Callable[[SyntheticSet], float] | None = None,
    evaluate_every: int = 0,
    watcher: Watcher | None = None,
    mesh: Mesh | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> SyntheticSet:
    """Distil a real set into ``ipc`` synthetic images a class.

    Args:
        data: a training set, or `Data` whose training set is meant.
        method: such as ``DM()``; its ``auto`` fields are resolved for the data.
        ipc: images per class, at least 1.
        steps: episodes; None is the method's published number.
        seed: names all random streams.
        network: the distilling network, a name that `distillset.nets.build` knows.
        init: ``real``, ``noise``, ``kmeans`` or an artifact's folder; None is the method's published one.
        out: folder for checkpoints, metrics, snapshots and the artifact. The same call goes on where it stopped.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        precision: ``auto``, ``fp32`` or ``bf16``.
        compile: ``auto``, ``on`` or ``off``.
        snapshots: how many intermediate sets to keep in ``out``, evenly spaced.
        evaluate: gives an accuracy to log, every ``evaluate_every`` steps; it has no influence on the run.
        watcher: is told of progress and may ask to stop.
        mesh: the ranks that share the work.
        checkpoint_seconds: time between checkpoints.

    Returns:
        The synthetic set after the last step (never the best on any test set).

    Raises:
        InputError: an argument is out of its range, or contradicts the run in ``out``.
        DivergedError: a loss or gradient is not finite; the last good state is in ``out``.
        InterruptedRun: the watcher asked to stop; the state is in ``out``.
    """
    if not isinstance(data, Data):
        data = Data(data, data, data.spec.name)
    real = data.train
    steps = method.steps if steps is None else steps
    least = {"--ipc": 1, "--steps": 0, "--snapshots": 0, "--evaluate-every": 0}
    for (name, minimum), value in zip(least.items(), (ipc, steps, snapshots, evaluate_every), strict=True):
        if value < minimum:
            raise InputError(f"{name} {value}: must be at least {minimum}")
    method = method.resolve(real.spec, ipc)
    init = method.init if init is None else init
    settings: dict[str, Any] = {
        "method": method.name,
        **asdict(method),  # type: ignore[call-overload]
        "ipc": ipc,
        "seed": seed,
        "network": network,
        "init": init,
        "data": real.fingerprint(),
    }
    watcher, mesh = watcher or Watcher(), mesh or Solo()
    with RunFolder.open(Path(out)) if out is not None else nullcontext() as folder:
        stored, notes = folder.latest() if folder else (None, [])
        for note in notes:
            watcher.note(note)
        if stored:
            check_same(stored.settings, settings)
            if stored.step > steps:
                raise InputError(f"--steps {steps}: the run in this folder is already at step {stored.step}")
        module = build(network, real.spec)
        work = measure(
            module, real.spec.shape, method.images_per_step(real, ipc) * (steps - (stored.step if stored else 0))
        )
        compute = resolve_compute(device, precision, compile, work, stored.settings if stored else None)
        settings["compute"] = compute.to_json()
        done = _finished(folder.folder, steps) if folder and stored and stored.step == steps else None
        if folder and done:
            watcher.note(f"{folder.folder}: finished already, {steps} steps")
            return done
        task = Task(real, ipc, module, Engine(compute))
        start = stored.tensors["leaf.images"] if stored else initial(init, real, ipc, Key(seed)("init"))
        loop = _Loop(task, method.prepare(task), start, settings, data.origin(), folder, watcher, mesh)
        if stored:
            loop.restore(stored)
            watcher.note(f"going on from step {stored.step} of {steps}")
        for reason in compute.reasons:
            watcher.note(reason)
        loop.run(steps, checkpoint_seconds, snapshots, evaluate, evaluate_every)
        synthetic = loop.synthetic()
        if folder and mesh.writes:
            synthetic.save(folder.folder)
        return synthetic


def _finished(folder: Path, steps: int) -> SyntheticSet | None:
    """The artifact in ``folder`` if it is whole and of this step.

    A run that was given more steps has the one of fewer still, and a kill while it is replaced leaves a mixture.
    """
    try:
        synthetic = SyntheticSet.load(folder)
    except InputError:
        return None
    return synthetic if synthetic.card.get("steps") == steps else None


def _finite(*tensors: Tensor) -> bool:
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)


class _Loop:
    """The state of a run and its one way forward."""

    def __init__(
        self,
        task: Task,
        matcher: Matcher,
        start: Tensor,
        settings: dict[str, Any],
        origin: dict[str, Any],
        folder: RunFolder | None,
        watcher: Watcher,
        mesh: Mesh,
    ) -> None:
        self.task, self.matcher, self.settings, self.origin = task, matcher, settings, origin
        self.folder, self.watcher, self.mesh = folder, watcher, mesh
        leaves: dict[str, Leaf] = matcher.leaves(start.to(task.device))
        self.leaves = {name: leaf.start.detach().clone() for name, leaf in leaves.items()}
        groups = [
            {"params": [self.leaves[name]], "lr": leaf.rate, "momentum": leaf.momentum} for name, leaf in leaves.items()
        ]
        self.optimiser = torch.optim.SGD(groups)
        self.done, self.seconds = 0, 0.0
        self.loss: float | None = None

    def run(
        self,
        steps: int,
        checkpoint_seconds: float,
        snapshots: int,
        evaluate: Callable[[SyntheticSet], float] | None,
        every: int,
    ) -> None:
        """Episodes up to ``steps``, with a checkpoint before the first and after the last."""
        kept = {round(steps * part / snapshots) for part in range(snapshots + 1)} if snapshots else set()
        if self.folder:
            self.folder.rewind(self.done)
            self._save()
        if self.done < steps:
            self._pilot(steps - self.done)
        before = saved = time.monotonic()
        while True:
            if self.folder and self.done in kept:
                self.folder.snapshot(self.done, self.leaves)
            if self.done >= steps:
                break
            loss = self.loss = self._episode(Key(self.settings["seed"])("step", self.done))
            self.done += 1
            now = time.monotonic()
            self.seconds, before = self.seconds + now - before, now
            record: dict[str, Any] = {"step": self.done, "loss": loss, "seconds": round(self.seconds, 3)}
            self.watcher.step(self.done, steps, loss)
            if evaluate and every and self.done % every == 0:
                record["accuracy"] = evaluate(self.synthetic())
                self.watcher.note(f"step {self.done}: accuracy {record['accuracy']:.2%}")
                before = time.monotonic()
            if self.folder:
                self.folder.log(record)
            stop = self.watcher.stop()
            if stop or now - saved >= checkpoint_seconds:
                self._save()
                saved = now
            if stop and self.done < steps:
                where = f"{self.folder.folder}; the same command goes on" if self.folder else "nowhere (no --out)"
                raise InterruptedRun(f"stopped after step {self.done} of {steps}; state saved in {where}")
        self._save()

    def _episode(self, key: Key) -> float:
        """One episode: an update of the leaves for every list of terms that the method yields; gives the mean loss."""
        losses: list[Tensor] = []
        for terms in self.matcher.episode(self.leaves, self.done, key):
            pieces = [term() for term in self.mesh.share(terms)]
            loss, gradients = self._total(pieces)
            self.mesh.add([loss, *gradients.values()])
            if not _finite(loss, *gradients.values()):
                if not losses:  # the leaves are still those of the last whole episode
                    self._save()
                raise self._diverged(f"loss {float(loss):g} or a gradient is not finite")
            for name, leaf in self.leaves.items():
                leaf.grad = gradients[name]
            self.optimiser.step()
            if not _finite(*self.leaves.values()):
                raise self._diverged(f"loss {float(loss):g}, and an updated pixel is not finite")
            losses.append(loss)
        return float(torch.stack(losses).mean())

    def _diverged(self, what: str) -> DivergedError:
        return DivergedError(
            f"diverged at step {self.done + 1}: {what}; the last good state is kept; try a smaller --lr"
        )

    def _total(self, pieces: list[Piece]) -> tuple[Tensor, dict[str, Tensor]]:
        gradients = {name: torch.zeros_like(leaf) for name, leaf in self.leaves.items()}
        loss = torch.zeros((), device=self.task.device)
        for piece in pieces:
            loss = loss + piece.loss
            for name, (rows, gradient) in piece.gradients.items():
                gradients[name][rows] += gradient
        return loss, gradients

    def _pilot(self, steps: int) -> None:
        """Compile, time the first terms without an update, and tell what the run will take."""
        terms = next(iter(self.matcher.episode(self.leaves, self.done, Key(self.settings["seed"])("step", self.done))))
        seconds = 0.0
        for _ in range(2):  # the first pass compiles and warms up
            start = time.monotonic()
            float(torch.stack([term().loss for term in self.mesh.share(terms)]).sum())
            seconds = time.monotonic() - start
        total = seconds * steps
        took = f"{total / 60:.1f} min" if total >= 60 else f"{total:.0f} s"
        used = memory(self.task.device) / 1e6
        self.watcher.note(f"estimate: {steps} steps of {seconds:.3g} s, about {took}; memory {used:.0f} MB")

    def synthetic(self) -> SyntheticSet:
        """The set as it is now, with its card."""
        spec = self.task.spec
        labels = torch.arange(spec.classes).repeat_interleave(self.task.ipc)
        card = {
            "method": self.settings["method"],
            "settings": {name: value for name, value in self.settings.items() if name != "data"},
            "steps": self.done,
            "data": self.origin,
            "metrics": {"loss": self.loss, "seconds": round(self.seconds, 1)},
            "hardware": hardware(self.task.device),
        }
        return SyntheticSet(self.leaves["images"].detach().cpu().clone(), labels, spec, card)

    def restore(self, stored: Checkpoint) -> None:
        """Take up a checkpoint: leaves, momentum, step and time."""
        self.done, self.seconds, self.loss = stored.step, stored.seconds, stored.loss
        for name, leaf in self.leaves.items():
            leaf.copy_(stored.tensors[f"leaf.{name}"])
            momentum = stored.tensors.get(f"momentum.{name}")
            if momentum is not None:
                self.optimiser.state[leaf]["momentum_buffer"] = momentum.to(leaf.device, copy=True)

    def _save(self) -> None:
        if not self.folder or not self.mesh.writes:
            return
        tensors = {f"leaf.{name}": leaf for name, leaf in self.leaves.items()}
        for name, leaf in self.leaves.items():
            momentum = self.optimiser.state[leaf].get("momentum_buffer")
            if momentum is not None:
                tensors[f"momentum.{name}"] = momentum
        self.folder.save(Checkpoint(self.done, tensors, self.settings, self.seconds, self.loss))
