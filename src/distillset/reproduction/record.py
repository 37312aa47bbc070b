"""A measured result as one JSON file, and the folder of them."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from distillset.data.card import COUNT, OBJECT, POSITIVE, SECONDS, TEXT, TRUTH, Kind, check_fields, is_number
from distillset.data.rows import check_rows
from distillset.data.synthetic import versions
from distillset.errors import InputError, shown
from distillset.methods import METHODS, settings_of
from distillset.presets import Preset
from distillset.reproduction.known import known_presets
from distillset.store import read_json, write_sealed

PUBLISHED = "convnet"
"""The network of the published table: distils, and is trained on the set."""

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
    commit: str | None = None,
) -> dict[str, Any]:
    """A result from an artifact's card and the rows of its evaluation.

    Args:
        card: of the artifact.
        rows: as JSON; those that are not of ``random`` or the ``whole`` set are the artifact's.
        preset: the row of the published table; by default the one of the card's method, data and images per class.
        wanted: networks that were to be evaluated; with fewer in ``rows`` the result is marked as partial.
        departures: settings that are not as published; by default those of the card that differ from the preset.
        note: what has to be known of how it was measured.
        why: the reason, as far as it is known, where it falls short of the paper.
        commit: of the source it was measured with, where that is known.
    """
    data = card["spec"]["name"]
    preset = known_presets().get(f"{card['method']}-{data}-{card['ipc']}") if preset is None else preset
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
        "commit": commit,
        "note": note,
        "why": why,
    }


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
        result = read_json(path)
        for field in NEEDED:
            nothing = field != "published"
            if not isinstance(result, dict) or field not in result or (nothing and result[field] is None):
                raise InputError.about(path, f"field {field} is missing; expected a result made by distillset")
        check_fields(result, FIELDS, path)
        rows = check_rows(result["rows"], path)
        if not any(row["artifact"] == result["method"] and "sets" in row and "networks" in row for row in rows):
            raise InputError.about(path, f"rows have none of {shown(result['method'])}, which the result is of")
        return dict(result)

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
        results = [
            result
            for result in self.all().values()
            if (result["method"], result["data"]["name"], result["ipc"]) == (preset.method, preset.data, preset.ipc)
            and not elsewhere(result)
        ]
        return max(results, key=lambda result: (not result.get("departures"), *_extent(result)), default=None)

    def all(self) -> dict[str, dict[str, Any]]:
        """Every result by name; other files in the folder, such as ``benchmarks.json``, have no dash in theirs."""
        names = sorted(path.stem for path in self.folder.glob("*-*.json"))
        return {name: result for name in names if (result := self.read(name)) is not None}


def ours(result: Mapping[str, Any]) -> dict[str, Any]:
    """The row of a result that is its own; a set of random images that was redrawn has only one."""
    return dict(next(row for row in result["rows"] if row["artifact"] == result["method"]))


def percent(row: Mapping[str, Any]) -> str:
    """Mean and deviation; a single network has no deviation."""
    mean = f"{100 * row['mean']:.1f}"
    return f"{mean} ± {100 * row['std']:.1f}" if row["n"] > 1 else mean


def elsewhere(result: Mapping[str, Any]) -> list[str]:
    """What sets a result apart from the row of the published table that it would belong to."""
    row = ours(result)
    protocol = row["protocol"]
    distils = bool(result.get("steps_published"))  # the network of a selector only looks
    by, on = result["settings"].get("network", PUBLISHED) if distils else PUBLISHED, row["network"]
    parts = [f"by {by}, tested on {on}"] if (by, on) != (PUBLISHED, PUBLISHED) else []
    if protocol != (result.get("protocol_published") or result["method"]):
        compute = result["settings"].get("compute") or row.get("compute")
        parts += [protocol, str(compute.get("precision") if isinstance(compute, dict) else "unknown precision")]
    return parts + (["all classes at once"] if result["settings"].get("match") == "all" else [])


def _departures(settings: Mapping[str, Any], preset: Preset | None) -> list[str]:
    """Fields of a run that are not as published: as the preset has them, the others as they are by default."""
    if preset is None or preset.method not in METHODS:
        return []
    # What is chosen for the data (None, auto, a folder) has no default to differ from; the objective is not among them.
    defaults = {one.name: one.default for one in settings_of(METHODS[preset.method]) if one.name != "match"}
    plain = {name: value for name, value in defaults.items() if value not in (None, "", "auto")}
    published = {**plain, **preset.settings}
    return [
        f"{name} {settings[name]}" for name, standard in published.items() if settings.get(name, standard) != standard
    ]


def _extent(result: Mapping[str, Any]) -> tuple[int, int]:
    return result["steps"], ours(result)["n"]
