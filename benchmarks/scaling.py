"""``python -m benchmarks.scaling``: seconds per step by classes, images per class, image size and ranks, in one run.

Give it idle cores: two ranks of a thread are compared with one process of two. With ``--large`` instead: data larger
than memory and large synthetic sets, see `benchmarks.large`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from benchmarks.large import large
from distillset import DC, DM, DSA, RealSet, Spec, distill, evaluate, select
from distillset.engine import Compute, Engine
from distillset.evaluation import Protocol
from distillset.machine import Machine
from distillset.mesh import join, leave
from distillset.methods import Method
from distillset.nets import build
from distillset.sources.load import Data
from distillset.training import ExpertSetting, train_experts
from distillset.watch import Watcher
from tools.provenance import provenance

EAGER = Machine("cpu", compile="off")
NARROW = "ConvNetW32"
"""A quarter of the published width, so that a thousand classes take seconds; depth follows the image size."""

METHODS: dict[str, Method] = {"dm": DM(batch_real=16), "dc": DC(batch_real=16, outer=1, inner=1)}
SWEEPS: dict[str, list[tuple[int, int, int]]] = {
    "classes": [(10, 1, 32), (100, 1, 32), (1000, 1, 32)],
    "images per class": [(10, 1, 32), (10, 10, 32), (10, 50, 32)],
    "image size": [(10, 1, 32), (10, 1, 64), (10, 1, 128), (10, 1, 256)],
}
"""(classes, images per class, size) of each point."""

RANKS: dict[str, Method] = {
    "dm": DM(batch_real=64),
    "dc": DC(batch_real=32, outer=1, inner=1),
    "dsa": DSA(batch_real=32, outer=2, inner=1),
}


def real_set(classes: int, size: int, each: int = 32) -> RealSet:
    """Random pixels: the arithmetic does not depend on what they show."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (classes * each, 3, size, size), dtype=torch.uint8, generator=generator)
    spec = Spec("scaling", 3, size, size, tuple(map(str, range(classes))), (0.5,) * 3, (0.25,) * 3)
    return RealSet(pixels, torch.arange(classes * each) % classes, spec)


class Steps(Watcher):
    """When steps end."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def step(self, step: int, steps: int, loss: float) -> None:
        self.ends.append(time.perf_counter())

    @property
    def least(self) -> float:
        """Seconds of the fastest step but the first: what other work on the machine adds is not asked for."""
        return min(b - a for a, b in pairwise(self.ends))


def seconds(method: Method, real: RealSet, ipc: int, network: str, steps: int) -> float:
    """Seconds per step of a real run of the library."""
    watcher = Steps()
    distill(real, method, ipc, steps=steps + 1, network=network, init="noise", watcher=watcher, machine=EAGER)
    return watcher.least


def sweeps() -> dict[str, Any]:
    """Seconds per step of each method at every point, and those by unit of work beside those of the first point."""
    found: dict[str, Any] = {}
    known: dict[tuple[str, int, int, int], float] = {}
    for method in METHODS.values():
        seconds(method, real_set(10, 32), 1, NARROW, 4)  # the first calls of a process are slower
    for sweep, points in SWEEPS.items():
        for name, method in METHODS.items():
            rows = []
            for classes, ipc, size in points:
                point = (name, classes, ipc, size)
                real = real_set(classes, size)
                steps = 2 if classes * size > 2000 else 4
                if point not in known:
                    known[point] = seconds(method, real, ipc, NARROW, steps)
                work = method.images_per_step(real, ipc) * size**2
                rows.append({"classes": classes, "ipc": ipc, "size": size, "seconds": known[point], "work": work})
                where = f"{classes} classes, {ipc} per class, {size}x{size}"
                print(f"{sweep}: {name}, {where}: {known[point]:.3g} s per step")
            first = rows[0]["seconds"] / rows[0]["work"]
            for row in rows:
                row["by_work"] = round(row["seconds"] / row["work"] / first, 3)
                row["seconds"] = round(row["seconds"], 4)
            found.setdefault(sweep, {})[name] = rows
    return found


# --- ranks -----------------------------------------------------------------------------------------------------------


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def shared_work() -> dict[str, float]:
    """Seconds of each kind of work that ranks share, as this process or its ranks do it."""
    mesh = join("cpu")
    real = real_set(10, 32, each=64)
    found = {name: seconds(method, real, 10, "convnet", 4) for name, method in RANKS.items()}
    module, engine = build("convnet", real.spec), Engine(Compute.resolve(EAGER))
    setting = ExpertSetting(real.fingerprint(), "none", "convnet")
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(mesh.agree(scratch))

        def experts(count: int) -> None:
            train_experts(engine, module, real, setting, place / str(count), count, 1, Watcher(), mesh)

        experts(2)
        found["experts"] = _timed(lambda: experts(4))
        mesh.any(False)
    data, chosen = Data(real, real_set(10, 32, each=8), "scaling"), select(real, "random", 1)

    def networks(count: int, epochs: int) -> None:
        evaluate(
            chosen, data, repeats=count, protocol=Protocol(epochs=epochs, augment="none"), beside=(), machine=EAGER
        )

    networks(2, 1)
    found["evaluation"] = _timed(lambda: networks(4, 60))
    return found


def ranks(rounds: int) -> dict[str, Any]:
    """One process of two threads and two ranks of one, in turn; seconds and their ratio, the least of each."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    kinds = {"one": ([sys.executable], "2"), "two": (launcher, "1")}
    times: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for kind, (command, threads) in kinds.items():
            environment = {**os.environ, "OMP_NUM_THREADS": threads}
            told = subprocess.run(
                [*command, "-m", "benchmarks.scaling", "--shared"], env=environment, check=True, stdout=subprocess.PIPE,
                text=True,
            ).stdout  # fmt: skip
            times[kind].append(json.loads(told.splitlines()[-1]))
    found = {}
    for name in times["one"][0]:
        one, two = (min(row[name] for row in times[kind]) for kind in kinds)
        found[name] = {"one_process": round(one, 4), "two_ranks": round(two, 4), "ratio_of_times": round(two / one, 3)}
        print(f"ranks: {name}: one process {one:.3g} s, two ranks {two:.3g} s ({two / one:.2f})")
    return found


def plot(found: dict[str, Any], path: Path) -> None:
    """Four panels: seconds against each size, with the line of equal cost, and the ranks."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5.5))
    panels = figure.subplots(2, 2).flatten()
    for axes, (sweep, field) in zip(panels, (("classes", "classes"), ("images per class", "ipc"), ("image size", "size")), strict=False):  # fmt: skip # noqa: E501
        for name, rows in found[sweep].items():
            x = [row[field] for row in rows]
            (line,) = axes.loglog(x, [row["seconds"] for row in rows], "o-", label=name)
            first = rows[0]["seconds"] / rows[0]["work"]
            axes.loglog(x, [first * row["work"] for row in rows], ":", color=line.get_color())
        axes.set(xlabel=sweep, ylabel="seconds per step")
        axes.set_xticks(x, [str(value) for value in x], minor=False)
        axes.set_xticks([], minor=True)
        axes.legend()
    names = list(found["ranks"])
    ratios = [found["ranks"][name]["ratio_of_times"] for name in names]
    panels[3].bar(names, ratios, color="0.6")
    panels[3].axhline(1.0, color="black", linewidth=0.8)
    panels[3].set(ylabel="time of two ranks / one process", ylim=(0, max(1.25, *ratios)))
    panels[3].tick_params(axis="x", rotation=20)
    figure.tight_layout()
    figure.savefig(path, dpi=70)


def main() -> int:
    """Measure, print a line each, and write JSON and the plot."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--out", type=Path, help="JSON file to write; what --large left there is kept, and the reverse")
    parser.add_argument("--plot", type=Path, help="PNG file to write")
    parser.add_argument("--rounds", type=int, default=2, help="times that ranks and one process take turns (default 2)")
    parser.add_argument("--large", action="store_true", help="measure large data and large synthetic sets instead")
    parser.add_argument("--shared", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.shared:
        found = shared_work()
        if join("cpu").writes:
            print(json.dumps(found))
        leave()
        return 0
    measured = {"large": large()} if options.large else {**sweeps(), "ranks": ranks(options.rounds)}
    before = json.loads(options.out.read_text(encoding="utf-8")) if options.out and options.out.exists() else {}
    record = {
        **before,
        **measured,
        "compute": Compute.resolve(EAGER).to_json(),
        **provenance(torch.device("cpu")),
    }
    if options.out:
        options.out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    if options.plot and "ranks" in record:
        plot(record, options.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
