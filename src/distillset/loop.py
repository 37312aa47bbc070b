"""The distillation loop: the only one. Methods say what to match; it owns updates, checkpoints and divergence."""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from distillset.data.synthetic import SyntheticSet
from distillset.engine import SGD
from distillset.engine.hardware import forget_peak, hardware, memory, peak
from distillset.errors import DivergedError, InputError, InterruptedRun, shown
from distillset.keys import Key
from distillset.mesh import Mesh
from distillset.methods import Forgiving, Leaf, Matcher, Task, Term
from distillset.run import Checkpoint, RunFolder

CHECKPOINT_SECONDS = 30.0
"""A kill costs at most about this much work."""


LARGEST = 1e4
"""A pixel of more standard deviations is lost. Norm layers hide it: the loss stays finite, the gradient vanishes."""


class Watcher:
    """What a face may do while a run goes on. The base class watches silently."""

    def note(self, line: str) -> None:
        """A line worth telling."""

    def step(self, step: int, steps: int, loss: float) -> None:
        """An episode is done: ``step`` of ``steps``."""

    def epoch(self, epoch: int, epochs: int, loss: float) -> None:
        """An epoch of the experts is done: ``epoch`` of ``epochs``, over all of them."""

    def accuracy(self, step: int, accuracy: float) -> None:
        """The set after ``step`` was measured: ``accuracy`` is a fraction."""
        self.note(f"step {step}: accuracy {accuracy:.2%}")

    def stop(self) -> bool:
        """Whether the run should save and end now."""
        return False

    def patience(self) -> AbstractContextManager[object]:
        """Entered while a run has a state to save, and asks `stop` between its updates.

        Elsewhere, where experts and networks are trained and data decoded, all that is whole is on the disk already: a
        watcher may end that at any moment by an `InterruptedRun`.
        """
        return nullcontext()

    def close(self) -> None:
        """Nothing more will be told."""


class Callback(Watcher):
    """A plain function as a watcher: it is called as ``call(step, steps, loss)`` after every episode."""

    def __init__(self, call: Callable[[int, int, float], object]) -> None:
        self._call = call

    def step(self, step: int, steps: int, loss: float) -> None:
        self._call(step, steps, loss)


def watching(watcher: Watcher | Callable[[int, int, float], object] | None) -> Watcher:
    """Whatever was given, as a watcher.

    Raises:
        InputError: neither a watcher nor a function.
    """
    if isinstance(watcher, Watcher):
        return watcher
    if watcher is not None and not callable(watcher):
        raise InputError(f"watcher {shown(watcher)}: must be a Watcher, or a function of (step, steps, loss)")
    return Callback(watcher) if watcher else Watcher()


def _finite(*tensors: Tensor) -> bool:
    return _largest(tensors) < math.inf


def _largest(tensors: Iterable[Tensor]) -> float:
    """The largest magnitude; NaN and infinity count as infinite. Nothing as large as a tensor is made on the way."""
    ends = (float(end) for tensor in tensors for end in torch.aminmax(tensor.detach()))
    return max(math.inf if math.isnan(end) else abs(end) for end in ends)


class Loop:
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
        self.positive = [name for name, leaf in leaves.items() if leaf.positive]
        self.decay = {name: leaf.average for name, leaf in leaves.items() if leaf.average}
        self.averages = {name: self.leaves[name].clone() for name in self.decay}
        self.rates = {name: leaf.rate for name, leaf in leaves.items()}
        self.optimisers = {name: SGD([self.leaves[name]], leaf.rate, leaf.momentum) for name, leaf in leaves.items()}
        self.done, self.seconds, self.memory = 0, 0.0, 0
        self.loss: float | None = None
        self.skipped, self.in_a_row = 0, 0
        self._whole: dict[str, Tensor] = {}
        self._note()

    def run(
        self,
        steps: int,
        checkpoint_seconds: float,
        snapshots: int,
        evaluate: Callable[[SyntheticSet], float] | None,
        every: int,
    ) -> None:
        """Episodes up to ``steps``, with a checkpoint before the first and after the last."""
        parts = min(snapshots, steps)
        kept = {round(steps * part / parts) for part in range(parts + 1)} if parts else {0} if snapshots else set()
        if self.folder:
            self.folder.rewind(self.done)
            self._save()
        if self.done < steps:
            self._pilot(steps - self.done)
        with self.watcher.patience():
            self._run(steps, checkpoint_seconds, kept, evaluate, every)

    def _run(
        self,
        steps: int,
        checkpoint_seconds: float,
        kept: set[int],
        evaluate: Callable[[SyntheticSet], float] | None,
        every: int,
    ) -> None:
        before = saved = time.monotonic()
        while True:
            if self.folder and self.done in kept:
                self.folder.snapshot(self.done, self._result())
            if self.done >= steps:
                break
            skipped = self.skipped
            loss = self._episode(Key(self.settings["seed"])("step", self.done), steps)
            self.loss = loss if math.isfinite(loss) else None
            self.done += 1
            self._note()
            now = time.monotonic()
            self.seconds, before = self.seconds + now - before, now
            record: dict[str, Any] = {"step": self.done, "loss": self.loss, "seconds": round(self.seconds, 3)}
            if self.skipped > skipped:
                record["skipped"] = self.skipped
            self.watcher.step(self.done, steps, loss)
            if evaluate and every and self.done % every == 0 and self.mesh.writes and not self.watcher.stop():
                self._most()  # what the evaluation takes is not the run's
                try:
                    record["accuracy"] = evaluate(self.synthetic())
                    self.watcher.accuracy(self.done, record["accuracy"])
                except InterruptedRun:
                    pass  # `stop` says so below
                except DivergedError as error:  # of the network that tests the set, which has no influence on the run
                    self.watcher.note(f"step {self.done}: no accuracy ({error})")
                before = time.monotonic()
                forget_peak(self.task.device)
            if self.folder:
                self.folder.log(record)
            stop = self.mesh.any(self.watcher.stop())
            if stop or now - saved >= checkpoint_seconds:
                self._save()
                saved = now
            if stop and self.done < steps:
                raise self._stopped(steps)
        self._save()

    def _episode(self, key: Key, steps: int) -> float:
        """One episode: an update of the leaves for every list of terms that the method yields; gives the mean loss."""
        losses: list[Tensor] = []
        for terms in self.matcher.episode(self.leaves, self.done, key):
            # An episode can take minutes: it is cut off, and will run again from its start.
            if losses and self.mesh.any(self.watcher.stop()):
                self._save()
                raise self._stopped(steps)
            loss, gradients = self._total(self.mesh.share(terms))
            self.mesh.add([loss, *gradients.values()])
            if isinstance(self.matcher, Forgiving) and self._skips(self.matcher, loss, gradients):
                losses.append(loss)
                continue
            if not _finite(loss, *gradients.values()):
                self._save()
                raise self._diverged(f"loss {float(loss):g} or a gradient is not finite")
            self._update(gradients)
            if (largest := _largest(self.leaves.values())) > LARGEST:
                self._save()
                raise self._diverged(f"loss {float(loss):g}, and an updated pixel of {largest:g} (at most {LARGEST:g})")
            losses.append(loss)
        return float(torch.stack(losses).mean())

    def _stopped(self, steps: int) -> InterruptedRun:
        where = f"{self.folder.folder}; the same command goes on" if self.folder else "nowhere (no --out)"
        return InterruptedRun(f"stopped after step {self.done} of {steps}; state saved in {where}")

    def _skips(self, matcher: Forgiving, loss: Tensor, gradients: dict[str, Tensor]) -> bool:
        """Whether this update is left out; too many in a row end the run."""
        if _finite(loss, *gradients.values()) and float(loss) <= matcher.limit:
            self.in_a_row = 0
            return False
        self.skipped, self.in_a_row = self.skipped + 1, self.in_a_row + 1
        if self.in_a_row >= matcher.patience:
            self.in_a_row = 0  # who goes on from here is given the same patience again
            self._save()
            raise DivergedError(
                f"diverged at step {self.done + 1}: {matcher.patience} updates in a row had a loss above "
                f"{matcher.limit:g} or one that is not finite (the last: {float(loss):g}) and were skipped; "
                f"{matcher.diagnosis(self.leaves)}; the last good state is kept"
            )
        return True

    def _update(self, gradients: dict[str, Tensor]) -> None:
        """One step of SGD on every leaf; positive ones move in proportion. Then the averages.

        The gradients are taken out of their dictionary: the next ones need the memory.
        """
        before = {name: self.leaves[name].clone() for name in self.positive}
        for name, optimiser in self.optimisers.items():
            optimiser.step([gradients.pop(name)])
        for name, old in before.items():
            change = (self.leaves[name] - old) / old
            self.leaves[name].copy_(old * change.clamp(-1, 1).exp())
        for name, decay in self.decay.items():
            self.averages[name].lerp_(self.leaves[name], 1 - decay)

    def _diverged(self, what: str) -> DivergedError:
        return DivergedError(
            f"diverged at step {self.done + 1}: {what}; the last good state is kept; try a smaller --lr"
        )

    def _total(self, terms: Sequence[Term]) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss and gradients of the terms together; each is let go before the next."""
        gradients = {name: torch.zeros_like(leaf) for name, leaf in self.leaves.items()}
        loss = torch.zeros((), device=self.task.device)
        for term in terms:
            piece = self.task.engine.adapting(term)
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
            float(sum(self.task.engine.adapting(term).loss for term in self.mesh.share(terms)))
            seconds = (time.monotonic() - start) * self.matcher.updates
        total = seconds * steps
        took = f"{total / 60:.1f} min" if total >= 60 else f"{total:.0f} s"
        used = memory(self.task.device) / 1e6
        self.watcher.note(f"estimate: {steps} steps of {seconds:.3g} s, about {took}; memory {used:.0f} MB")

    def synthetic(self) -> SyntheticSet:
        """The set as it is now, with its card."""
        spec, found = self.task.spec, self._result()
        hard = torch.arange(spec.classes).repeat_interleave(self.task.ipc)
        metrics: dict[str, Any] = {"loss": self.loss, "seconds": round(self.seconds, 3), "memory": self._most()}
        if isinstance(self.matcher, Forgiving):
            metrics["skipped"] = self.skipped
        card = {
            "method": self.settings["method"],
            "settings": {name: value for name, value in self.settings.items() if name != "data"},
            "steps": self.done,
            "rates": self.rates,
            "data": self.origin,
            "metrics": metrics,
            "hardware": hardware(self.task.device),
        }
        images, labels = found["images"].detach().cpu().clone(), found.get("labels", hard).cpu()
        lr = float(found["lr"]) if "lr" in found else None
        formation = self.settings.get("formation", 1)
        return SyntheticSet(images, labels, spec, card, self.task.real.whitening, lr, formation)

    def _result(self) -> dict[str, Tensor]:
        """The leaves as the artifact has them: averaged where an average is kept, labels as probabilities."""
        found = {**self.leaves, **self.averages}
        return {name: leaf.softmax(1) if name == "labels" else leaf for name, leaf in found.items()}

    def restore(self, stored: Checkpoint) -> None:
        """Take up a checkpoint: leaves, momentum, step and time.

        Raises:
            InputError: it has other leaves, or numbers that no run goes on from.
        """
        begun = {f"momentum.{name}": leaf for name, leaf in self.leaves.items()}
        for name, state in {**begun, **self._state()}.items():
            found = stored.tensors.get(name)
            if found is None and name in begun:  # of an optimiser that had not moved yet
                continue
            if found is None or found.shape != state.shape or found.dtype != state.dtype:
                said = "missing" if found is None else f"{found.dtype} of shape {list(found.shape)}"
                raise InputError(
                    f"checkpoint of step {stored.step}: {name} is {said}; {state.dtype} {list(state.shape)} is needed"
                )
            if not _finite(found):
                raise InputError(f"checkpoint of step {stored.step}: {name} contains NaN or infinity")
        self.done, self.seconds, self.loss, self.memory = stored.step, stored.seconds, stored.loss, stored.memory
        self.skipped, self.in_a_row = stored.skipped
        for name, leaf in self.leaves.items():
            leaf.copy_(stored.tensors[f"leaf.{name}"])
            if name in self.averages:
                self.averages[name].copy_(stored.tensors[f"average.{name}"])
            momentum = stored.tensors.get(f"momentum.{name}")
            if momentum is not None:
                self.optimisers[name].moving = [momentum.to(leaf.device, copy=True)]
        self._note()

    def meet(self) -> None:
        """Start every rank from the state of the one that writes."""
        moved = [name for name, optimiser in self.optimisers.items() if optimiser.moving]
        state = [self.done, self.seconds, self.loss, self.skipped, self.in_a_row, moved]
        self.done, self.seconds, self.loss, self.skipped, self.in_a_row, moving = self.mesh.agree(state)
        for name in moving:
            self.optimisers[name].moving = self.optimisers[name].moving or [torch.zeros_like(self.leaves[name])]
        momenta = [self.optimisers[name].moving[0] for name in moving]
        self.mesh.copy([*self.leaves.values(), *self.averages.values(), *momenta])
        self._note()

    def _state(self) -> dict[str, Tensor]:
        """The leaves, their averages and momenta."""
        tensors = {f"leaf.{name}": leaf for name, leaf in self.leaves.items()}
        tensors |= {f"average.{name}": average for name, average in self.averages.items()}
        return tensors | {f"momentum.{name}": own.moving[0] for name, own in self.optimisers.items() if own.moving}

    def _note(self) -> None:
        """Copy the state as it is between two episodes, for checkpoints, into the memory of the last copy."""
        for name, tensor in self._state().items() if self.folder else ():
            if name in self._whole:
                self._whole[name].copy_(tensor)
            else:
                self._whole[name] = tensor.clone()

    def _save(self) -> None:
        """A checkpoint of the last whole episode."""
        if self.folder:
            counts = (self.skipped, self.in_a_row)
            self.settings["compute"]["micro_batch"] = self.task.engine.micro_batch
            self.folder.save(
                Checkpoint(self.done, self._whole, self.settings, self.seconds, self.loss, counts, self._most())
            )

    def _most(self) -> int:
        """Most bytes in use so far, over all sittings."""
        self.memory = max(self.memory, peak(self.task.device))
        return self.memory
