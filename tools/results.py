"""Measured results: record one from an artifact and its evaluation, and render the tables of README and docs from all.

    python -m tools.results record ARTIFACT ROWS.json... # writes results/ROW.json, or results/ROW-K-steps.json
    python -m tools.results table [--check]              # writes, or checks, the tables

``ROWS.json`` is what ``distillset evaluate ARTIFACT --json`` printed; several, of other seeds, are put together.
`python -m tools.reproduce` records by itself.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from distillset.errors import InputError
from distillset.reproduction import Results, result_of
from distillset.store import read_json
from tools.provenance import commit
from tools.tables import refreshed

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "results"
DOCS = ROOT / "docs"
PAGES = (
    ROOT / "README.md",
    DOCS / "index.md",
    DOCS / "reproduction.md",
    DOCS / "methods" / "dm.md",
    DOCS / "methods" / "mtt.md",
    DOCS / "scaling.md",
)


def main() -> int:
    """Run one of the two. Returns the exit code: 1 for a stale table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    recorder = verbs.add_parser("record")
    recorder.add_argument("artifact", type=Path)
    recorder.add_argument("rows", type=Path, nargs="+")
    recorder.add_argument(
        "--name", help="default METHOD-DATA-IPC, with the steps where they are not the published ones"
    )
    recorder.add_argument("--note", default="", help="what has to be known of how it was measured")
    recorder.add_argument("--why", default="", help="why it falls short of its paper, as far as known")
    verbs.add_parser("table").add_argument("--check", action="store_true")
    options = parser.parse_args()
    if options.verb == "record":
        rows = pooled([json.loads(path.read_text(encoding="utf-8")) for path in options.rows])
        result = result_of(
            read_json(options.artifact / "card.json"), rows, note=options.note, why=options.why, commit=commit()
        )
        print(Results(RESULTS).write(options.name or name_of(result), result))
        return 0
    stale = refreshed(PAGES, RESULTS)
    for page, fresh in stale.items():
        if options.check:
            print(f"{page.name}: the table of results is stale; run python -m tools.results table")
        else:
            page.write_text(fresh, encoding="utf-8")
    return 1 if stale and options.check else 0


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
                raise InputError(field, row.get(field), f"the evaluation before it has {first.get(field)}")
        if set(row["accuracies"]) <= set(first["accuracies"]):
            raise InputError("accuracies", row["accuracies"], "are there already; give evaluations of other seeds")
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


if __name__ == "__main__":
    sys.exit(main())
