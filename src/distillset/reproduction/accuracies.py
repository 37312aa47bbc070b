"""Measured accuracies beside published ones, in Markdown."""

from collections.abc import Mapping
from typing import Any

from distillset.reproduction.record import Results, comparable, ours, unlike

ORDER = ("dc", "dsa", "dm", "mtt", "random", "herding", "k-center", "forgetting")


def measured(results: Results) -> str:
    """The table of accuracies beside the published ones."""
    lines = [
        "| method | data | images a class | ours: accuracy % (sets × networks) | random | published "
        "| steps of published | beside the paper |",
        "|---|---|---|---|---|---|---|---|",
    ]
    everything = results.all()
    for result in sorted(everything.values(), key=_order):
        own, paper = ours(result), result["published"]
        random = _random(result, everything)
        published = f"{paper['mean']} ± {paper['std']}" if comparable(result) else "-"
        steps = f"{result['steps']} of {result['steps_published']}" if result["steps_published"] else "-"
        lines.append(
            f"| {result['method']}{unlike(result)} | {result['data']['name']} | {result['ipc']} | "
            f"{percent(own)} ({own['sets']} × {own['networks']}) | {percent(random) if random else '-'} | {published} "
            f"| {steps} | {verdict(result)} |"
        )
    return "\n".join(lines)


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


def percent(row: Mapping[str, Any]) -> str:
    """Mean and deviation; a single network has no deviation."""
    mean = f"{100 * row['mean']:.1f}"
    return f"{mean} ± {100 * row['std']:.1f}" if row["n"] > 1 else mean


def verdict(result: Mapping[str, Any]) -> str:
    """How a result stands to its paper: ahead, level (within the paper's deviation) or short of it and why."""
    told = []
    own, paper = ours(result), result["published"]
    if not result.get("complete", True):
        told.append(f"partial: {own['n']} of {result['networks_wanted']} networks")
    if comparable(result):
        gap = round(round(100 * own["mean"], 1) - paper["mean"], 1) + 0.0  # of the numbers as printed; never -0.0
        if abs(gap) <= paper["std"]:
            told.append(f"level ({gap:+.1f})")
        else:
            told.append(f"{gap:+.1f}" if gap > 0 else f"short by {-gap:.1f}: {_reason(result)}")
    return "; ".join(told) or "-"


def _reason(result: Mapping[str, Any]) -> str:
    if result.get("why"):
        return str(result["why"])
    if result["steps"] < (result["steps_published"] or 0):
        return f"{result['steps']} of {result['steps_published']} steps"
    if result.get("departures"):
        return ", ".join(result["departures"])
    return "cause not known"


def _order(result: Mapping[str, Any]) -> tuple[Any, ...]:
    method = result["method"]
    place = ORDER.index(method) if method in ORDER else len(ORDER)
    return place, method, result["data"]["name"], result["ipc"], unlike(result), result["steps"]
