"""What a report is made of: a folder read into plain values."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from distillset.data.synthetic import SyntheticSet
from distillset.errors import InputError
from distillset.report.pictures import ALONE, BESIDE, Frame, Sheet, plan
from distillset.store import read_json, read_tensors

ACCURACY = "accuracy.json"
"""In an artifact's folder: what `distillset evaluate --save` measured of it."""

BASELINES = ("random", "whole")
NEEDED: dict[str, type | tuple[type, ...]] = {
    "artifact": str, "network": str, "protocol": str, "mean": (int, float), "std": (int, float), "n": int,
}  # fmt: skip
"""What a row has to have. ``mean`` and ``std`` are fractions."""


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
    """

    name: str
    card: dict[str, Any]
    sheet: Sheet
    frames: tuple[Frame, ...]
    losses: tuple[tuple[int, float], ...]
    accuracies: tuple[tuple[int, float], ...]
    rows: tuple[dict[str, Any], ...]
    notes: tuple[str, ...]

    @property
    def steps(self) -> int:
        """Episodes done; 0 for a coreset."""
        steps = self.card.get("steps", 0)
        return steps if isinstance(steps, int) else 0


def gather(folders: Sequence[Path], files: Sequence[Path] = ()) -> list[Run]:
    """The runs of a report, in the order of ``folders``.

    Raises:
        InputError: no folder, one without an artifact, or rows that do not belong to any of them.
    """
    if not folders:
        raise InputError("report: no folder given; name at least one artifact")
    names = _names(folders)
    rows: list[list[dict[str, Any]]] = [[] for _ in folders]
    for index, folder in enumerate(folders):
        if (folder / ACCURACY).is_file():
            rows[index] += _rows(folder / ACCURACY)
    for file in files:
        found = _rows(file)
        owners = _owners(found, folders, file)
        for index in sorted({owner for owner in owners if owner is not None}):
            rows[index] += [row for row, owner in zip(found, owners, strict=True) if owner in (None, index)]
    columns = ALONE if len(folders) == 1 else BESIDE
    return [_run(name, folder, own, columns) for name, folder, own in zip(names, folders, rows, strict=True)]


def _run(name: str, folder: Path, rows: list[dict[str, Any]], columns: int) -> Run:
    synthetic = SyntheticSet.load(folder)
    notes: list[str] = []
    snapshots, steps = _snapshots(folder), synthetic.card.get("steps", 0)
    sheet, kept = plan(synthetic, len(snapshots), columns)
    notes += sheet.notes
    frames = []
    for step, path in snapshots[:: max(1, math.ceil(len(snapshots) / kept))] if snapshots else ():
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
        card=synthetic.card,
        sheet=sheet,
        frames=tuple(frames),
        losses=_series(metrics, "loss"),
        accuracies=_series(metrics, "accuracy"),
        rows=tuple(_own(rows)),
        notes=tuple(notes),
    )


def _pixels(synthetic: SyntheticSet, tensors: Mapping[str, Tensor]) -> Tensor:
    """Pictures of a snapshot, through the artifact's own way from its space to pixels."""
    if "images" not in tensors:
        raise InputError("a snapshot without images")
    return replace(synthetic, images=tensors["images"]).pixels


def _snapshots(folder: Path) -> list[tuple[int, Path]]:
    found = []
    for path in (folder / "snapshots").glob("step-*.safetensors"):
        match = re.fullmatch(r"step-(\d+)", path.stem)
        if match:
            found.append((int(match[1]), path))
    return sorted(found)


def _metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of ``metrics.jsonl``; one that is damaged, such as the last of a killed run, counts as missing."""
    if not path.is_file():
        return []
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(record, dict) and isinstance(record.get("step"), int):
            found.append(record)
    return found


def _series(metrics: list[dict[str, Any]], what: str) -> tuple[tuple[int, float], ...]:
    values = {record["step"]: record.get(what) for record in metrics}
    return tuple(
        (step, float(value))
        for step, value in sorted(values.items())
        if isinstance(value, int | float) and math.isfinite(value)
    )


def _rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file, checked.

    Raises:
        InputError: it is not a list of rows; the message names the field.
    """
    rows = read_json(path)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{path}: not a list of rows as `distillset evaluate --json` prints it")
    for number, row in enumerate(rows, 1):
        for field, kind in NEEDED.items():
            if not isinstance(row.get(field), kind):
                raise InputError(f"{path}: row {number}: field {field} is {row.get(field)!r}; see evaluate --json")
    return rows


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
            raise InputError(f"{file}: a row of {row['artifact']}, which is not (or not only) one of {known}")
        owners.append(same[0])
    return owners


def _own(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with ``artifact`` one of ``set``, ``random``, ``whole``; of equal kind the last one, measured latest."""
    kinds = [row["artifact"] if row["artifact"] in BASELINES else "set" for row in rows]
    found = {(kind, row["network"], row["protocol"]): row for kind, row in zip(kinds, rows, strict=True)}
    return [{**row, "artifact": kind} for (kind, _, _), row in found.items()]


def _names(folders: Sequence[Path]) -> list[str]:
    """The folders' own names where they differ, else the paths as they were given."""
    short = [folder.resolve().name or str(folder) for folder in folders]
    names = [name if short.count(name) == 1 else str(folder) for name, folder in zip(short, folders, strict=True)]
    if len(set(names)) < len(names):
        raise InputError(f"report: {next(name for name in names if names.count(name) > 1)} is given twice")
    return names
