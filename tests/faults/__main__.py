"""``make faults``: SIGKILL every long command at random moments, hand every reader what a stranger might, and look at
what comes out.

    python -m tests.faults --kills 400 --attacks 3400 --out results/faults.json
    python -m tests.faults --kills 0 --groups cards ledger      (groups apart, also at the same time; then all together)

The same call goes on where it stopped: what was done is in ``--work``. Exit code 1 if any life ended otherwise than an
untouched one, or an attack otherwise than in a right result or one line of error.
"""

import argparse
import os
import sys
import time
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from distillset.store import write_json
from tests.faults.attacks.battery import GROUPS, Siege, share
from tests.faults.attacks.battery import summary as summary_of_attacks
from tests.faults.battery import MOST, Battery, summary
from tests.faults.commands import COMMANDS
from tools.provenance import provenance

WARM = ("distill", "experts", "select", "evaluate", "compare", "continual", "nas", "reproduce", "report", "export")
"""Verbs whose imports every child finds done."""
HEAVY = ("torch._dynamo", "matplotlib.figure", "scipy.stats")
"""Libraries that they import when they run."""


def main() -> int:
    """Run, and write what was done."""
    options = _options()
    if os.environ.get("OMP_NUM_THREADS") != "1":  # before any library has read it
        os.environ["OMP_NUM_THREADS"] = "1"
        os.execv(sys.executable, [sys.executable, "-m", "tests.faults", *sys.argv[1:]])
    for module in (*(f"distillset.commands.{verb}" for verb in WARM), *HEAVY):
        import_module(module)
    began = datetime.now(UTC)
    attacks = _attacks(options)
    kills = _kills(options)
    record = {
        "what": "SIGKILL at random moments, every life compared bit for bit with an uninterrupted plain process; and "
        "attacks by a seed, each to end in a right result or in one line of error",
        **kills,
        "attacks": attacks,
        "seed": options.seed,
        "seconds": round(attacks["seconds"] + sum(one["seconds"] for one in kills["commands"].values()), 1),
        "began": began.isoformat(timespec="seconds"),
        **provenance(torch.device("cpu")),
    }
    if options.out:
        write_json(options.out, record)
    failures = [*kills["failures"], *attacks["failures"]]
    for told in failures:
        print(f"FAILED {told}", file=sys.stderr)
    print(f"{kills['kills']} kills in {kills['lives']} lives, {attacks['attacks']} attacks, {len(failures)} failures")
    return 1 if failures else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=320, help="over all commands, at least (default 320)")
    parser.add_argument("--attacks", type=int, default=3400, help="over all groups, about (default 3400)")
    parser.add_argument("--groups", nargs="+", choices=list(GROUPS), default=list(GROUPS), metavar="NAME")
    parser.add_argument("--seconds", type=float, help="no life is begun after so many (default: as long as it takes)")
    parser.add_argument("--commands", nargs="+", choices=list(COMMANDS), default=list(COMMANDS), metavar="NAME")
    parser.add_argument("--seed", type=int, default=20, help="draws the moments and the attacks")
    parser.add_argument("--work", type=Path, default=Path("runs/faults"), help="inputs, lives and progress")
    parser.add_argument("--out", type=Path, help="where the figures go, as JSON")
    parser.add_argument("--most", type=int, default=MOST, help=f"kills in one life (default {MOST})")
    parser.add_argument("--forked", action="store_true", help="compare with a forked run, not with a plain process")
    return parser.parse_args()


def _tell(line: str) -> None:
    print(line, flush=True)


def _attacks(options: argparse.Namespace) -> dict[str, Any]:
    """The figures of the attacks."""
    siege = Siege(options.work / "attacks", options.seed, _tell)
    if options.attacks:
        siege.prepare()
    counts = {name: share(options.attacks, name) for name in options.groups} if options.attacks else {}
    return summary_of_attacks({name: siege.group(name, count) for name, count in counts.items()})


def _kills(options: argparse.Namespace) -> dict[str, Any]:
    """The figures of the kills."""
    battery = Battery(options.work, options.seed, _tell, options.most)
    if options.kills:
        battery.prepare()
    start, each = time.monotonic(), -(-options.kills // len(options.commands))
    for name in options.commands if options.kills else ():
        left = None if options.seconds is None else options.seconds - (time.monotonic() - start)
        battery.command(name, each, left, not options.forked)
        if "stops" not in battery.done[name]:
            battery.stops(name)
    return summary(battery.done, options.commands)


if __name__ == "__main__":
    sys.exit(main())
