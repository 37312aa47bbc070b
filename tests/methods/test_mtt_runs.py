"""Runs of trajectory matching: stopped and resumed, averaged, skipped, diverged."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from distillset.distillation.record import Record
from distillset.distillation.run_folder import RunFolder
from distillset.engine import Compute, Engine
from distillset.errors import DivergedError, InterruptedRun
from distillset.evaluation import read_snapshots
from distillset.nets import build
from distillset.store import read_tensors
from distillset.training import train_experts
from distillset.watch import Watcher
from tests import toys
from tests.methods.small_mtt import FULL, METHOD, REAL, SETTING, Losses, Stopping, distil, matcher_of


@pytest.mark.parametrize("whiten", ["none", "zca"])
def test_stopped_anywhere_it_ends_with_the_same_bits(
    tmp_path: Path, whiten: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISTILLSET_CACHE", str(tmp_path / "cache"))
    whole = distil(tmp_path / "whole", method=FULL, whiten=whiten)
    out = tmp_path / "out"
    for watcher in (Stopping(epochs=1), Stopping(epochs=3), Stopping(steps=1), Stopping(steps=2)):
        with pytest.raises(InterruptedRun):
            distil(out, method=FULL, whiten=whiten, watcher=watcher)
    again = distil(out, method=FULL, whiten=whiten)
    for name, tensor in whole.tensors().items():
        assert torch.equal(tensor, again.tensors()[name]), name
    a, b = (read_tensors(at / "checkpoints" / "step-4.safetensors")[0] for at in (out, tmp_path / "whole"))
    assert a.keys() == b.keys() >= {"leaf.lr", "momentum.lr", "average.images", "leaf.labels"}
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_given_experts_are_those_it_would_make_itself(tmp_path: Path, experts: str) -> None:
    """Same setting and seed: the same numbers, once with `experts` trained for longer."""
    own = distil(method=dataclasses.replace(METHOD, augment="none"))
    setting = dataclasses.replace(SETTING, augment="none")
    train_experts(toys.engine(), build(toys.NETWORK, REAL.spec), REAL, setting, tmp_path / "e", 2, 4, Watcher())
    given = distil(method=dataclasses.replace(METHOD, experts=str(tmp_path / "e"), augment="none"))
    assert torch.equal(own.images, given.images)
    assert own.lr == given.lr


def test_the_loss_falls() -> None:
    method = dataclasses.replace(METHOD, syn_steps=10, lr_start=0.05, lr=3.0, augment="none")
    watcher = Losses()
    distil(method=method, steps=30, watcher=watcher)
    assert sum(watcher.losses[-5:]) < 0.9 * sum(watcher.losses[:5])


def test_the_average_is_the_result(tmp_path: Path) -> None:
    """avg <- 0.5 avg + 0.5 images after every update, from the first images on."""
    out = tmp_path / "run"
    method = dataclasses.replace(METHOD, average=0.5)
    averaged = distil(out, method=method, steps=2)
    path = [distil(method=METHOD, steps=steps).images for steps in range(3)]
    expected = (0.5 * path[0] + 0.5 * path[1]) * 0.5 + 0.5 * path[2]
    torch.testing.assert_close(averaged.images, expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(read_tensors(out / "checkpoints" / "step-2.safetensors")[0]["leaf.images"], path[2]), (
        "the average has no influence on the run"
    )
    assert torch.equal(read_tensors(out / "snapshots" / "step-2.safetensors")[0]["images"], averaged.images)


def test_soft_labels_are_the_artifact_s() -> None:
    synthetic = distil(method=dataclasses.replace(METHOD, lr_labels=5.0))
    assert synthetic.labels.shape == (6, 3)
    torch.testing.assert_close(synthetic.labels.sum(1), torch.ones(6), rtol=1e-5, atol=0)


def test_a_start_of_images_that_experts_classify_right(experts: str) -> None:
    matcher = matcher_of(experts, correct=2, max_start=3)
    start = matcher.leaves(torch.zeros(6, 3, 8, 8))["images"].start
    task = matcher.task
    for c in range(3):
        pool = REAL.draw(c, int(REAL.counts[c]), task.key("init", c))
        right = torch.stack([matcher.experts.guesses(e, pool, task).argmax(1) == c for e in range(2)]).all(0)
        order = torch.cat([torch.nonzero(right).flatten(), torch.nonzero(~right).flatten()])
        assert torch.equal(start[2 * c : 2 * c + 2], pool[order[:2]])


def test_what_experts_think_is_compiled_once(experts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """For 12, 7 and 5 images of three classes, by two experts: all calls are of the largest class's shape."""
    shapes: list[tuple[int, ...]] = []

    def compiled(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        def call(state: dict[str, Tensor], images: Tensor) -> Any:
            shapes.append(tuple(images.shape))
            return function(state, images)

        made.append(call)
        return call

    made: list[Callable[..., Any]] = []
    matcher = matcher_of(experts, correct=2, max_start=3)
    expected = matcher.experts.correct_images(2, matcher.task, 2)
    monkeypatch.setattr(torch, "compile", compiled)
    task = dataclasses.replace(matcher.task, engine=Engine(Compute("cpu", "fp32", True, 1, 64)))
    assert torch.equal(matcher.experts.correct_images(2, task, 2), expected)
    assert len(made) == 1
    assert shapes == [(12, 3, 8, 8)] * 6


def test_nothing_is_left_in_temporary_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    distil(steps=1)
    assert list(tmp_path.iterdir()) == []


def test_snapshots_hold_what_the_artifact_would(tmp_path: Path) -> None:
    out = tmp_path / "run"
    synthetic = distil(out, method=FULL, record=Record(snapshots=2))
    shown = read_snapshots(out, synthetic)
    assert list(shown) == [0, 2, 4]
    assert all(torch.equal(shown[4].tensors()[name], tensor) for name, tensor in synthetic.tensors().items())
    early = distil(method=FULL, steps=2)
    assert all(torch.equal(shown[2].tensors()[name], tensor) for name, tensor in early.tensors().items())


# --- divergence ------------------------------------------------------------------------------------------------------


def test_a_step_above_the_limit_is_skipped_and_counted(tmp_path: Path) -> None:
    out = tmp_path / "run"
    method = dataclasses.replace(METHOD, limit=1e-9)
    synthetic = distil(out, method=method, steps=3)
    first = distil(method=method, steps=0)
    assert torch.equal(synthetic.images, first.images)
    assert synthetic.lr == first.lr
    assert synthetic.card["metrics"]["skipped"] == 3
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [record["skipped"] for record in records] == [1, 2, 3]
    assert all(record["loss"] > 0 for record in records)


def test_a_loss_that_is_no_number_is_skipped_and_logged_as_none(tmp_path: Path) -> None:
    method = dataclasses.replace(METHOD, lr_start=1e30)
    synthetic = distil(tmp_path / "run", method=method, steps=2)
    metrics = synthetic.card["metrics"]
    assert (metrics["loss"], metrics["skipped"]) == (None, 2)
    assert json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[0])["loss"] is None
    assert torch.equal(synthetic.images, distil(method=method, steps=0).images)


def test_sustained_divergence_ends_with_a_diagnosis(tmp_path: Path) -> None:
    out = tmp_path / "run"
    method = dataclasses.replace(METHOD, lr_start=1e30)
    told = (
        r"diverged at step 20: 20 updates in a row had a loss above 10 .* and were skipped; learned rate 1e\+30, "
        r"expert \d from epoch \d to \d; try a smaller `lr_start`, `lr_lr`, `syn_steps` or `lr`; .*state is kept"
    )
    with pytest.raises(DivergedError, match=told) as caught:
        distil(out, method=method, steps=50)
    assert caught.value.exit_code == 3
    with RunFolder.open(out) as folder:
        stored, _ = folder.latest()
    assert stored is not None
    assert stored.step == 19
    assert torch.isfinite(stored.tensors["leaf.images"]).all()


def test_patience_starts_anew_after_a_good_step_and_is_kept_over_a_stop(tmp_path: Path) -> None:
    out = tmp_path / "run"
    method = dataclasses.replace(METHOD, lr_start=1e30)
    with pytest.raises(InterruptedRun):
        distil(out, method=method, steps=50, watcher=Stopping(steps=15))
    with pytest.raises(DivergedError, match="diverged at step 20"):
        distil(out, method=method, steps=50)
