"""Trajectory matching: its step against the equation, its starts and its learned rate."""

import dataclasses
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from distillset import SyntheticSet
from distillset.augment import Augmentation
from distillset.keys import Key, fold, integers, permutation
from distillset.methods.mtt import TrajectoryMatching
from distillset.store import read_tensors
from tests.methods.exact import inputs_of, update_of
from tests.methods.small_mtt import METHOD, REAL, distil, matcher_of, task_of
from tests.oracles import mtt_oracle as oracle


@pytest.mark.parametrize("batch_syn", [0, 4])
@pytest.mark.parametrize("segments", [1, 2])
def test_a_step_is_the_equation(experts: str, batch_syn: int, segments: int) -> None:
    """Drawn here as the page says: an expert, a start below `max_start`, orders of the set cut into batches, one
    operation per step with parameters for each image.
    """
    matcher = matcher_of(experts, torch.float64, batch_syn=batch_syn, segments=segments, augment="color_crop_scale")
    images = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    leaves = {name: leaf.start for name, leaf in matcher.leaves(images).items()}
    assert len(matcher.blocks) == segments
    loss, total = update_of(matcher, leaves, Key(5), step=0)
    network = partial(oracle.convnet, width=8, depth=1, classes=3)
    leaf, rate = images.clone().requires_grad_(), leaves["lr"].clone().requires_grad_()
    value = torch.zeros((), dtype=torch.float64)
    for i in range(segments):
        key = Key(5)("segment", i)
        expert, start = (int(integers(fold(key("draw").words(), n), (), 0, 2)) for n in range(2))
        states = [matcher.experts.trajectories.state(expert, epoch).double() for epoch in (start, start + 2)]
        orders = [permutation(fold(key("order").words(), n), 6, 6) for n in range(4)]
        rows = [r for order in orders for r in order.split(batch_syn or 6)[::-1]][:4]
        augmentation, stream = Augmentation.parse("color_crop_scale"), key("augment").words()
        draws = [augmentation.draw(fold(stream, n), (3, 8, 8), len(r)) for n, r in enumerate(rows)]
        steps = [(r, draw.apply) for r, draw in zip(rows, draws, strict=True)]
        labels = torch.arange(3).repeat_interleave(2)
        value = value + oracle.loss(network, leaf, labels, rate, states[0], states[1], steps) / segments
    by_images, by_rate = torch.autograd.grad(value, [leaf, rate])
    torch.testing.assert_close(loss, value.detach(), rtol=1e-9, atol=0)
    torch.testing.assert_close(total["images"], by_images, rtol=1e-8, atol=1e-9 * float(by_images.abs().max()))
    torch.testing.assert_close(total["lr"], by_rate, rtol=1e-8, atol=0)


def test_short_batches_come_first(experts: str) -> None:
    """6 images in batches of 4: the published code takes the pieces 4, 2 of an order from its end."""
    matcher = matcher_of(experts, torch.float64, batch_syn=4, syn_steps=5)
    (batches,), _, _ = matcher.draw(inputs_of(matcher, Key(1)))
    assert [len(batch.rows) for batch in batches] == [2, 4, 2, 4, 2]
    assert sorted(torch.cat([batch.rows for batch in batches[:2]]).tolist()) == list(range(6))
    assert [len(batch.table) for batch in batches] == [2, 4, 2, 4, 2]


def test_soft_labels_move_by_the_gradient_of_their_logits(experts: str) -> None:
    matcher = matcher_of(experts, torch.float64, lr_labels=2.0, augment="none")
    images = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    leaves = {name: leaf.start for name, leaf in matcher.leaves(images).items()}
    assert leaves["labels"].shape == (6, 3)
    assert leaves["labels"].argmax(1).tolist() == [0, 0, 1, 1, 2, 2]

    def update(labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return update_of(matcher, {**leaves, "labels": labels}, Key(5), step=0)

    found = update(leaves["labels"])[1]["labels"]
    direction = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    up, down = (float(update(leaves["labels"] + h * direction)[0]) for h in (1e-5, -1e-5))
    assert (up - down) / 2e-5 == pytest.approx(float((found * direction).sum()), rel=1e-5)


@pytest.mark.parametrize(
    ("fields", "ends"),
    [
        ({"max_start": 3}, {0: 3, 9: 3}),
        ({"max_start": 8, "grow": 4}, {0: 2, 1: 4, 2: 6, 3: 8, 4: 8, 99: 8}),
        ({"max_start": 8, "min_start": 4, "grow": 100}, {0: 5, 24: 5, 25: 6, 99: 8}),
    ],
)
def test_the_range_of_starts_grows(experts: str, fields: dict[str, int], ends: dict[int, int]) -> None:
    method = dataclasses.replace(METHOD, augment="none", **fields)  # type: ignore[arg-type]
    matcher = TrajectoryMatching(method, task_of(), matcher_of(experts).experts)
    assert {step: matcher._starts(step) for step in ends} == ends


def test_starts_are_uniform_over_experts_and_epochs(experts: str) -> None:
    matcher = matcher_of(experts, expert_count=3, max_start=3, min_start=1, syn_steps=1)
    seen: dict[tuple[int, int], int] = {}
    for step in range(120):
        segment = matcher.segment(step, Key(step))
        seen[segment] = seen.get(segment, 0) + 1
    assert set(seen) == {(expert, start) for expert in range(3) for start in (1, 2)}
    assert min(seen.values()) >= 8  # 20 each are expected; below 8 once in 1,000 tries


# --- the learned rate ------------------------------------------------------------------------------------------------


def test_the_rate_moves_in_proportion_and_stays_positive() -> None:
    """r exp(D / r) with D the step of SGD with momentum, by hand from the logged gradients."""
    synthetic = distil(method=dataclasses.replace(METHOD, lr_lr=0.01), steps=1)
    first = distil(method=dataclasses.replace(METHOD, lr_lr=0.01), steps=0)
    assert first.lr == pytest.approx(0.05)
    task = dataclasses.replace(task_of(), key=Key(0))
    matcher = METHOD.resolve(REAL.spec, 2).prepare(task)
    images = torch.cat([REAL.draw(c, 2, Key(0)("init", c)) for c in range(3)])
    leaves = {name: leaf.start for name, leaf in matcher.leaves(images).items()}
    slope = float(update_of(matcher, leaves, Key(0)("step", 0)("update", 0), step=0)[1]["lr"])
    change = max(-1.0, min(1.0, -0.01 * slope / 0.05))
    assert synthetic.lr == pytest.approx(0.05 * torch.tensor(change).exp().item(), rel=1e-5)
    assert change != 0


@pytest.mark.parametrize("lr_lr", [1e-3, 1e3, 1e9])
def test_no_rate_of_the_rate_makes_it_negative(lr_lr: float) -> None:
    method = dataclasses.replace(METHOD, lr_lr=lr_lr, lr=1e-3)
    synthetic = distil(method=method, steps=5)
    assert synthetic.lr is not None
    assert 0 < synthetic.lr < float("inf")


def test_the_rate_is_kept_in_the_artifact(tmp_path: Path) -> None:
    synthetic = distil(tmp_path / "run", method=dataclasses.replace(METHOD, lr_lr=1e-3))
    loaded = SyntheticSet.load(tmp_path / "run")
    assert synthetic.lr == loaded.lr
    assert synthetic.lr not in (None, 0.05)
    assert float(read_tensors(tmp_path / "run" / "synthetic.safetensors")[0]["lr"]) == synthetic.lr
