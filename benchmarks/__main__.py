"""``python -m benchmarks [--out FILE] [--pairs N] [CASE ...]``: time and memory of the fast path and the textbook
loop.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.cases import CASES, memory, state_bytes, times
from distillset.commands.process import keep_memory
from distillset.engine import Compute
from distillset.machine import Machine
from tools.provenance import provenance


def main() -> int:
    """Run the cases, print a line each, and write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("cases", nargs="*", default=list(CASES), metavar="CASE", help=f"default: {' '.join(CASES)}")
    parser.add_argument("--pairs", type=int, default=7, help="most pairs of steps timed (default 7)")
    parser.add_argument("--out", type=Path, help="JSON file to write, case by case; other cases in it are kept")
    parser.add_argument(
        "--times-only", action="store_true", help="do not measure memory, which takes two more processes"
    )
    parser.add_argument("--memory-of", choices=("fast", "textbook"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    keep_memory()  # as a command does
    if unknown := [case for case in options.cases if case not in CASES]:
        parser.error(f"unknown case {unknown[0]}; choose from {', '.join(CASES)}")
    if options.memory_of:
        print(json.dumps(memory(options.cases[0], options.memory_of)))
        return 0
    compute = Compute.resolve(Machine(compile="on"))
    made_with = {"compute": compute.to_json(), **provenance(torch.device(compute.device))}
    for case in options.cases:
        row = {
            **times(case, options.pairs),
            **({} if options.times_only else _memory(case)),
            "commit": made_with["commit"],
        }
        if case == "expert":
            row["state_bytes"] = state_bytes()
        print(
            f"{case}: {row['fast_s']} s against {row['textbook_s']} s per step, {row['ratio']} times faster "
            f"({row['ratio_min']} to {row['ratio_max']}); peak {row.get('fast_mb', '-')} MB against "
            f"{row.get('textbook_mb', '-')} MB",
            flush=True,
        )
        if options.out:
            before = json.loads(options.out.read_text(encoding="utf-8")) if options.out.exists() else {}
            options.out.write_text(json.dumps({**before, case: row, **made_with}, indent=2) + "\n", encoding="utf-8")
    return 0


def _memory(case: str) -> dict[str, Any]:
    """Peak memory of each path, on a CPU in a process of its own so that neither sees the other's leavings."""
    if torch.cuda.is_available():
        return {f"{which}_mb": memory(case, which) for which in ("fast", "textbook")}
    found: dict[str, Any] = {}
    for which in ("fast", "textbook"):
        command = [sys.executable, "-m", "benchmarks", case, "--memory-of", which]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found[f"{which}_mb"] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    sys.exit(main())
