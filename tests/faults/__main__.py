"""``make faults``: SIGKILL every long command at random moments, again and again, and look at what comes out.

    python -m tests.faults --kills 400 --out results/faults.json

The same call goes on where it stopped. Exit code 1 if any life ended otherwise than an untouched one.
"""

import argparse
import os
import sys
import time
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import torch

from distillset.reproduction.record import provenance
from distillset.store import write_json
from tests.faults.battery import MOST, Battery, summary
from tests.faults.commands import COMMANDS

WARM = ("distill", "experts", "select", "evaluate", "compare", "continual", "nas", "reproduce")
"""Verbs whose imports every child finds done."""
HEAVY = ("torch._dynamo", "matplotlib.figure", "scipy.stats")
"""Libraries that they import when they run."""


def main() -> int:
    """Run, and write what was done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=400, help="over all commands, at least (default 400)")
    parser.add_argument("--seconds", type=float, help="no life is begun after so many (default: as long as it takes)")
    parser.add_argument("--commands", nargs="+", choices=list(COMMANDS), default=list(COMMANDS), metavar="NAME")
    parser.add_argument("--seed", type=int, default=20, help="draws the moments")
    parser.add_argument("--work", type=Path, default=Path("runs/faults"), help="inputs, lives and progress")
    parser.add_argument("--out", type=Path, help="where the figures go, as JSON")
    parser.add_argument("--most", type=int, default=MOST, help=f"kills in one life (default {MOST})")
    parser.add_argument("--forked", action="store_true", help="compare with a forked run, not with a plain process")
    options = parser.parse_args()
    if os.environ.get("OMP_NUM_THREADS") != "1":  # before any library has read it
        os.environ["OMP_NUM_THREADS"] = "1"
        os.execv(sys.executable, [sys.executable, "-m", "tests.faults", *sys.argv[1:]])
    for module in (*(f"distillset.commands.{verb}" for verb in WARM), *HEAVY):
        import_module(module)
    battery = Battery(options.work, options.seed, lambda line: print(line, flush=True), options.most)
    battery.prepare()
    start, began = time.monotonic(), datetime.now(UTC)
    each = -(-options.kills // len(options.commands))
    for name in options.commands:
        left = None if options.seconds is None else options.seconds - (time.monotonic() - start)
        battery.command(name, each, left, not options.forked)
        if "stops" not in battery.done[name]:
            battery.stops(name)
    found = summary(battery.done, options.commands)
    record = {
        "what": "SIGKILL at random moments; every life compared bit for bit with an uninterrupted plain process",
        **found,
        "seed": options.seed,
        "seconds": round(sum(one["seconds"] for one in found["commands"].values()), 1),
        "began": began.isoformat(timespec="seconds"),
        **provenance(torch.device("cpu")),
    }
    if options.out:
        write_json(options.out, record)
    for told in found["failures"]:
        print(f"FAILED {told}", file=sys.stderr)
    print(f"{found['kills']} kills in {found['lives']} lives, {len(found['failures'])} failures")
    return 1 if found["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
