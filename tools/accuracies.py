"""Measured accuracies beside published ones, in Markdown."""

from collections.abc import Mapping
from typing import Any

from distillset.coresets import SELECTORS
from distillset.methods import METHODS
from distillset.presets import PRESETS, Preset
from distillset.reproduction import Results
from distillset.reproduction.record import elsewhere, ours, percent

ORDER = (*METHODS.built_in, *SELECTORS.built_in)


def measured(results: Results) -> str:
    """The table of accuracies beside the published ones."""
    lines = [
        "| method | data | images per class | ours: accuracy % (sets × networks) | random | published "
        "| steps (of published) | against the paper |",
        "|---|---|---|---|---|---|---|---|",
    ]
    everything = results.all()
    for result in sorted(everything.values(), key=_order):
        own, paper = ours(result), result["published"]
        random = _random(result, everything)
        published = f"{paper['mean']} ± {paper['std']}" if _comparable(result) else "-"
        steps = f"{result['steps']} of {result.get('steps_published')}" if result.get("steps_published") else "-"
        lines.append(
            f"| {result['method']}{_unlike(result)} | {result['data']['name']} | {result['ipc']} | "
            f"{percent(own)} ({own['sets']} × {own['networks']}) | {percent(random) if random else '-'} | {published} "
            f"| {steps} | {verdict(result)} |"
        )
    return "\n".join(lines)


def overview(results: Results) -> str:
    """Ours (the paper's): a line per data set and ipc, a column per method; empty where nothing was measured.

    Of each row of presets it has the result that `Results.best` names; below the table are those of other settings that
    measured more. † stands where steps, settings or the number of networks are not as wanted, ↓ where ours is below the
    paper's by more than its deviation.
    """
    found = {name: result for name, preset in PRESETS.items() if (result := results.best(preset)) is not None}
    if not found:
        return ""
    rows = [PRESETS[name] for name in found]
    methods = [method for method in (*SELECTORS.built_in, *METHODS.built_in) if method in {row.method for row in rows}]
    lines = [f"| data, images per class | {' | '.join(methods)} |", "|---" * (1 + len(methods)) + "|"]
    for data, ipc in sorted({(row.data, row.ipc) for row in rows}):
        names = [f"{method}-{data}-{ipc}" for method in methods]
        lines.append(f"| {data}, {ipc} | {' | '.join(_cell(PRESETS.get(name), found.get(name)) for name in names)} |")
    for result in sorted(results.all().values(), key=_order):
        best = found.get(f"{result['method']}-{result['data']['name']}-{result['ipc']}", result)
        if _comparable(result) and result.get("departures") and ours(result)["mean"] > ours(best)["mean"]:
            told = f"{result['method']}{_unlike(result)} on {result['data']['name']}, {result['ipc']} images per class"
            lines += ["", f"With other settings, {told}: {percent(ours(result))}{_marks(result)}."]
    return "\n".join(lines)


def _cell(preset: Preset | None, result: Mapping[str, Any] | None) -> str:
    paper = f" ({preset.published.mean})" if preset and preset.published else ""
    if result is None:
        return f"-{paper}"
    unbroken = percent(ours(result)).replace(" ", "\N{NO-BREAK SPACE}")  # of nine columns none is wide
    return f"{unbroken}{_marks(result)}{paper}"


def _marks(result: Mapping[str, Any]) -> str:
    shorter = result["steps"] < (result.get("steps_published") or 0)
    other = shorter or bool(result.get("departures")) or not result.get("complete", True)
    short = _comparable(result) and _gap(result) < -result["published"]["std"]
    return "†" * other + "↓" * short


def _random(result: Mapping[str, Any], everything: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Random images under the same protocol: evaluated beside a result, or as a row of their own."""
    own = ours(result)
    if own["artifact"] == "random":
        return None
    row = everything.get(f"random-{result['data']['name']}-{result['ipc']}", {"rows": []})
    wanted = own["network"], own["protocol"]
    rows: list[Mapping[str, Any]] = [*result["rows"], *row["rows"]]
    return next(
        (one for one in rows if one["artifact"] == "random" and (one["network"], one["protocol"]) == wanted), None
    )


def verdict(result: Mapping[str, Any]) -> str:
    """How a result stands to its paper: ahead, level (within the paper's deviation) or short of it and why."""
    told = []
    own, paper = ours(result), result["published"]
    if not result.get("complete", True):
        told.append(f"partial: {own['n']} of {result['networks_wanted']} networks")
    if _comparable(result):
        gap = _gap(result)
        if abs(gap) <= paper["std"]:
            told.append(f"level ({gap:+.1f})")
        else:
            told.append(f"{gap:+.1f}" if gap > 0 else f"short by {-gap:.1f}: {_reason(result)}")
    return "; ".join(told) or "-"


def _unlike(result: Mapping[str, Any]) -> str:
    """What a result has that the paper's does not: another network, protocol, objective or setting."""
    told = elsewhere(result) + list(result.get("departures") or [])
    return f" ({', '.join(told)})" if told else ""


def _comparable(result: Mapping[str, Any]) -> bool:
    """Whether a result can stand beside the paper's: of its network, protocol and objective, whatever its settings."""
    return result["published"] is not None and not elsewhere(result)


def _gap(result: Mapping[str, Any]) -> float:
    """Points above the paper, of the numbers as printed; never -0.0."""
    printed = round(100 * ours(result)["mean"], 1)
    return float(round(printed - result["published"]["mean"], 1) + 0.0)


def _reason(result: Mapping[str, Any]) -> str:
    if result.get("why"):
        return str(result["why"])
    if result["steps"] < (result.get("steps_published") or 0):
        return f"{result['steps']} of {result.get('steps_published')} steps"
    if result.get("departures"):
        return ", ".join(result["departures"])
    return "cause not known"


def _order(result: Mapping[str, Any]) -> tuple[Any, ...]:
    method = result["method"]
    place = ORDER.index(method) if method in ORDER else len(ORDER)
    return place, method, result["data"]["name"], result["ipc"], _unlike(result), result["steps"]
