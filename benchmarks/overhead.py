"""``python -m benchmarks.overhead``: what a step of DM takes where the network costs next to nothing.

`ConvNetD1W4`, 16x16 pixels, 4 real images per class, one synthetic, eager, fp32, one thread: what is left is drawing,
augmenting, handing over and logging. In processor time, which other processes hardly change. Of many classes even this
network takes time; it is measured by itself, and what the step takes above it is the overhead.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from distillset import DM, RealSet, Spec, distill
from distillset.engine import embedding
from distillset.keys import Key
from distillset.machine import Machine
from distillset.nets import build, fresh
from distillset.watch import Watcher
from tools.provenance import provenance

NETWORK, SIZE, BATCH, EACH = "ConvNetD1W4", 16, 4, 20


class Times(Watcher):
    """When each step was done, in this process's processor time."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def step(self, step: int, steps: int, loss: float) -> None:
        self.times.append(time.process_time())


def a_set(classes: int) -> RealSet:
    """Random pixels, `EACH` images per class."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (classes * EACH, 3, SIZE, SIZE), dtype=torch.uint8, generator=generator)
    spec = Spec("overhead", 3, SIZE, SIZE, tuple(map(str, range(classes))), (0.5,) * 3, (0.25,) * 3)
    return RealSet(pixels, torch.arange(classes * EACH) % classes, spec)


def network_alone(real: RealSet, times: int = 10) -> float:
    """Milliseconds of what a step asks of the network: the real images forward, the synthetic ones forward and back."""
    network, took = build(NETWORK, real.spec), []
    embed, state = embedding(network), fresh(network, Key(0))
    images = real.rows(torch.arange(real.spec.classes * BATCH))
    for _ in range(times):
        start = time.process_time()
        with torch.no_grad():
            embed(state, images)
        synthetic = images[: real.spec.classes].clone().requires_grad_()
        torch.autograd.grad(embed(state, synthetic).square().sum(), synthetic)
        took.append(time.process_time() - start)
    return 1e3 * statistics.median(took)


def measure(classes: int, steps: int) -> dict[str, Any]:
    """Milliseconds a step: the median and the least; of the network, and the rest by class."""
    watcher, real = Times(), a_set(classes)
    alone = network_alone(real)
    distill(
        real, DM(batch_real=BATCH), 1, steps=steps, network=NETWORK, machine=Machine("cpu", "fp32", "off"),
        watcher=watcher,
    )  # fmt: skip
    took = [b - a for a, b in zip(watcher.times[steps // 5 :], watcher.times[steps // 5 + 1 :], strict=False)]
    median = 1e3 * statistics.median(took)
    return {
        "classes": classes,
        "median_ms": round(median, 2),
        "least_ms": round(1e3 * min(took), 2),
        "network_ms": round(alone, 2),
        "overhead_ms_per_class": round((median - alone) / classes, 3),
    }


def main() -> None:
    """Print a line for each number of classes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__)
    parser.add_argument("classes", nargs="*", type=int, default=[10, 100, 1000])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = [measure(classes, options.steps) for classes in options.classes]
    for row in rows:
        print(json.dumps(row), flush=True)
    if options.out:
        record = {"rows": rows, "steps": options.steps, **provenance(torch.device("cpu"))}
        options.out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
