"""A run on disk: what defines it, its checkpoints, and how it is resumed."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from distillset.data.card import is_number, is_whole
from distillset.data.whiten import FILE as WHITENING
from distillset.engine import Compute, Work
from distillset.errors import InputError, shown, unwritable
from distillset.machine import Machine
from distillset.store import append, glance, held, parse, read_tensors, write_tensors, write_text

KEPT = 2
"""Checkpoints kept: the last one, and the one before in case the last is damaged."""

EARLY = (".lock", "experts", WHITENING)
"""What a run may leave before its first checkpoint: the experts it has trained so far."""


PARTS = ("checkpoints", "snapshots", "experts", "metrics.jsonl")
"""What a run writes into, and removes from."""


@dataclass(frozen=True)
class Checkpoint:
    """A state between two episodes.

    Args:
        step: episodes done.
        tensors: leaves under ``leaf.NAME`` and their momentum under ``momentum.NAME``.
        settings: what defines the result, with what ``auto`` resolved to under ``compute``.
        seconds: time spent so far, over all sittings.
        loss: of the last episode; None before the first, or if it was not finite.
        skipped: updates left out so far, and how many of them were the last ones in a row.
        memory: most bytes in use so far, over all sittings; 0 where that is not known.
    """

    step: int
    tensors: dict[str, Tensor]
    settings: dict[str, Any]
    seconds: float
    loss: float | None = None
    skipped: tuple[int, int] = (0, 0)
    memory: int = 0


class RunFolder:
    """The folder of one run, held under a lock by `open`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.metrics = folder / "metrics.jsonl"
        self._checkpoints = folder / "checkpoints"

    @classmethod
    @contextmanager
    def open(cls, folder: Path) -> Iterator["RunFolder"]:
        """Lock ``folder``, made if it is not there, and gone again if nothing is written to it.

        Raises:
            InputError: it is in use, cannot be written, or holds something that is not a run.
        """
        try:
            exists = folder.exists()
        except OSError as error:
            raise unwritable(folder, error, "out") from None
        if exists and not folder.is_dir():
            raise InputError("out", folder, "is a file; choose a folder")
        strangers = folder.is_dir() and [path for path in folder.iterdir() if path.name not in EARLY]
        if strangers and not (folder / "checkpoints").is_dir():
            raise InputError(
                "out", folder, f"holds other files (such as {strangers[0].name}) and no run; choose another folder"
            )
        for part in PARTS:
            if (folder / part).is_symlink():
                raise InputError("out", folder / part, "is a symbolic link; a run writes into its own folder alone")
        with held(folder):
            yield cls(folder)

    def latest(self, fits: Callable[[Checkpoint], object] | None = None) -> tuple[Checkpoint | None, list[str]]:
        """The newest whole checkpoint, and a note for each that was passed over: damaged, or of another run.

        Args:
            fits: raises `InputError` for a checkpoint that this command may not go on from. Where that is so of all of
                them, what it says of the newest is raised.

        Raises:
            InputError: there are checkpoints, and none of them is whole, or none fits.
        """
        notes: list[str] = []
        refusal: InputError | None = None
        paths = self._paths()
        for step, path in reversed(paths.items()):
            try:
                checkpoint = _read(path, step)
            except InputError as error:
                notes.append(f"{error}; passed over")
                continue
            try:
                if fits:
                    fits(checkpoint)
            except InputError as error:
                refusal = refusal or error
                notes.append(f"{path}: of another run ({error}); passed over")
                continue
            return checkpoint, notes
        if refusal:
            raise refusal
        if paths:
            raise InputError.about(
                self._checkpoints, f"none of the {len(paths)} checkpoints can be read; choose another `out`"
            )
        return None, notes

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint, then drop all but the last two; one of a later step was damaged and passed over."""
        meta = {field.name: getattr(checkpoint, field.name) for field in fields(checkpoint) if field.name != "tensors"}
        write_tensors(self._checkpoints / f"step-{checkpoint.step}.safetensors", checkpoint.tensors, meta)
        paths = self._paths()
        recent = [step for step in paths if step <= checkpoint.step][-KEPT:]
        for step in paths.keys() - recent:
            paths[step].unlink(missing_ok=True)

    def snapshot(self, step: int, tensors: dict[str, Tensor]) -> None:
        """Keep the leaves of this step for reports and for choosing by validation."""
        write_tensors(self.folder / "snapshots" / f"step-{step}.safetensors", tensors, {"step": step})

    def log(self, record: dict[str, Any]) -> None:
        """Append a line to ``metrics.jsonl``."""
        append(self.metrics, json.dumps(record, allow_nan=False))

    def rewind(self, step: int) -> None:
        """Drop what a killed run logged after the checkpoint that is resumed from."""
        if not self.metrics.exists():
            return
        lines = []
        for line in self.metrics.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                if parse(line)["step"] <= step:
                    lines.append(line + "\n")
            except (ValueError, KeyError, TypeError):
                continue  # the line that the kill cut short
        write_text(self.metrics, "".join(lines))

    def _paths(self) -> dict[int, Path]:
        """Checkpoints by step, ascending."""
        paths = []
        if self._checkpoints.is_dir():
            for path in self._checkpoints.iterdir():
                match = re.fullmatch(r"step-(\d+)\.safetensors", path.name)
                if match:
                    paths.append((int(match[1]), path))
        return dict(sorted(paths))


def _read(path: Path, step: int) -> Checkpoint:
    """A checkpoint file.

    Raises:
        InputError: it is damaged, not a checkpoint, or not that of its name.
    """
    tensors, meta = read_tensors(path)
    kinds = {"step": is_whole, "settings": lambda value: isinstance(value, dict), "seconds": _seconds}
    for name, fits in kinds.items():
        if not fits(meta.get(name)):
            raise InputError.about(path, f"field {name} is missing or of another kind; not a checkpoint of a run")
    if meta["step"] != step:
        raise InputError.about(path, f"holds step {meta['step']}; not the checkpoint that its name says")
    skipped, loss = meta.get("skipped", (0, 0)), meta.get("loss")
    if not (isinstance(skipped, list | tuple) and len(skipped) == 2 and all(map(is_whole, skipped))):
        raise InputError.about(path, f"field skipped is {shown(skipped)}; not a checkpoint of a run")
    if not (loss is None or is_number(loss)):
        raise InputError.about(path, f"field loss is {shown(loss)}; not a checkpoint of a run")
    memory = meta.get("memory", 0)
    if not is_whole(memory):
        raise InputError.about(path, f"field memory is {shown(memory)}; not a checkpoint of a run")
    return Checkpoint(step, tensors, meta["settings"], float(meta["seconds"]), loss, (skipped[0], skipped[1]), memory)


def _seconds(value: Any) -> bool:
    return is_number(value, 0)


COMPUTE: dict[str, Callable[[Any], bool]] = {
    "device": lambda value: isinstance(value, str),
    "precision": lambda value: value in ("fp32", "bf16"),
    "compile": lambda value: isinstance(value, bool),
    "threads": lambda value: is_whole(value, 1) and value <= MOST_THREADS,
    "micro_batch": lambda value: is_whole(value, 1),
}
"""What has to be known of how a run computes, to go on with it."""

MOST_THREADS = 4096


def threads_of(settings: Any) -> int | None:
    """The threads that settings or a card, perhaps damaged, say that was begun was computed with; None: they do not."""
    compute = settings.get("compute") if isinstance(settings, dict) else None
    threads = compute.get("threads") if isinstance(compute, dict) else None
    return threads if COMPUTE["threads"](threads) else None


def threads_before(folder: Path) -> int | None:
    """`threads_of` the newest checkpoint in ``folder``, which is not verified; None where there is none."""
    with suppress(OSError):
        for path in reversed(RunFolder(folder)._paths().values()):
            if meta := glance(path):
                return threads_of(meta.get("settings"))
    return None


def resolve_compute(machine: Machine, work: Work, stored: dict[str, Any] | None) -> Compute:
    """What to compute on; a resumed run keeps what ``auto`` chose at its start, unless it moved to another device.

    A smaller limit of memory than it was started with is heeded.

    Raises:
        InputError: what is asked for contradicts the run.
    """
    if stored is None:
        return Compute.resolve(machine, work)
    before = stored.get("compute")
    if not isinstance(before, dict) or not all(fits(before.get(name)) for name, fits in COMPUTE.items()):
        raise InputError.about("settings of the run", f"compute is {shown(before)}; needed are {', '.join(COMPUTE)}")
    if machine.precision not in ("auto", before["precision"]):
        raise InputError(
            "precision",
            machine.precision,
            f"the run was started with {before['precision']}; use that, or another `out`",
        )
    now = Compute.resolve(replace(machine, precision=before["precision"]), work)
    if now.device.split(":")[0] != before["device"].split(":")[0]:
        return now
    asked = {"on": True, "off": False}.get(machine.compile, before["compile"])
    if asked != before["compile"]:
        raise InputError(
            "compile", machine.compile, f"the run was started with {'on' if before['compile'] else 'off'}; use that"
        )
    chosen = Compute.resolve(Machine(now.device, before["precision"], "on" if before["compile"] else "off"), work)
    micro_batch = before["micro_batch"] if machine.memory == "auto" else min(before["micro_batch"], now.micro_batch)
    kernels = bool(before.get("kernels", False))
    if kernels and not chosen.kernels:
        raise InputError.about(
            "kernels", "the run was started with kernels, which need a C++ compiler (CXX, g++) and a cache to write in"
        )
    resolved = {**before, "micro_batch": micro_batch, "threads": chosen.threads}
    text = ", ".join(f"{name} {value}" for name, value in resolved.items())
    reasons = [f"computing as this run did before: {text}"]
    if chosen.threads != before["threads"] and chosen.device == "cpu":
        reasons.append(
            f"threads {chosen.threads}: the run had {before['threads']} before; sums are added in another order, so "
            "its last bits may differ from here on"
        )
    return replace(chosen, micro_batch=micro_batch, kernels=kernels, reasons=tuple(reasons))


def check_same(stored: dict[str, Any], asked: dict[str, Any]) -> None:
    """Whether a command may go on with a run: what defines its result must not change.

    Raises:
        InputError: names the first field that differs, both values, and what to do.
    """
    for name in sorted((stored.keys() | asked.keys()) - {"compute"}):
        before, now = stored.get(name), asked.get(name)
        if isinstance(before, dict) and isinstance(now, dict):
            check_same(before, now)
        elif before != now and name == "data":
            raise InputError.about(
                f"data (content {str(now)[:8]})",
                "the run in this folder was started with other images; give the same `data`, `classes` and `resize`, "
                "or another `out`",
            )
        elif before != now:
            raise InputError(name, now, f"the run in this folder was started with {before}; use that, or another `out`")
