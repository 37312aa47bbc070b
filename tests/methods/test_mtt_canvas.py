"""Textures: the step against the equation, real images as a start, the artifact and what is refused."""

import dataclasses
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from distillset import SyntheticSet, evaluate
from distillset.augment import Augmentation, Crop, Table
from distillset.distillation.initial import from_real
from distillset.distillation.record import Record
from distillset.errors import InputError, InterruptedRun
from distillset.evaluation import Protocol, read_snapshots
from distillset.keys import Key, fold, permutation
from distillset.methods import MTT
from tests import toys
from tests.methods.exact import update_of
from tests.methods.small_mtt import FULL, METHOD, REAL, Stopping, distil, matcher_of
from tests.oracles import mtt_oracle as oracle

TEXTURE = dataclasses.replace(METHOD, canvas=2)


def rolled(crop: Crop, canvases: Tensor) -> Tensor:
    """The crop as the published code has it."""
    height, width = crop.size
    corners = crop.corners.tolist()
    parts = [
        torch.roll(one, (-y, -x), (1, 2))[:, :height, :width] for one, (y, x) in zip(canvases, corners, strict=True)
    ]
    return torch.stack(parts)


def test_a_step_is_the_equation_on_crops(experts: str) -> None:
    matcher = matcher_of(experts, torch.float64, canvas=2, batch_syn=4, augment="crop_scale", syn_steps=3)
    images = torch.randn(24, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    leaves = {name: leaf.start for name, leaf in matcher.leaves(images).items()}
    assert leaves["images"].shape == (6, 3, 16, 16)
    loss, total = update_of(matcher, leaves, Key(5), step=0)
    key = Key(5)("segment", 0)
    expert, start = matcher.segment(0, key)
    states = [matcher.experts.trajectories.state(expert, epoch).double() for epoch in (start, start + 2)]
    orders = [permutation(fold(key("order").words(), n), 6, 6) for n in range(2)]
    rows = [r for order in orders for r in order.split(4)[::-1]][:3]
    crops = [Crop.draw(fold(key("crop").words(), n), len(r), (8, 8), 2) for n, r in enumerate(rows)]
    augmentation, stream = Augmentation.parse("crop_scale"), key("augment").words()
    draws = [augmentation.draw(fold(stream, n), (3, 8, 8), len(r)) for n, r in enumerate(rows)]

    def seen(crop: Crop, draw: Table, canvases: Tensor) -> Tensor:
        return draw.apply(rolled(crop, canvases))

    steps = [(r, partial(seen, crop, draw)) for r, crop, draw in zip(rows, crops, draws, strict=True)]
    network = partial(oracle.convnet, width=8, depth=1, classes=3)
    labels = torch.arange(3).repeat_interleave(2)

    def value(canvases: Tensor) -> Tensor:
        return oracle.loss(network, canvases, labels, leaves["lr"], states[0], states[1], steps)

    leaf = leaves["images"].clone().requires_grad_()
    expected = value(leaf)
    (gradient,) = torch.autograd.grad(expected, leaf)
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-9, atol=0)
    torch.testing.assert_close(total["images"], gradient, rtol=1e-8, atol=1e-9 * float(gradient.abs().max()))
    direction = torch.randn(leaf.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    up, down = (float(value(leaves["images"] + h * direction).detach()) for h in (1e-6, -1e-6))
    assert (up - down) / 2e-6 == pytest.approx(float((total["images"] * direction).sum()), rel=1e-4)


def test_it_starts_from_real_images_side_by_side() -> None:
    start = distil(method=TEXTURE, steps=0).images
    images = from_real(REAL, 8, Key(0)("init"))  # four for each of two canvases a class
    for n in range(6):
        for i in range(4):
            top, left = 8 * (i // 2), 8 * (i % 2)
            assert torch.equal(start[n, :, top : top + 8, left : left + 8], images[4 * n + i])


def test_the_artifact_says_what_it_holds_and_is_evaluated_on_crops(tmp_path: Path) -> None:
    synthetic = distil(tmp_path / "run", method=TEXTURE, record=Record(snapshots=2))
    loaded = SyntheticSet.load(tmp_path / "run")
    assert torch.equal(loaded.images, synthetic.images)
    assert (loaded.canvas, loaded.ipc, len(loaded), tuple(loaded.images.shape)) == (2, 2, 6, (6, 3, 16, 16))
    assert loaded.pixels.shape == (6, 3, 16, 16)
    assert json.loads((tmp_path / "run" / "card.json").read_text())["canvas"] == 2
    assert "canvas of 2x2 images" in (tmp_path / "run" / "README.md").read_text()
    assert all(shown.canvas == 2 for shown in read_snapshots(tmp_path / "run", loaded).values())
    compute: dict[str, Any] = {
        "networks": (toys.NETWORK,),
        "repeats": 2,
        "protocol": Protocol(epochs=3),
        "beside": (),
        "machine": toys.EAGER,
    }
    rows = [evaluate(loaded, toys.toy_data(), **compute)[0] for _ in range(2)]
    assert rows[0].accuracies == rows[1].accuracies


def test_a_network_is_shown_another_crop_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[int, ...]] = []
    apply = Crop.apply

    def spy(self: Crop, canvases: Tensor) -> Tensor:
        drawn.append(tuple(self.corners.flatten().tolist()))
        return apply(self, canvases)

    synthetic = distil(method=TEXTURE, steps=0)
    monkeypatch.setattr(Crop, "apply", spy)
    settings: dict[str, Any] = {
        "networks": (toys.NETWORK,),
        "repeats": 1,
        "protocol": Protocol(epochs=9),
        "beside": (),
        "machine": toys.EAGER,
    }
    evaluate(synthetic, toys.toy_data(), **settings)
    assert len(set(drawn)) == len(drawn) == 10


def test_stopped_and_gone_on_with_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    method = dataclasses.replace(FULL, canvas=2, correct=1)
    whole = distil(method=method)
    with pytest.raises(InterruptedRun):
        distil(tmp_path / "run", method=method, watcher=Stopping(steps=2))
    again = distil(tmp_path / "run", method=method)
    assert all(torch.equal(tensor, again.tensors()[name]) for name, tensor in whole.tensors().items())


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="whiten='zca': zca whitens single images"):
        distil(tmp_path / "run", method=TEXTURE, whiten="zca")
    assert not (tmp_path / "run").exists()
    assert MTT(canvas=2).whitening(dataclasses.replace(REAL.spec, name="cifar10"), 1) == "none"
    distil(tmp_path / "texture", method=TEXTURE, steps=0)
    with pytest.raises(InputError, match="holds canvases of 2x2 images, but a run starts from ordinary images"):
        distil(method=METHOD, init=str(tmp_path / "texture"))
    for shape in ((6, 3, 16, 24), (6, 3, 17, 17), (6, 3, 20, 16), (6, 3, 4, 4)):
        with pytest.raises(InputError, match="expected float32"):
            SyntheticSet(torch.zeros(shape), torch.arange(6) // 2, REAL.spec)
    with pytest.raises(InputError, match=r"canvas=0: must be at least 1 and below 17"):
        MTT(canvas=0)
