"""Measured results: record one from an artifact and its evaluation, and render the README's table from all of them.

    python tools/results.py record ARTIFACT ROWS.json --name dm-cifar10-10   # writes results/dm-cifar10-10.json
    python tools/results.py table [--check]                                  # writes, or checks, the table in README.md

``ROWS.json`` is what ``distillset evaluate ARTIFACT --json`` printed.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "results"
BEGIN, END = "<!-- results: made by tools/results.py -->", "<!-- end of results -->"

PUBLISHED: dict[tuple[str, str, int], tuple[float, float]] = {
    ("dc", "mnist", 1): (91.7, 0.5),
    ("dc", "fashion_mnist", 1): (70.5, 0.6),
    ("dc", "cifar10", 1): (28.3, 0.5),
    ("dc", "cifar10", 10): (44.9, 0.5),
    ("dsa", "mnist", 1): (88.7, 0.6),
    ("dsa", "fashion_mnist", 1): (70.6, 0.6),
    ("dsa", "cifar10", 1): (28.8, 0.7),
    ("dsa", "cifar10", 10): (52.1, 0.5),
    ("dm", "cifar10", 1): (26.0, 0.8),
    ("dm", "cifar10", 10): (48.9, 0.6),
    ("dm", "cifar10", 50): (63.0, 0.4),
}
"""(method, data, images a class) to mean and std in percent, ConvNet-3. DC and DSA from their papers' tables, DM from
that of NCFM (CVPR 2025).
"""

STEPS = {"dc": 1000, "dsa": 1000, "dm": 20_000}
"""Published steps of each method."""


STEPS_TIMED = {
    "dm": "DM, 10 images a class, 256 real ones",
    "dc-1": "DC, 1 image a class, 256 real ones",
    "dc-10": "DC, 10 images a class, 256 real ones: two of ten updates, 50 epochs between them",
    "evaluation": "training on 100 synthetic images",
}
"""Cases of the benchmark and what they are."""


def record(artifact: Path, rows: Path, name: str, note: str) -> Path:
    """Write ``results/NAME.json`` from an artifact's card and its evaluation."""
    card = json.loads((artifact / "card.json").read_text(encoding="utf-8"))
    evaluated = json.loads(rows.read_text(encoding="utf-8"))
    for row in evaluated:
        if row["artifact"] not in ("random", "whole"):
            row["artifact"] = card["method"]
    paper = PUBLISHED.get((card["method"], card["spec"]["name"], card["ipc"]))
    result = {
        "data": {"name": card["spec"]["name"], "fingerprint": card["data"]["fingerprint"]},
        "method": card["method"],
        "ipc": card["ipc"],
        "steps": card["steps"],
        "steps_published": STEPS.get(card["method"]),
        "settings": card["settings"],
        "artifact": card["fingerprint"],
        "distil_seconds": card["metrics"]["seconds"],
        "distil_hardware": card["hardware"],
        "rows": evaluated,
        "published": {"mean": paper[0], "std": paper[1]} if paper else None,
        "versions": card["versions"],
        "commit": _commit(),
        "note": note,
    }
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return path


def table() -> str:
    """The table, in Markdown, from the JSON files alone."""
    lines = [
        "| method | data | images a class | ours: accuracy % (n) | random | published | steps of published |",
        "|---|---|---|---|---|---|---|",
    ]
    found = [json.loads(path.read_text(encoding="utf-8")) for path in RESULTS.glob("*-*.json")]
    for result in sorted(found, key=_order):
        rows = {row["artifact"]: row for row in result["rows"]}
        ours, random, paper = rows[result["method"]], rows.get("random"), result["published"]
        published = f"{paper['mean']} ± {paper['std']}" if paper and not _unlike(result) else "-"
        lines.append(
            f"| {result['method']}{_unlike(result)} | {result['data']['name']} | {result['ipc']} | "
            f"{_percent(ours)} ({ours['n']}) | {_percent(random) if random else '-'} | {published} | "
            f"{result['steps']} of {result['steps_published']} |"
        )
    return "\n".join(lines)


def _order(result: dict[str, Any]) -> tuple[Any, ...]:
    return list(STEPS).index(result["method"]), result["data"]["name"], result["ipc"], _unlike(result), result["steps"]


def _unlike(result: dict[str, Any]) -> str:
    """What a row has that the paper's does not: another protocol, precision or objective."""
    precision, protocol = result["settings"]["compute"]["precision"], result["rows"][0]["protocol"]
    told = [protocol] if protocol != result["method"] else []
    told += [precision] if precision != "bf16" or told else []
    told += ["all classes at once"] if result["settings"].get("match") == "all" else []
    return f" ({', '.join(told)})" if told else ""


def speed() -> str:
    """The table of `make bench`, in Markdown; empty where nothing was measured."""
    path = RESULTS / "benchmarks.json"
    if not path.exists():
        return ""
    found = json.loads(path.read_text(encoding="utf-8"))
    hardware = found["hardware"]
    lines = [
        "",
        "| one step, CIFAR-10's shape | fast path | textbook loop | ratio | peak memory |",
        "|---|---|---|---|---|",
    ]
    for case, told in STEPS_TIMED.items():
        if (row := found.get(case)) is None:
            continue
        lines.append(
            f"| {told} | {row['fast_s']:.2f} s | {row['textbook_s']:.2f} s | {row['ratio']:.1f} | "
            f"{row['fast_mb']:.0f} against {row['textbook_mb']:.0f} MB |"
        )
    lines += ["", f"Measured on {hardware['processor']}, {hardware['threads']} threads, by `make bench`."]
    return "\n".join(lines) + "\n"


def _percent(row: dict[str, Any]) -> str:
    return f"{100 * row['mean']:.1f} ± {100 * row['std']:.1f}"


def _commit() -> str:
    command = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def main() -> int:
    """Run one of the two. Returns the exit code: 1 for a stale table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    recorder = verbs.add_parser("record")
    recorder.add_argument("artifact", type=Path)
    recorder.add_argument("rows", type=Path)
    recorder.add_argument("--name", required=True)
    recorder.add_argument("--note", default="")
    verbs.add_parser("table").add_argument("--check", action="store_true")
    options = parser.parse_args()
    if options.verb == "record":
        print(record(options.artifact, options.rows, options.name, options.note))
        return 0
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    fresh = f"{before}{BEGIN}\n{table()}\n{speed()}{END}{after}"
    if options.check and fresh != text:
        print("README.md: the table of results is stale; run python tools/results.py table")
        return 1
    if not options.check:
        readme.write_text(fresh, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
