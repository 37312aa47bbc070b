"""What a report is made of: a folder read into plain values."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from distillset.data.card import is_number, is_whole
from distillset.data.origin import without_paths
from distillset.data.rows import ACCURACY, read_rows, stale
from distillset.data.synthetic import SyntheticSet
from distillset.errors import InputError
from distillset.report.pictures import ALONE, BESIDE, Frame, Sheet, plan
from distillset.store import parse, read_tensors

BASELINES = ("random", "whole")


@dataclass(frozen=True)
class Run:
    """One artifact, and what its folder tells of the way to it.

    Args:
        name: unlike that of any other run on the page.
        card: of the artifact.
        sheet: how its pictures are laid out.
        frames: the pictures through time, the artifact itself last.
        losses: (step, loss), by step; empty where nothing was logged.
        accuracies: (step, accuracy as a fraction), measured during the run.
        rows: its evaluation, with those of ``random`` and ``whole`` beside it.
        notes: what was left out, a line each.
        learned: what was learned besides images: name to a few words on its numbers.
    """

    name: str
    card: dict[str, Any]
    sheet: Sheet
    frames: tuple[Frame, ...]
    losses: tuple[tuple[int, float], ...]
    accuracies: tuple[tuple[int, float], ...]
    rows: tuple[dict[str, Any], ...]
    notes: tuple[str, ...]
    learned: Mapping[str, str] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """Episodes done; 0 for a coreset."""
        return self.card.get("steps") or 0


def gather(folders: Sequence[Path], files: Sequence[Path] = ()) -> list[Run]:
    """The runs of a report, in the order of ``folders``.

    Raises:
        InputError: no folder, one without an artifact, or rows that do not belong to any of them.
    """
    if not folders:
        raise InputError("folders", [], "name at least one artifact")
    names = _names(folders)
    sets = [SyntheticSet.load(folder) for folder in folders]
    prints = [synthetic.fingerprint() for synthetic in sets]
    rows: list[list[dict[str, Any]]] = [[] for _ in folders]
    notes: list[list[str]] = [[] for _ in folders]

    def take(index: int, file: Path, measured: list[dict[str, Any]]) -> None:
        # What a run with fewer steps was worth, or a set that lay here before, is not what this one is worth.
        allowed = [prints if row["artifact"] in BASELINES else [prints[index]] for row in measured]
        fits = [row.get("fingerprint") in those for row, those in zip(measured, allowed, strict=True)]
        rows[index] += [row for row, fit in zip(measured, fits, strict=True) if fit]
        if not all(fits):
            notes[index].append(f"{file}: {stale(measured, prints[index])}; left out")

    for index, folder in enumerate(folders):
        if (folder / ACCURACY).is_file():
            take(index, folder / ACCURACY, read_rows(folder / ACCURACY))
    for file in files:
        measured_rows = read_rows(file)
        owners = _owners(measured_rows, folders, file)
        for index in sorted({owner for owner in owners if owner is not None}):
            take(index, file, [row for row, owner in zip(measured_rows, owners, strict=True) if owner in (None, index)])
    columns = ALONE if len(folders) == 1 else BESIDE
    return [_run(*arguments, columns) for arguments in zip(names, folders, sets, rows, notes, strict=True)]


def _run(
    name: str, folder: Path, synthetic: SyntheticSet, rows: list[dict[str, Any]], notes: list[str], columns: int
) -> Run:
    lost = [row for row in rows if row.get("diverged")]
    notes += [f"{row['diverged']} {row['network']} networks diverged, {row['n']} are in the mean" for row in lost]
    snapshots, steps = _snapshots(folder), synthetic.card.get("steps") or 0
    sheet, shown = plan(synthetic, len(snapshots), columns)
    notes += sheet.notes
    frames = []
    for step, path in snapshots[:: max(1, math.ceil(len(snapshots) / shown))] if snapshots else ():
        try:
            pixels = _pixels(synthetic, read_tensors(path)[0])
        except InputError as error:
            notes.append(f"{error}; left out")
            continue
        if step != steps:
            frames.append(sheet.frame(step, pixels))
    frames.append(sheet.frame(steps, synthetic.pixels))
    metrics = _metrics(folder / "metrics.jsonl")
    return Run(
        name=name,
        card=without_paths(synthetic.card),
        sheet=sheet,
        frames=tuple(frames),
        losses=_series(metrics, "loss"),
        accuracies=_series(metrics, "accuracy", most=1),
        rows=tuple(_own(rows)),
        notes=tuple(notes),
        learned=_learned(synthetic),
    )


def _learned(synthetic: SyntheticSet) -> dict[str, str]:
    """The learned learning rate, soft labels, and tensors that only the method knows what to do with."""
    texts = {} if synthetic.lr is None else {"learning rate": f"{synthetic.lr:.6g}"}
    tensors = {"soft labels": synthetic.labels} if synthetic.labels.is_floating_point() else {}
    for name, tensor in {**tensors, **synthetic.learned}.items():
        shape = " x ".join(map(str, tensor.shape)) or "1"
        ends = f", from {float(tensor.min()):.6g} to {float(tensor.max()):.6g}" if tensor.numel() else ""
        texts[name] = f"{shape} numbers{ends}"
    return texts


def _pixels(synthetic: SyntheticSet, tensors: Mapping[str, Tensor]) -> Tensor:
    """Pictures of a snapshot, through the artifact's own way from its space to pixels."""
    if "images" not in tensors:
        raise InputError.about("", "a snapshot without images")
    return replace(synthetic, images=tensors["images"]).pixels


def _snapshots(folder: Path) -> list[tuple[int, Path]]:
    snapshots = []
    for path in (folder / "snapshots").glob("step-*.safetensors"):
        match = re.fullmatch(r"step-(\d+)", path.stem)
        if match:
            snapshots.append((int(match[1]), path))
    return sorted(snapshots)


def _metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of ``metrics.jsonl``; one that is damaged, such as the last of a killed run, counts as missing."""
    if not path.is_file():
        return []
    metrics = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            record = parse(line)
        except ValueError:
            continue
        if isinstance(record, dict) and is_whole(record.get("step")):
            metrics.append(record)
    return metrics


def _series(metrics: list[dict[str, Any]], what: str, most: float = math.inf) -> tuple[tuple[int, float], ...]:
    values = {record["step"]: record.get(what) for record in metrics}
    least = 0 if most < math.inf else -math.inf
    return tuple(
        (step, float(value or 0))
        for step, value in sorted(values.items())
        if is_number(value, least) and (value or 0) <= most
    )


def _owners(rows: list[dict[str, Any]], folders: Sequence[Path], file: Path) -> list[int | None]:
    """For each row the index of its folder, by path and else by the folder's name; None for a baseline.

    Raises:
        InputError: a row of an artifact that is not on the page, so that nothing is left out silently.
    """
    owners: list[int | None] = []
    for row in rows:
        if row["artifact"] in BASELINES:
            owners.append(None)
            continue
        named = Path(row["artifact"])
        same = [i for i, folder in enumerate(folders) if folder.resolve() == named.resolve()]
        same = same or [i for i, folder in enumerate(folders) if folder.resolve().name == named.name]
        if len(same) != 1:
            known = ", ".join(map(str, folders))
            raise InputError.about(file, f"a row of {row['artifact']}, which is not (or not only) one of {known}")
        owners.append(same[0])
    return owners


def _own(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with ``artifact`` one of ``set``, ``random``, ``whole``; of equal kind the last one, measured latest."""
    kinds = [row["artifact"] if row["artifact"] in BASELINES else "set" for row in rows]
    by_kind = {(kind, row["network"], row["protocol"]): row for kind, row in zip(kinds, rows, strict=True)}
    return [{**row, "artifact": kind} for (kind, _, _), row in by_kind.items()]


def _names(folders: Sequence[Path]) -> list[str]:
    """The folders' own names where they differ, else the paths as they were given."""
    short = [folder.resolve().name or str(folder) for folder in folders]
    names = [name if short.count(name) == 1 else str(folder) for name, folder in zip(short, folders, strict=True)]
    if len(set(names)) < len(names):
        raise InputError.about(next(name for name in names if names.count(name) > 1), "is given twice")
    return names
