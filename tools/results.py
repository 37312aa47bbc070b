"""Measured results: record one from an artifact and its evaluation, and render the tables of README and docs from all.

    python tools/results.py record ARTIFACT ROWS.json... # writes results/ROW.json, or results/ROW-K-steps.json
    python tools/results.py table [--check]              # writes, or checks, the tables

``ROWS.json`` is what ``distillset evaluate ARTIFACT --json`` printed; several, of other seeds, are put together.
`distillset reproduce` records by itself.
"""

import argparse
import json
import sys
from pathlib import Path

from distillset.reproduction import Results, name_of, pooled, refreshed, result_of
from distillset.store import read_json

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
        result = result_of(read_json(options.artifact / "card.json"), rows, note=options.note, why=options.why)
        print(Results(RESULTS).write(options.name or name_of(result), result))
        return 0
    stale = refreshed(PAGES, RESULTS)
    for page, fresh in stale.items():
        if options.check:
            print(f"{page.name}: the table of results is stale; run python tools/results.py table")
        else:
            page.write_text(fresh, encoding="utf-8")
    return 1 if stale and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
