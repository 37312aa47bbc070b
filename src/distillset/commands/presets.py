"""``distillset presets``: list published settings, published and measured accuracies, and costs."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from distillset.errors import InputError
from distillset.evaluation import PROTOCOLS
from distillset.presets import Preset, improvements
from distillset.reproduction import Results
from distillset.reproduction.cost import passes
from distillset.reproduction.known import known_presets
from distillset.reproduction.record import ours, percent

NETWORKS = 5
"""That the listed cost counts with."""


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("presets", help="list published settings, with published and measured accuracies")
    parser.add_argument("--method", help=f"show only this method: {', '.join(_values('method'))}")
    parser.add_argument("--data", help=f"show only this data set: {', '.join(_values('data'))}")
    parser.add_argument(
        "--results",
        type=Path,
        default=Path("results"),
        metavar="DIR",
        help="folder of measured results (default results)",
    )
    parser.add_argument("--json", action="store_true", help="print a list of rows as JSON, with all settings")
    parser.set_defaults(run=run)


def _values(field: str) -> list[str]:
    return list(dict.fromkeys(getattr(preset, field) for preset in known_presets().values()))


def run(options: argparse.Namespace) -> int:
    """List them."""
    for flag in ("method", "data"):
        wanted = getattr(options, flag)
        if wanted is not None and wanted not in _values(flag):
            raise InputError(flag, wanted, f"no preset has it; choose one of {', '.join(_values(flag))}")
    chosen = [
        preset
        for preset in known_presets().values()
        if options.method in (None, preset.method) and options.data in (None, preset.data)
    ]
    results = Results(options.results)
    rows = [_row(preset, results) for preset in chosen]
    print(json.dumps(rows, indent=2) if options.json else _table(rows))
    return 0


def _row(preset: Preset, results: Results) -> dict[str, Any]:
    """A row as JSON. ``work`` is in images forward through the network, for the published steps and five networks;
    ``ours`` is the result of the most steps under the published protocol, with settings that are not the published ones
    as its ``departures``; None where there is none.
    """
    best = results.best(preset)
    measured = None
    if best is not None:
        accuracy = ours(best)
        measured = {name: accuracy[name] for name in ("mean", "std", "n", "sets", "networks")}
        measured |= {"steps": best["steps"], "percent": percent(accuracy), "complete": best.get("complete", True)}
        measured["departures"] = best.get("departures") or []
        seconds = (best.get("distil_seconds") or 0.0) + (accuracy.get("seconds") or 0.0)
        measured |= {"seconds": seconds, "hardware": accuracy.get("hardware") or {}}
    protocol = PROTOCOLS.get(preset.protocol)
    return {
        "name": preset.name,
        **asdict(preset),
        "recipe": protocol.source if protocol else None,
        "work": passes(preset, preset.steps, NETWORKS),
        "recommended": asdict(preset.ours) if preset.ours else None,
        "improvements": improvements(preset, preset.steps),
        "ours": measured,
    }


def _table(rows: list[dict[str, Any]]) -> str:
    head = ("row", "published %", "ours %", "steps", "cost (M images)", "took")
    lines = [head, *(_line(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    texts = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    sources = dict.fromkeys(row["published"]["source"] for row in rows if row["published"])
    papers = dict.fromkeys(f"{row['method']}: {row['paper']}" for row in rows)
    return "\n".join(
        [
            *texts,
            "",
            f"cost: images forward through the network, in millions, for the published steps and {NETWORKS} networks",
            f"published accuracies: {', '.join(sources) or 'none is known'}",
            *papers,
        ]
    )


def _line(row: dict[str, Any]) -> tuple[str, ...]:
    paper, ours = row["published"], row["ours"]
    steps = str(row["steps"] or "-")
    text = "-"
    if ours:
        more = ", ".join([f"n {ours['n']}", *([] if ours["complete"] else ["partial"]), *ours["departures"]])
        text = f"{ours['percent'].replace('±', '+-')} ({more})"
        steps = f"{ours['steps']} of {steps}" if row["steps"] else "-"
    return (
        row["name"],
        f"{paper['mean']} +- {paper['std']}" if paper else "-",
        text,
        steps,
        f"{row['work'] / 1e6:.3g}",
        f"{ours['seconds'] / 60:.0f} min" if ours else "-",
    )
