"""Runs as one page of HTML: the template with everything it needs inside it."""

import base64
import hashlib
import math
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any

from distillset.data.origin import in_words
from distillset.data.synthetic import versions
from distillset.errors import InputError
from distillset.escapes import printable
from distillset.report.charts import Chart, chart
from distillset.report.gather import Run

Table = list[tuple[str, list[str]]]
"""Rows of a name and a cell a run."""


def render(runs: Sequence[Run]) -> str:
    """The page.

    Raises:
        InputError: Jinja2 is not installed.
    """
    script, style = _file("page.js"), _file("page.css")
    charts = _charts(runs)
    page: str = _template().render(
        title=", ".join(run.name for run in runs),
        runs=runs,
        charts=charts,
        bars=_bars(runs),
        networks=_networks(runs),
        settings=_settings(runs),
        cost=_cost(runs),
        provenance=_provenance(runs),
        recipes=_recipes(runs),
        classes=_classes(runs),
        numbers=_numbers(runs, charts),
        script=script,
        style=style,
        # Only this script may run, and nothing may be fetched: a page about a stranger's set stays a page.
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        version=versions()["distillset"],
    )
    return page


@lru_cache(maxsize=1)
def _template() -> Any:
    """Compiled once per process: compiling it each time would hold memory that is never given back."""
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError:
        raise InputError.about("report", "Jinja2 is not installed; pip install jinja2") from None
    places = Environment(
        loader=PackageLoader("distillset.report", "."),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return places.get_template("page.html.j2")


def _shown(value: Any) -> Any:
    """Text of runs and cards without what would turn the text around it; what is a page's own stays."""
    return printable(value, allowed="\n\t") if type(value) is str else value


def _file(name: str) -> str:
    return (files("distillset.report") / name).read_text(encoding="utf-8")


def _charts(runs: Sequence[Run]) -> list[Chart]:
    losses = [(i, run.name, run.losses) for i, run in enumerate(runs)]
    accuracies = [(i, run.name, run.accuracies) for i, run in enumerate(runs)]
    # Only where a curve is drawn there is something to compare it with; `whole` would often flatten it.
    random = [
        (i, "random", row["mean"])
        for i, run in enumerate(runs)
        for row in run.rows
        if row["artifact"] == "random" and run.accuracies and row["network"] == run.rows[0]["network"]
    ]
    charts = [
        chart("loss", "Loss", losses),
        chart("accuracy", "Accuracy of one network during the run", accuracies, random, percent=True),
    ]
    return [one for one in charts if one is not None]


KINDS = {"set": "", "random": "random real images", "whole": "the whole real set"}


def _bars(runs: Sequence[Run]) -> dict[str, list[dict[str, Any]]]:
    """Accuracies to compare, for each network; a baseline that several runs share is shown once."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for kind, label in KINDS.items():
        for i, run in enumerate(runs):
            for row in run.rows:
                if row["artifact"] != kind:
                    continue
                entry = {"name": label or run.name, "kind": kind, "run": i, "of": run.name, **_measured(row)}
                group = groups.setdefault(row["network"], [])
                same = [e for e in group if kind != "set" and e["kind"] == kind and e["row"] == entry["row"]]
                if same:
                    same[0]["of"] += f", {run.name}"
                else:
                    group.append(entry)
    return groups


def _measured(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "row": row,
        "mean": 100 * row["mean"],
        "low": max(0.0, 100 * (row["mean"] - row["std"])),
        "high": min(100.0, 100 * (row["mean"] + row["std"])),
        "text": _accuracy(row),
        "n": row["n"],
        "protocol": row["protocol"],
    }


def _accuracy(row: dict[str, Any]) -> str:
    return f"{100 * row['mean']:.1f}" + (f" ± {100 * row['std']:.1f}" if row["n"] > 1 else "")


def _networks(runs: Sequence[Run]) -> dict[str, Any] | None:
    """Accuracy across networks: a row per network and protocol, a column per kind of set; None for one network."""
    rows = [(i, row) for i, run in enumerate(runs) for row in run.rows]
    if len({row["network"] for _, row in rows}) < 2:
        return None
    columns = [
        (i, kind) for i in range(len(runs)) for kind in KINDS if any((j, r["artifact"]) == (i, kind) for j, r in rows)
    ]
    lines = []
    for network in dict.fromkeys(row["network"] for _, row in rows):
        cells = []
        for column in columns:
            matching = [r for i, r in rows if (i, r["artifact"]) == column and r["network"] == network]
            cells.append("; ".join(f"{_accuracy(row)} (n {row['n']})" for row in matching) or "–")
        lines.append((network, cells))
    heads = [
        (runs[i].name, {"set": "distilled", "random": "random", "whole": "whole set"}[kind]) for i, kind in columns
    ]
    return {"heads": heads, "lines": lines}


def _recipes(runs: Sequence[Run]) -> dict[str, str]:
    """Every protocol that a number on the page was made by, in full where the rows tell it."""
    rows = [row for run in runs for row in run.rows]
    return {row["protocol"]: _plain(row.get("recipe", {})) or "its settings are not in the rows" for row in rows}


def _settings(runs: Sequence[Run]) -> Table:
    return _compared([{"steps": run.steps, **_flat(run.card.get("settings", {}))} for run in runs])


def _cost(runs: Sequence[Run]) -> Table:
    rows = []
    for run in runs:
        metrics, real = run.card.get("metrics", {}), run.card.get("data", {}).get("images")
        seconds, memory = metrics.get("seconds"), metrics.get("memory")
        count, *shape = run.card["images"]
        fields = {"synthetic images": f"{count:,}"}
        if isinstance(real, int) and real:
            fields["of the real images"] = f"{real:,} ({100 * count / real:.2g}%)"
        fields["size, as float32"] = _bytes(4 * count * math.prod(shape))
        if isinstance(seconds, int | float):
            fields["time to distil"] = _duration(seconds)
            if run.steps:
                fields["time per step"] = _duration(seconds / run.steps)
        if isinstance(memory, int) and memory:
            fields["most memory in use"] = _bytes(memory)
        evaluated = [row["seconds"] for row in run.rows if isinstance(row.get("seconds"), int | float)]
        if evaluated and len(evaluated) == len(run.rows):
            fields["time to evaluate, all rows"] = _duration(sum(evaluated))
        fields |= _flat(run.card.get("hardware", {}), "hardware")
        rows.append(fields)
    return _compared(rows)


def _provenance(runs: Sequence[Run]) -> Table:
    rows = []
    for run in runs:
        card = run.card
        spec = {name: value for name, value in card["spec"].items() if name not in ("class_names", "name")}
        fields = {"created": card.get("created"), "artifact fingerprint": card.get("fingerprint")}
        fields |= _flat(card.get("data", {}), "data") | _flat(spec) | _flat(card.get("versions", {}), "version of")
        fields |= {f"learned: {name}": words for name, words in run.learned.items()}
        fields |= in_words(card.get("real"))
        rows.append({name: value for name, value in fields.items() if value is not None})
    return _compared(rows)


def _compared(records: Sequence[dict[str, Any]]) -> Table:
    names = dict.fromkeys(name for record in records for name in record)
    return [(name, [_plain(record.get(name, "–")) for record in records]) for name in names]


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested objects as one, inner names behind outer ones."""
    if not isinstance(value, dict):
        return {prefix: value}
    return {
        key: inner for name, part in value.items() for key, inner in _flat(part, f"{prefix} {name}".strip()).items()
    }


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(part)}" for name, part in value.items())
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _classes(runs: Sequence[Run]) -> list[tuple[str, list[int | None]]]:
    """Class names in the order they first appear, with the place of each in every run's sheet."""
    names = dict.fromkeys(name for run in runs for name in run.sheet.class_names)
    places = [{name: place for place, name in enumerate(run.sheet.class_names)} for run in runs]
    return [(name, [place.get(name) for place in places]) for name in names]


def _numbers(runs: Sequence[Run], charts: Sequence[Chart]) -> dict[str, Any]:
    """What the script needs: the strips through time and the curves."""
    shown = [
        {"name": printable(run.name), "steps": run.steps, "frames": [vars(frame) for frame in run.frames]}
        for run in runs
    ]
    return {"runs": shown, "charts": [one.numbers() for one in charts]}


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{1000 * seconds:.3g} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
