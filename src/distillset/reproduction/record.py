"""A measured result as one JSON file, and the folder of them."""

import copy
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from distillset.data.card import COUNT, OBJECT, POSITIVE, SECONDS, TEXT, TRUTH, Kind, check_fields, is_number
from distillset.data.rows import check_rows
from distillset.data.synthetic import versions
from distillset.engine.hardware import hardware
from distillset.errors import InputError, shown
from distillset.methods import METHODS
from distillset.presets import PRESETS, Preset
from distillset.store import read_json, write_sealed

PUBLISHED = "convnet"
"""The network of the published table: distils, and is trained on the set."""

ROOT = Path(__file__).resolve().parents[3]
"""The repository, where the library is run from one."""

NEEDED = ("data", "method", "ipc", "steps", "settings", "rows", "published")
FIELDS: dict[str, Kind] = {
    "data": (lambda value: isinstance(value, dict) and isinstance(value.get("name"), str), "an object with a name"),
    "method": TEXT,
    "ipc": POSITIVE,
    "steps": COUNT,
    "steps_published": COUNT,
    "settings": OBJECT,
    "published": (
        lambda value: isinstance(value, dict) and all(is_number(value.get(name), 0) for name in ("mean", "std")),
        "an object with the numbers mean and std",
    ),
    "protocol_published": TEXT,
    "distil_seconds": SECONDS,
    "complete": TRUTH,
    "departures": (
        lambda value: isinstance(value, list) and all(isinstance(part, str) for part in value),
        "a list of text",
    ),
}
"""What may stand in a result; null counts as missing, where it may be."""


def result_of(
    card: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    *,
    preset: Preset | None = None,
    wanted: int | None = None,
    departures: Sequence[str] | None = None,
    note: str = "",
    why: str = "",
) -> dict[str, Any]:
    """A result from an artifact's card and the rows of its evaluation.

    Args:
        card: of the artifact.
        rows: as JSON; those that are not of ``random`` or the ``whole`` set are the artifact's.
        preset: the row of the published table; by default the one of the card's method, data and images a class.
        wanted: networks that were to be evaluated; with fewer in ``rows`` the result is told as partial.
        departures: settings that are not as published; by default those of the card that differ from the preset.
        note: what has to be known of how it was measured.
        why: the reason, as far as it is known, where it falls short of the paper.
    """
    data = card["spec"]["name"]
    preset = PRESETS.get(f"{card['method']}-{data}-{card['ipc']}") if preset is None else preset
    paper = preset.published if preset else None
    metrics = card.get("metrics", {})
    named = [
        dict(row) if row["artifact"] in ("random", "whole") else {**row, "artifact": card["method"]} for row in rows
    ]
    n = next(row["n"] for row in named if row["artifact"] == card["method"])
    return {
        "data": {"name": data, "fingerprint": card["data"]["fingerprint"]},
        "method": card["method"],
        "ipc": card["ipc"],
        "steps": card.get("steps", 0),
        "steps_published": preset.steps if preset else None,
        "protocol_published": preset.protocol if preset else None,
        "settings": card["settings"],
        "departures": _departures(card["settings"], preset) if departures is None else list(departures),
        "artifact": card["fingerprint"],
        "distil_seconds": metrics.get("seconds"),
        "distil_hardware": card.get("hardware"),
        "distil_memory": metrics.get("memory"),
        "complete": wanted is None or n >= wanted,
        "networks_wanted": wanted,
        "rows": named,
        "published": {"mean": paper.mean, "std": paper.std, "source": paper.source} if paper else None,
        "versions": card.get("versions") or versions(),
        "commit": commit(),
        "note": note,
        "why": why,
    }


def pooled(evaluations: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Rows of one artifact from several evaluations with other seeds, as the rows of one: their networks together.

    Accuracies are put one after the other, seconds added, and of memory the most is kept; all else is the first's.

    Raises:
        InputError: rows for the same network and protocol were trained by other recipes or on another set, chosen in
            other ways, or are the same trainings.
    """
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in (row for rows in evaluations for row in rows):
        what = (row["artifact"], row["network"], row["protocol"], row["labels"])
        if what not in found:
            found[what] = dict(row)
            continue
        first = found[what]
        for field in ("recipe", "chosen", "step", "fingerprint"):
            if first.get(field) != row.get(field):
                raise InputError(f"{field} {row.get(field)}: the evaluation before it has {first.get(field)}")
        if set(row["accuracies"]) <= set(first["accuracies"]):
            raise InputError(f"accuracies {row['accuracies']}: are there already; give evaluations of other seeds")
        accuracies = [*first["accuracies"], *row["accuracies"]]
        redrawn = "sets" if row["artifact"] == "random" else "networks"
        first |= {
            "accuracies": accuracies,
            "mean": statistics.fmean(accuracies),
            "std": statistics.stdev(accuracies),
            "n": len(accuracies),
            redrawn: first[redrawn] + row[redrawn],
            "seconds": round(first["seconds"] + row["seconds"], 2),
            "diverged": first.get("diverged", 0) + row.get("diverged", 0),
            "memory": max(first.get("memory") or 0, row.get("memory") or 0) or None,
        }
    return list(found.values())


def name_of(result: Mapping[str, Any]) -> str:
    """What a result is called: by its row, and by its steps where they are not the published ones."""
    row = f"{result['method']}-{result['data']['name']}-{result['ipc']}"
    return row if result["steps"] == (result.get("steps_published") or 0) else f"{row}-{result['steps']}-steps"


def provenance(device: torch.device) -> dict[str, Any]:
    """What a measurement was made on and with: hardware, versions and commit."""
    return {"hardware": hardware(device), "versions": versions(), "commit": commit()}


def commit(root: Path = ROOT) -> str | None:
    """The commit of the repository that the library is run from, ``-changed`` added where its source differs from it;
    None where there is none.
    """
    if not (root / ".git").exists():
        return None
    try:
        head, changes = (
            _git(root, *words) for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "--", "src"))
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{head}-changed" if changes else head


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *words], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    return done.stdout.strip()


class Results:
    """The folder of results, a file ``NAME.json`` each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[str, tuple[tuple[int, int, int], dict[str, Any]]] = {}
        """What was read and checked, by the file's number, size and time."""

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def read(self, name: str) -> dict[str, Any] | None:
        """A result; None where there is none.

        Raises:
            InputError: the file is damaged or no result.
        """
        path = self.path(name)
        if not path.is_file():
            return None
        state = path.stat()
        now = state.st_ino, state.st_size, state.st_mtime_ns
        if name not in self._known or self._known[name][0] != now:
            self._known[name] = now, self._checked(path)
        return copy.deepcopy(self._known[name][1])

    def _checked(self, path: Path) -> dict[str, Any]:
        found = read_json(path)
        for field in NEEDED:
            nothing = field != "published"
            if not isinstance(found, dict) or field not in found or (nothing and found[field] is None):
                raise InputError(f"{path}: field {field} is missing; expected a result made by distillset")
        check_fields(found, FIELDS, f"{path}: ")
        rows = check_rows(found["rows"], path)
        if not any(row["artifact"] == found["method"] and "sets" in row and "networks" in row for row in rows):
            raise InputError(f"{path}: rows have none of {shown(found['method'])}, which the result is of")
        return dict(found)

    def write(self, name: str, result: Mapping[str, Any]) -> Path:
        """Keep a result, unless the one there has run more steps, or as many with more networks."""
        before = self.read(name)
        if before is None or _extent(before) <= _extent(result):
            write_sealed(self.path(name), result)
        return self.path(name)

    def best(self, preset: Preset) -> dict[str, Any] | None:
        """The result of a row under its published protocol with the most steps and networks, if any; one of published
        settings before one of others.
        """
        found = [
            result
            for result in self.all().values()
            if (result["method"], result["data"]["name"], result["ipc"]) == (preset.method, preset.data, preset.ipc)
            and not _elsewhere(result)
        ]
        return max(found, key=lambda result: (not result.get("departures"), *_extent(result)), default=None)

    def all(self) -> dict[str, dict[str, Any]]:
        """Every result by name; other files in the folder, such as ``benchmarks.json``, have no dash in theirs."""
        names = sorted(path.stem for path in self.folder.glob("*-*.json"))
        return {name: result for name in names if (result := self.read(name)) is not None}


def ours(result: Mapping[str, Any]) -> dict[str, Any]:
    """The row of a result that is its own; a set of random images that was redrawn has only one."""
    return dict(next(row for row in result["rows"] if row["artifact"] == result["method"]))


def unlike(result: Mapping[str, Any]) -> str:
    """What a result has that the paper's does not: another network, protocol, objective or setting."""
    told = _elsewhere(result) + list(result.get("departures") or [])
    return f" ({', '.join(told)})" if told else ""


def comparable(result: Mapping[str, Any]) -> bool:
    """Whether a result can stand beside the paper's: of its network, protocol and objective, whatever its settings."""
    return result["published"] is not None and not _elsewhere(result)


def _elsewhere(result: Mapping[str, Any]) -> list[str]:
    """What sets a result apart from the row of the published table that it would belong to."""
    row = ours(result)
    protocol = row["protocol"]
    distils = bool(result.get("steps_published"))  # the network of a selector only looks
    by, on = result["settings"].get("network", PUBLISHED) if distils else PUBLISHED, row["network"]
    told = [f"by {by}, tested on {on}"] if (by, on) != (PUBLISHED, PUBLISHED) else []
    if protocol != (result.get("protocol_published") or result["method"]):
        compute = result["settings"].get("compute") or row.get("compute")
        told += [protocol, str(compute.get("precision") if isinstance(compute, dict) else "unknown precision")]
    return told + (["all classes at once"] if result["settings"].get("match") == "all" else [])


def _departures(settings: Mapping[str, Any], preset: Preset | None) -> list[str]:
    """Fields of a run that are not as published: as the preset has them, the others as they are by default."""
    if preset is None or preset.method not in METHODS:
        return []
    # What is chosen for the data (None, auto, a folder) has no default to differ from; the objective is told apart.
    defaults = {field.name: field.default for field in fields(METHODS[preset.method]) if field.name != "match"}
    plain = {name: value for name, value in defaults.items() if value not in (None, "", "auto")}
    published = {**plain, **preset.settings}
    return [f"{name} {settings[name]}" for name, own in published.items() if settings.get(name, own) != own]


def _extent(result: Mapping[str, Any]) -> tuple[int, int]:
    return result["steps"], ours(result)["n"]
