"""``distillset report DIR...``: write one page about runs: images, curves, accuracies, settings."""

import argparse
from pathlib import Path
from typing import Any

from distillset.report import ACCURACY, report


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("report", help="write a page of images through time, curves, accuracies and settings")
    parser.add_argument("artifacts", type=Path, nargs="+", metavar="DIR", help="folders of artifacts, side by side")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the HTML file to write")
    parser.add_argument(
        "--rows",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help=f"files printed by evaluate --json; what evaluate --save stored ({ACCURACY}) is read in any case",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the page, and say where it is."""
    out = report(options.artifacts, options.out, rows=options.rows)
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB; open it in a browser")
    return 0
