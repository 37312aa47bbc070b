"""``python -m benchmarks.agreement``: how far freshly drawn networks agree on where DM should move the pixels.

For each kind of network the mean cosine of the pixel gradients of DM's first step, each under a network, real images
and augmentation of its own as in a run, over all pairs: the synthetic images are the same real ones, of two classes.
Its standard error is the jackknife's over networks.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distillset import DM, RealSet, load
from distillset.engine import Compute, Engine
from distillset.keys import Key
from distillset.machine import Machine
from distillset.methods import Task
from distillset.nets import build
from tools.provenance import provenance

NETWORKS = "ConvNet ConvNetBN AlexNet AlexNetBN VGG11 VGG11BN ResNet18 ResNet18BN ResNet18_AP ResNet18BN_AP MLP LeNet"
CLASSES = ["0", "1"]
BATCH_REAL = 64
COMPUTE = Compute.resolve(Machine("cpu", "fp32", "off"))


def gradients(name: str, real: RealSet, ipc: int, count: int) -> Tensor:
    """Pixel gradients ``[count, classes*ipc*C*H*W]`` of first steps of DM."""
    task = Task(real, ipc, build(name, real.spec), Engine(COMPUTE), name)
    matcher = DM(batch_real=BATCH_REAL, lr_scale=1.0).resolve(real.spec, ipc).prepare(task)
    images = torch.cat([real.draw(c, ipc, Key(0)("start", c)) for c in range(real.spec.classes)])
    found = []
    for i in range(count):
        inputs = matcher.inputs(i, Key(0)("network", i))
        state, numbers = matcher.begin(inputs), matcher.draw(inputs)
        pieces = [matcher.term({"images": images}, state, numbers, block) for block in matcher.blocks]
        found.append(torch.cat([gradient.flatten() for piece in pieces for _, gradient in piece.gradients.values()]))
    return torch.stack(found)


def agreement(vectors: Tensor) -> tuple[float, float]:
    """Mean cosine over pairs of ``vectors [k, d]`` with ``k > 2``, and the jackknife's standard error over vectors."""
    unit = torch.nn.functional.normalize(vectors.double(), dim=1)
    cosines = (unit @ unit.T).fill_diagonal_(0)
    k, total = len(cosines), cosines.sum()
    without = (total - 2 * cosines.sum(1)) / ((k - 1) * (k - 2))
    error = ((k - 1) / k * (without - without.mean()).square().sum()).sqrt()
    return float(total / (k * (k - 1))), float(error)


def main() -> None:
    """Measure each network, print a line each, and write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.agreement", description=__doc__)
    parser.add_argument("networks", nargs="*", default=NETWORKS.split(), help="names (default: those of the table)")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--ipc", type=int, default=10)
    parser.add_argument("--count", type=int, default=12, help="fresh networks of each kind (default 12)")
    parser.add_argument("--out", type=Path, help="JSON file to write; other networks found there are kept")
    options = parser.parse_args()
    real = load(options.data, classes=CLASSES).train
    setting = {"data": options.data, "classes": CLASSES, "ipc": options.ipc, "count": options.count}
    setting = {**setting, "batch_real": BATCH_REAL, "compute": COMPUTE.to_json()}
    known: dict[str, Any] = {}
    if options.out and options.out.exists():
        known = json.loads(options.out.read_text(encoding="utf-8"))
        if known["setting"] != setting:
            raise SystemExit(f"{options.out} is of another setting: {known['setting']}")
    rows = known.get("networks", {})
    for name in options.networks:
        mean, error = agreement(gradients(name, real, options.ipc, options.count))
        rows[name] = {"cosine": round(mean, 4), "error": round(error, 4)}
        print(f"{name}: {mean:.3f} +- {error:.3f}", flush=True)
        if options.out:
            record = {"setting": setting, "networks": rows, **provenance(torch.device("cpu"))}
            options.out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
