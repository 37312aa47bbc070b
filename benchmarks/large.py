"""Data larger than memory, and large synthetic sets: memory and time of real runs, each in a process of its own."""

import json
import os
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from distillset.watch import Watcher

CLASSES, EACH, SIZE = 200, 500, 64
NARROW = "ConvNetW16"
"""Narrow, so that a step takes seconds: what data and synthetic images take does not depend on it."""


def write_folder(folder: Path) -> None:
    """100,000 bitmaps in 200 folders, 1.2 GB."""
    pixels = SIZE * SIZE * 3
    head = b"BM" + struct.pack("<IHHI", 54 + pixels, 0, 0, 54)
    head += struct.pack("<IiiHHIIiiII", 40, SIZE, SIZE, 1, 24, 0, pixels, 2835, 2835, 0, 0)
    generator = np.random.default_rng(0)
    for c in range(CLASSES):
        (folder / f"class-{c:03d}").mkdir(parents=True)
        images = generator.integers(0, 256, (EACH, pixels), dtype=np.uint8)
        for number, image in enumerate(images):
            (folder / f"class-{c:03d}" / f"{number:04d}.bmp").write_bytes(head + image.tobytes())


class Anonymous:
    """The most anonymous resident memory while it is watched, in MB."""

    def __init__(self) -> None:
        self.most = 0.0
        self._over = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        from distillset.engine.hardware import memory

        while not self._over.wait(0.02):
            self.most = max(self.most, memory(torch.device("cpu")) / 1e6)

    def end(self) -> float:
        self._over.set()
        return round(self.most, 1)


def measured(source: str, ipc: int, network: str) -> dict[str, Any]:
    """A run of two steps in this process: seconds from the imports to the first step, and its memory."""
    from distillset import DM, Machine, distill, load
    from distillset.distillation.loop import Loop

    watched, start, began = Anonymous(), time.monotonic(), 0.0
    run = Loop.run

    def noting(loop: Loop, *arguments: Any) -> None:
        nonlocal began
        began = time.monotonic() - start
        run(loop, *arguments)

    Loop.run = noting  # type: ignore[method-assign, assignment]
    data = load(source, watcher=Watcher())
    loaded = time.monotonic() - start
    ends: list[float] = []
    distill(
        data, DM(batch_real=16), ipc, steps=2, network=network, machine=Machine("cpu", compile="off"),
        watcher=lambda step, steps, loss: ends.append(time.monotonic()),
    )  # fmt: skip
    return {
        "load_s": round(loaded, 2),
        "start_s": round(began, 2),
        "step_s": round(ends[1] - ends[0], 2),
        "anonymous_mb": watched.end(),
    }


def large() -> dict[str, Any]:
    """Runs over the folder of 100,000 files: while it is decoded, once it is cached, and with 50 images per class."""
    found: dict[str, Any] = {"files": CLASSES * EACH, "classes": CLASSES, "size": SIZE}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "folder"
        write_folder(folder)
        environment = {**os.environ, "DISTILLSET_CACHE": str(Path(scratch) / "cache")}
        for name, ipc in (("decoded", 1), ("cached", 1), ("cached, 50 per class", 50)):
            command = [sys.executable, "-m", "benchmarks.large", str(folder), str(ipc), NARROW]
            told = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
            found[name] = json.loads(told.splitlines()[-1])
            print(f"{name}: {found[name]}")
    return found


if __name__ == "__main__":
    print(json.dumps(measured(sys.argv[1], int(sys.argv[2]), sys.argv[3])))
