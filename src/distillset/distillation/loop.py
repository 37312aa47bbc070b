"""The distillation loop: the only one. Methods say what to match; it owns updates, checkpoints and divergence."""

import math
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from distillset.data.synthetic import LEARNED, SyntheticSet
from distillset.distillation.divergence import ADVICE, LAST_STATE, not_finite
from distillset.distillation.episodes import Episodes
from distillset.distillation.learned import FINE, KEPT, LARGEST, NOT_FINITE, OUT_OF_PATIENCE, Account, Learned
from distillset.distillation.record import Record
from distillset.distillation.run_folder import Checkpoint, RunFolder
from distillset.engine.hardware import forget_peak, hardware, memory, peak
from distillset.errors import DivergedError, InputError, InterruptedRun
from distillset.keys import Key
from distillset.mesh import Mesh
from distillset.methods import Leaf, Matcher, Role, Task
from distillset.watch import Watcher

READ_SECONDS = 0.25
"""About how often a device that works on its own is asked what has become of its steps."""


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
        formation: int = 1,
    ) -> None:
        self.task, self.matcher, self.settings, self.origin = task, matcher, settings, origin
        self.folder, self.watcher, self.mesh, self.formation = folder, watcher, mesh, formation
        leaves: dict[str, Leaf] = matcher.leaves(start.to(task.device))
        self.learned = Learned(leaves, matcher.limit, matcher.patience, task.engine.defers)
        self.episodes = Episodes(task, matcher, self.learned, mesh, Key(settings["seed"]))
        self.lr = {name: leaf.lr for name, leaf in leaves.items()}
        self.done, self.seconds, self.memory = 0, 0.0, 0
        self.loss: float | None = None
        self.skipped, self.in_a_row = 0, 0
        self._window = 1

    def run(self, steps: int, record: Record) -> None:
        """Episodes up to ``steps``, with a checkpoint before the first and after the last."""
        snapshots = record.steps_kept(steps) if self.folder else set()
        if self.folder:
            self.learned.keep_whole()
            self.folder.rewind(self.done)
            self._save()
        self.learned.count_from(self.skipped, self.in_a_row)
        if self.done < steps:
            self._pilot(steps - self.done)
        with self.watcher.patience():
            self._run(steps, record, snapshots)

    def _run(self, steps: int, record: Record, snapshots: set[int]) -> None:
        before = saved = time.monotonic()
        while True:
            if self.folder and self.done in snapshots:
                self.folder.snapshot(self.done, self.learned.result())
            if self.done >= steps:
                break
            self._episodes(steps, self._pause(steps, snapshots, record.every))
            now = time.monotonic()
            records = self._read(now - before, steps)
            before = now
            due = record.every and self.done % record.every == 0
            if record.evaluate and due and self.mesh.writes and not self.watcher.stop():
                self._most()  # what the evaluation takes is not the run's
                try:
                    records[-1]["accuracy"] = record.evaluate(self.synthetic())
                    self.watcher.accuracy(self.done, records[-1]["accuracy"])
                except InterruptedRun:
                    pass  # `stop` says so below
                except DivergedError as error:  # of the network that tests the set, which has no influence on the run
                    self.watcher.note(f"step {self.done}: no accuracy ({error})")
                before = time.monotonic()
                forget_peak(self.task.device)
            self._log(records)
            stop = self.mesh.any(self.watcher.stop())
            if stop or now - saved >= record.checkpoint_seconds:
                self._save()
                saved = now
            if stop and self.done < steps:
                raise self._stopped(steps)
        self._save()

    def _pause(self, steps: int, snapshots: set[int], every: int) -> int:
        """The step up to which the device may go on by itself."""
        ends = [steps, self.done + self._window, *(step for step in snapshots if step > self.done)]
        if every:
            ends.append((self.done // every + 1) * every)
        return min(ends)

    def _episodes(self, steps: int, until: int) -> None:
        """Episodes up to ``until``."""

        def stops() -> bool:
            return self.mesh.any(self.watcher.stop())

        for step in range(self.done, until):
            # An episode can take minutes: it is cut off, and will run again from its start.
            if not self.episodes.run(step, stops, steps - 1):
                self._read(0.0, steps)
                self._save()
                raise self._stopped(steps)

    def _read(self, seconds: float, steps: int) -> list[dict[str, Any]]:
        """Take account of the episodes since the last reading, which took so many seconds: a record of each.

        Raises:
            DivergedError: the run has ended in the episode after them.
        """
        account = self.learned.read()
        records: list[dict[str, Any]] = []
        share = seconds / max(1, len(account.losses))
        for loss, skipped in zip(account.losses, account.skipped, strict=True):
            self.loss = loss if math.isfinite(loss) else None
            self.done, self.seconds = self.done + 1, self.seconds + share
            record: dict[str, Any] = {"step": self.done, "loss": self.loss, "seconds": round(self.seconds, 3)}
            if skipped > self.skipped:
                record["skipped"] = skipped
            self.skipped = skipped
            records.append(record)
            self.watcher.step(self.done, steps, loss)
        self.in_a_row = account.in_a_row
        if self.task.engine.defers and self.mesh.size == 1:
            self._window = max(1, min(KEPT, 2 * self._window, round(READ_SECONDS / max(share, 1e-6))))
        if account.outcome != FINE:
            self._log(records)
            raise self._lost(account)
        return records

    def _log(self, records: Sequence[dict[str, Any]]) -> None:
        if self.folder:
            for record in records:
                self.folder.log(record)

    def _lost(self, account: Account) -> DivergedError:
        """Keep the last good state, and say what ended the run."""
        where = f"diverged at step {self.done + 1}: "
        if account.outcome == OUT_OF_PATIENCE:
            self.in_a_row = 0  # who goes on from here is given the same patience again
            self.skipped = account.skipped_now
        self._save()
        if account.outcome == OUT_OF_PATIENCE:
            what = (
                f"{self.matcher.patience} updates in a row had a loss above {self.matcher.limit:g} or one that is not "
                f"finite (the last: {account.loss:g}) and were skipped; {self._diagnosis()}; {LAST_STATE}"
            )
        elif account.outcome == NOT_FINITE:
            what = self._not_finite(account.loss)
        else:
            what = f"loss {account.loss:g}, and an updated pixel of {account.largest:g} (at most {LARGEST:g}); {ADVICE}"
        return DivergedError(where + what)

    def _not_finite(self, loss: float) -> str:
        """What was not finite; of gradients this takes the update once more."""
        names: list[str] = []
        if math.isfinite(loss):
            with suppress(RuntimeError):  # such as memory that ran out: the run has ended, and is to say so
                names = self.episodes.not_finite(self.done)
        return not_finite(loss, names, first=self.done == 0 and self.episodes.turn == 0)

    def _diagnosis(self) -> str:
        key = Key(self.settings["seed"])("step", self.done)("update", self.matcher.turns - 1)
        return self.matcher.diagnosis(self.learned.leaves, self.done, key)

    def _stopped(self, steps: int) -> InterruptedRun:
        where = (
            f"{self.folder.folder}; run the same command again to resume"
            if self.folder
            else "nowhere (there is no `out`)"
        )
        return InterruptedRun(f"stopped after step {self.done} of {steps}; state saved in {where}")

    def _pilot(self, steps: int) -> None:
        """Compile, time the first terms without an update, and tell what the run will take."""
        seconds = 0.0
        for _ in range(2):  # the first pass compiles and warms up
            start = time.monotonic()
            self.episodes.first_terms(self.done)
            seconds = (time.monotonic() - start) * self.matcher.updates
        total = seconds * steps
        took = f"{total / 60:.1f} min" if total >= 60 else f"{total:.0f} s"
        used = memory(self.task.device) / 1e6
        least = "at most " if self.task.engine.defers else "about "
        self.watcher.note(f"estimate: {steps} steps of {seconds:.3g} s, {least}{took}; memory {used:.0f} MB")

    def synthetic(self) -> SyntheticSet:
        """The set as it is now, with its card."""
        spec = self.task.spec
        tensors = {name: tensor.detach().cpu() for name, tensor in self.learned.result().items()}
        hard = torch.arange(spec.classes).repeat_interleave(self.task.ipc)
        metrics: dict[str, Any] = {"loss": self.loss, "seconds": round(self.seconds, 3), "memory": self._most()}
        if self.matcher.patience:
            metrics["skipped"] = self.skipped
        card = {
            "method": self.settings["method"],
            "settings": {name: value for name, value in self.settings.items() if name != "data"},
            "steps": self.done,
            "rates": self.lr,
            "data": self.origin,
            "metrics": metrics,
            "hardware": hardware(self.task.device),
        }
        lr = float(tensors[Role.LR.value]) if Role.LR.value in tensors else None
        return SyntheticSet(
            tensors[Role.PIXELS.value].clone(),
            tensors.get(Role.LABEL_LOGITS.value, hard),
            spec,
            card,
            self.task.real.whitening,
            lr,
            self.formation,
            {
                name.removeprefix(LEARNED): tensor.clone()
                for name, tensor in tensors.items()
                if name.startswith(LEARNED)
            },
        )

    def forget(self) -> None:
        """Let go of the state: the run is over."""
        self.learned.forget()

    def restore(self, stored: Checkpoint) -> None:
        """Take up a checkpoint: leaves, momentum, step and time.

        Raises:
            InputError: it has other leaves, or numbers that are not finite.
        """
        state = self.learned.state()
        for name, tensor in state.items():
            saved = stored.tensors.get(name)
            if saved is None and name.startswith("momentum."):  # of an optimiser that had not moved yet
                continue
            if saved is None or saved.shape != tensor.shape or saved.dtype != tensor.dtype:
                said = "missing" if saved is None else f"{saved.dtype} of shape {list(saved.shape)}"
                raise InputError.about(
                    f"checkpoint of step {stored.step}",
                    f"{name} is {said}; {tensor.dtype} {list(tensor.shape)} is needed",
                )
            if not bool(torch.isfinite(saved).all()):
                raise InputError.about(f"checkpoint of step {stored.step}", f"{name} contains NaN or infinity")
        self.done, self.seconds, self.loss, self.memory = stored.step, stored.seconds, stored.loss, stored.memory
        self.skipped, self.in_a_row = stored.skipped
        for name, tensor in state.items():
            if name in stored.tensors:
                tensor.copy_(stored.tensors[name])

    def meet(self) -> None:
        """Start every rank from the state of the one that writes."""
        state = [self.done, self.seconds, self.loss, self.skipped, self.in_a_row]
        self.done, self.seconds, self.loss, self.skipped, self.in_a_row = self.mesh.agree(state)
        self.mesh.copy(list(self.learned.state().values()))

    def _save(self) -> None:
        """A checkpoint of the last whole episode."""
        if self.folder:
            counts = (self.skipped, self.in_a_row)
            self.settings["compute"]["micro_batch"] = self.task.engine.micro_batch
            self.folder.save(
                Checkpoint(
                    self.done, self.learned.whole(), self.settings, self.seconds, self.loss, counts, self._most()
                )
            )

    def _most(self) -> int:
        """Most bytes in use so far, over all sittings."""
        self.memory = max(self.memory, peak(self.task.device))
        return self.memory
