"""Many classes, many images per class, large images: small versions of what `benchmarks` measures at full size."""

import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from distillset import MTT
from distillset.data.real import RealSet
from distillset.engine import measure
from distillset.engine.hardware import forget_peak, peak
from distillset.methods import DC, DM, DSA, Method
from distillset.nets import build
from tests import toys
from tests.runs import distil

METHODS: dict[str, Method] = {
    "dm": DM(batch_real=3),  # of other images than the two that it starts from
    "dc": DC(batch_real=2, outer=2, inner=1),
    "dsa": DSA(batch_real=2, outer=1, inner=1),
    "mtt": MTT(syn_steps=2, expert_count=1, expert_epochs=1, max_start=1, expert_batch=4, lr=10.0, limit=1e9),
}


def runs(name: str, size: int, network: str) -> None:
    """One step that moves every image, a single image a call, at the depth the papers take for this size."""
    real = toys.toy((5, 4), (3, size, size))
    module = build(network, real.spec)
    width = module.features[0].out_channels  # type: ignore[index, union-attr]
    assert module.classifier.in_features == width * 4 * 4  # type: ignore[union-attr]  # 128 / 2^5, 256 / 2^6
    each = measure(module, real.spec.shape, 1).held * (10 if name == "dm" else 32)
    found = distil(
        data=real,
        method=METHODS[name],
        ipc=2,
        steps=1,
        network=network,
        whiten="none",
        machine=replace(toys.EAGER, memory=str(int(1.5 * each))),
    )
    assert found.card["settings"]["compute"]["micro_batch"] == 1
    drawn = distil(data=real, method=METHODS[name], ipc=2, steps=0, network=network, whiten="none").images
    assert all(float(moved) > 0 for moved in (found.images - drawn).flatten(1).abs().amax(1))


@pytest.mark.parametrize("size", [128, 256])
@pytest.mark.parametrize("name", METHODS)
def test_larger_images(name: str, size: int) -> None:
    runs(name, size, "ConvNetW4")


@pytest.mark.slow
@pytest.mark.parametrize("size", [128, 256])
@pytest.mark.parametrize("name", METHODS)
def test_larger_images_on_the_published_network(name: str, size: int) -> None:
    runs(name, size, "convnet")


def test_a_large_synthetic_set_is_held_seven_times_at_most(tmp_path: Path) -> None:
    """4,000 images on a network that puts out 20,000 numbers for each: at once they would take 800 MB.

    Images, momentum, their copies for checkpoints, the gradient; a class at a time of draws, and what saving takes.
    """
    real, cpu = toys.toy([4] * 20, (3, 32, 32)), torch.device("cpu")
    method, machine = DM(batch_real=4), replace(toys.EAGER, memory="10M")
    how: dict[str, Any] = {"method": method, "network": "ConvNetW4", "init": "noise", "machine": machine}
    distil(data=real, ipc=1, steps=2, out=tmp_path / "small", **how)
    forget_peak(cpu)
    before = peak(cpu)
    found = distil(data=real, ipc=200, steps=2, snapshots=0, out=tmp_path / "large", **how)
    images = found.images.numel() * 4
    assert images == 4000 * 3 * 32 * 32 * 4
    assert peak(cpu) - before < 7.5 * images


def test_many_classes_cost_less_than_the_network_class_by_class() -> None:
    """Processor time of a step of DM over a thousand classes of tiny images, beside that of a plain loop that embeds
    the same images class by class and takes the gradients of the synthetic ones, before and after (measured: 0.5 to
    0.75 times).
    """
    classes = 1000
    pixels = torch.arange(classes * 4 * 192).remainder(251).to(torch.uint8).view(-1, 3, 8, 8)
    spec = toys.spec_of(3, 8, 8, classes)
    real = RealSet(pixels, torch.arange(classes * 4) % classes, spec)
    network: Any = build("ConvNetD1W4", spec)

    def plain(some: int = 200) -> float:
        start = time.process_time()
        for batch in (pixels / 255).split(4)[:some]:
            with torch.no_grad():
                wanted = network.embed(batch).mean(0)
            image = batch[:1].clone().requires_grad_()
            (network.embed(image).mean(0) - wanted).square().sum().backward()
        return (time.process_time() - start) / some * classes

    before, ends = plain(), list[float]()
    distil(
        data=real, method=DM(batch_real=4), ipc=1, network="ConvNetD1W4", steps=4,
        watcher=lambda step, steps, loss: ends.append(time.process_time()),
    )  # fmt: skip
    assert min(b - a for a, b in pairwise(ends)) < max(before, plain())
