"""``python -m benchmarks.gpu``: what a step takes on a GPU, case by case.

Random pixels in CIFAR-10's shape, 256 real images per class, ConvNet-3, bf16, compiled. Every case runs in a process of
its own: first all at once, so that what they compile is there, then each alone. A step is timed as a run has it, its
random numbers, reading and logging included: from one reading of the device to another, after the graphs are captured.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.cases import BATCH, STRATEGY, real_set, segment
from distillset import DC, DM, DSA, MTT, distill
from distillset.engine import Compute, Engine
from distillset.keys import Key, normal
from distillset.machine import Machine
from distillset.methods import Method
from distillset.nets import build
from distillset.training import ExpertSetting, ExpertTrainer, Layout, Recipe, Trainer, TrainingSet, Trajectories
from distillset.watch import Watcher
from tools.provenance import provenance

WHOLE, SMALL = 50_000, 2_000
"""Real images: CIFAR-10's, and those of a trial."""
BURST = 0.002
"""Seconds: steps that were read together are told closer to each other than this."""


@dataclass(frozen=True)
class Case:
    """Something to time.

    Args:
        run: ``(images, steps, device)`` gives seconds a unit.
        steps: how often, for a figure that can be trusted.
        wanted: seconds, the bar that was set beside one H200.
    """

    run: Callable[[int, int, str], float]
    steps: int
    wanted: float | None = None


class Ends(Watcher):
    """When the device was read, and how far it was."""

    def __init__(self) -> None:
        self.ends: list[tuple[int, float]] = []

    def step(self, step: int, steps: int, loss: float) -> None:
        now = time.perf_counter()
        if self.ends and now - self.ends[-1][1] < BURST:
            self.ends.pop()
        self.ends.append((step, now))

    def seconds(self, warm: int) -> float:
        """A step's, after the first ``warm``."""
        after = [end for end in self.ends if end[0] >= warm] or self.ends[:1]
        (first, start), (last, stop) = after[0], self.ends[-1]
        return (stop - start) / max(1, last - first)


def step_of(method: Method, ipc: int) -> Callable[[int, int, str], float]:
    """A step of a run."""

    def run(images: int, steps: int, device: str) -> float:
        watcher = Ends()
        distill(real_set(images), method, ipc, steps=steps, machine=Machine(device, compile="on"), watcher=watcher)
        return watcher.seconds(min(8, steps // 2))

    return run


def step_of_mtt(student_steps: int, ipc: int) -> Callable[[int, int, str], float]:
    """A step beside an expert that is made up."""

    def run(images: int, steps: int, device: str) -> float:
        real, watcher = real_set(images), Ends()
        with tempfile.TemporaryDirectory() as folder:
            module = build("convnet", real.spec)
            setting = ExpertSetting(real.fingerprint(), "none", "convnet")
            compute = Compute.resolve(device).to_json()
            trajectories = Trajectories.make(Path(folder) / "experts", setting, Layout(module), compute)
            for epoch, vector in enumerate(segment()):
                trajectories.save(0, epoch, vector)
            method = MTT(
                experts=str(trajectories.folder), syn_steps=student_steps, max_start=1, expert_epochs=1, batch_syn=0,
                limit=1e9, lr=100.0, lr_start=0.01, lr_lr=1e-7,
            )  # fmt: skip
            distill(real, method, ipc, steps=steps, machine=Machine(device, compile="on"), watcher=watcher)
        return watcher.seconds(min(5, steps // 2))

    return run


def evaluation(size: int, networks: int) -> Callable[[int, int, str], float]:
    """So many networks trained on ``size`` images side by side: seconds of all epochs."""

    def run(images: int, steps: int, device: str) -> float:
        spec, place = real_set(10).spec, torch.device(device)
        trainer = Trainer(Engine(Compute.resolve(Machine(device, compile="on"))), build("convnet", spec),
                          Recipe(steps - 1, augmentation=STRATEGY))  # fmt: skip
        pixels = normal(Key(0)("images").words(), (size, *spec.shape)).to(place)
        labels = torch.arange(10).repeat_interleave(size // 10)
        seconds = 0.0
        for turn in range(2):  # the first time compiles
            sets = [TrainingSet.held(pixels, labels, Key(turn)("network", i)) for i in range(networks)]
            start = time.perf_counter()
            trainer.fit_together(sets)
            finish(place)
            seconds = time.perf_counter() - start
        return seconds

    return run


def expert(images: int, steps: int, device: str) -> float:
    """An epoch of an expert, the median of some."""
    real, place, took = real_set(images), torch.device(device), []
    setting = ExpertSetting(real.fingerprint(), "none", "convnet", augment=STRATEGY)
    trainer = ExpertTrainer(
        Engine(Compute.resolve(Machine(device, compile="on"))), build("convnet", real.spec), real, setting
    )
    vector = trainer.start(0)
    for epoch in range(steps):
        start = time.perf_counter()
        vector, _ = trainer.epoch(vector, 0, epoch)
        finish(place)
        took.append(time.perf_counter() - start)
    return sorted(took[1:] or took)[len(took[1:]) // 2]


def finish(place: torch.device) -> None:
    """Wait for what the device was given to do."""
    if place.type == "cuda":
        torch.cuda.synchronize(place)


CASES: dict[str, Case] = {
    "dm-10": Case(step_of(DM(batch_real=BATCH), 10), 2000, 0.0040),
    "dm-50": Case(step_of(DM(batch_real=BATCH), 50), 2000, 0.0050),
    "dc-1": Case(step_of(DC(batch_real=BATCH), 1), 600, 0.009),
    "dsa-1": Case(step_of(DSA(batch_real=BATCH), 1), 600, 0.009),
    "dc-1-all": Case(step_of(DC(batch_real=BATCH, match="all"), 1), 600),
    "dc-10": Case(step_of(DC(batch_real=BATCH), 10), 24, 0.380),
    "mtt-1-50": Case(step_of_mtt(50, 1), 100, 0.055),
    "mtt-10-30": Case(step_of_mtt(30, 10), 60, 0.095),
    "evaluation-100": Case(evaluation(100, 1), 100, 0.065),
    "evaluation-100-five": Case(evaluation(100, 5), 100, 0.190),
    "evaluation-500": Case(evaluation(500, 1), 20),
    "expert": Case(expert, 5, 0.210),
}
"""Name to what is timed: seconds per step, of all epochs of an evaluation, or of an epoch of an expert."""


def measured(name: str, images: int, steps: int, device: str) -> dict[str, Any]:
    """One case, in this process."""
    case = CASES[name]
    seconds = case.run(images, steps, device)
    peak = torch.cuda.max_memory_allocated() if device.startswith("cuda") else 0
    return {"case": name, "ms": round(1e3 * seconds, 3), "wanted_ms": case.wanted and round(1e3 * case.wanted, 3),
            "memory_mb": round(peak / 1e6, 1), "steps": steps, "images": images}  # fmt: skip


def command(name: str, options: argparse.Namespace, trial: bool) -> list[str]:
    """What measures a case in a process of its own."""
    images, steps = (SMALL, 10) if trial else (options.images, options.steps or CASES[name].steps)
    return [
        sys.executable, "-m", "benchmarks.gpu", "--inside", name, "--images", str(images), "--steps", str(steps),
        "--device", options.device,
    ]  # fmt: skip


def main() -> None:
    """Compile all cases at once, then time each alone; a line each, and a JSON file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("cases", nargs="*", default=list(CASES), help=f"of {', '.join(CASES)} (default: all)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--images", type=int, default=WHOLE, help=f"real images (default {WHOLE})")
    parser.add_argument("--steps", type=int, help="of every case, in place of its own number")
    parser.add_argument("--out", type=Path, default=Path("results/gpu.json"))
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        print(json.dumps(measured(options.inside, options.images, options.steps, options.device)), flush=True)
        return
    if options.device.startswith("cuda"):
        trials = [subprocess.Popen(command(name, options, True), stdout=subprocess.DEVNULL) for name in options.cases]
        for trial in trials:
            trial.wait()
    rows = []
    for name in options.cases:
        ended = subprocess.run(command(name, options, False), capture_output=True, text=True, check=False)
        if ended.returncode:
            rows.append({"case": name, "failed": ended.stderr.strip().splitlines()[-1:]})
        else:
            rows.append(json.loads(ended.stdout.splitlines()[-1]))
        print(rows[-1], flush=True)
        record = {"rows": rows, **provenance(torch.device(options.device))}
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
