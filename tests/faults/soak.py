"""``make soak``: half an hour of everything in one process; memory, open files and threads have to stay flat.

    python -m tests.faults.soak --minutes 30 --out results/soak.json

A cycle distils with an interruption, goes on, selects, evaluates, exports and reports, and meets a refusal and a
divergence. The first tenth of the cycles fills caches and pools; what counts is the rest.
"""

import argparse
import os
import shutil
import statistics
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import torch

from distillset import evaluate, load, select
from distillset.data.synthetic import SyntheticSet
from distillset.engine.hardware import memory
from distillset.errors import DivergedError, InputError, InterruptedRun
from distillset.evaluation import Ledger, Protocol
from distillset.export import export
from distillset.methods import DC, DM, MTT
from distillset.report import report
from distillset.store import write_json
from distillset.watch import Watcher
from tests import toys
from tests.faults.sitting import threads
from tests.runs import Recorder, distil
from tools.provenance import provenance

WARM = 0.1
"""Share of the cycles that fills caches and pools."""

GROWTH = 0.02
"""Most that memory may grow from the second tenth of the cycles to the last, as a share."""

MTT_SMALL = MTT(expert_count=2, max_start=2, expert_epochs=1, syn_steps=2)
METHODS = [DM(batch_real=6), DC(batch_real=6, outer=2, inner=1), MTT_SMALL]


def cycle(work: Path, number: int) -> None:
    """Everything once."""
    data = load(work / "toy.npz", watcher=Watcher())
    out, method = work / f"run-{number}", METHODS[number % len(METHODS)]
    with pytest.raises(InterruptedRun):
        distil(out, data=data, method=method, watcher=Recorder(stop_after=2), seed=number)
    distil(out, data=data, method=method, seed=number)
    synthetic = SyntheticSet.load(out)
    rows = evaluate(
        synthetic, data, networks=(toys.NETWORK,), repeats=2, protocol=Protocol(epochs=3), seed=number,
        ledger=Ledger(out / "accuracies"), machine=toys.EAGER,
    )  # fmt: skip
    assert len(rows) == 2
    select(data, "herding", 1, network=toys.NETWORK, epochs=3, seed=number, cache=out / "cache", machine=toys.EAGER)
    export(synthetic, "imagefolder", out / "pictures")
    report([out], out / "report.html")
    with pytest.raises(InputError):
        distil(out, data=data, method=method, seed=number + 1)
    with pytest.raises(DivergedError):
        distil(out / "lost", data=data, method=DM(batch_real=6, lr=1e8), seed=number)
    shutil.rmtree(out)


def sample(start: float) -> dict[str, float]:
    """Where memory (bytes of anonymous resident memory), open files and threads are."""
    return {
        "seconds": round(time.monotonic() - start, 1),
        "memory": memory(torch.device("cpu")),
        "files": len(os.listdir("/proc/self/fd")),  # noqa: PTH208 (a path a number would be opened by iterating)
        "threads": threads(),
    }


def verdict(samples: list[dict[str, float]]) -> dict[str, Any]:
    """The figures of a soak: medians of the second tenth of the cycles and of the last."""
    tenth = max(1, int(len(samples) * WARM))
    early, late = samples[tenth : 2 * tenth], samples[-tenth:]
    before, after = (statistics.median(one["memory"] for one in part) for part in (early, late))
    return {
        "memory_before": int(before),
        "memory_after": int(after),
        "growth": round(after / before - 1, 4),
        "files": [int(min(s["files"] for s in samples[tenth:])), int(max(s["files"] for s in samples[tenth:]))],
        "threads": [int(min(s["threads"] for s in samples[tenth:])), int(max(s["threads"] for s in samples[tenth:]))],
        "flat": after <= before * (1 + GROWTH) and early[0]["files"] == late[-1]["files"],
    }


def main() -> int:
    """Soak, and write what was seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--work", type=Path, default=Path("runs/soak"))
    parser.add_argument("--out", type=Path, help="where the figures go, as JSON")
    options = parser.parse_args()
    work: Path = options.work
    work.mkdir(parents=True, exist_ok=True)
    os.environ["DISTILLSET_CACHE"] = str(work / "cache")
    toys.toy_file(work / "toy.npz")
    began, start, samples = datetime.now(UTC), time.monotonic(), list[dict[str, float]]()
    while time.monotonic() - start < 60 * options.minutes:
        cycle(work, len(samples))
        samples.append(sample(start))
        if len(samples) % 20 == 0:
            print(f"{len(samples)} cycles: {samples[-1]}", flush=True)
    found = verdict(samples)
    record = {
        "what": "cycles of interrupted, resumed, refused and diverged runs, selections, evaluations, exports, reports",
        "minutes": round((time.monotonic() - start) / 60, 1),
        "cycles": len(samples),
        **found,
        "samples": samples[:: max(1, len(samples) // 60)],
        "began": began.isoformat(timespec="seconds"),
        **provenance(torch.device("cpu")),
    }
    if options.out:
        write_json(options.out, record)
    print(f"{record['minutes']} minutes, {len(samples)} cycles: {found}")
    return 0 if found["flat"] else 1


if __name__ == "__main__":
    sys.exit(main())
