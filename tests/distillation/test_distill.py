"""The loop: what it promises about updates, resuming, divergence, and what it leaves on disk."""

import json
from pathlib import Path

import pytest
import torch

from distillset.data.synthetic import CARD, SyntheticSet
from distillset.errors import InterruptedRun
from distillset.keys import Key
from distillset.methods import DM, Task
from distillset.nets import build
from distillset.store import read_tensors
from tests import toys
from tests.methods.exact import update_of
from tests.runs import STEPS, Counting, Recorder, assert_same_end, distil, steps_logged

# --- updates ---------------------------------------------------------------------------------------------------------


def test_updates_are_sgd_with_momentum_on_the_method_s_gradient() -> None:
    real = toys.toy()
    method = DM(lr=0.7, momentum=0.5, batch_real=6).resolve(real.spec, 2)
    found = distil(data=real, method=method, steps=3, seed=5).images
    images = torch.cat([real.draw(c, 2, Key(5)("init", c)) for c in range(3)])
    matcher = method.prepare(Task(real, 2, build(toys.NETWORK, real.spec), toys.engine()))
    velocity = torch.zeros_like(images)
    for step in range(3):
        _, gradients = update_of(matcher, {"images": images}, Key(5)("step", step)("update", 0), step=step)
        velocity = 0.5 * velocity + gradients["images"]
        images = images - 0.7 * velocity
    torch.testing.assert_close(found, images, rtol=1e-5, atol=1e-5)


def test_equal_runs_give_equal_bits_and_other_seeds_do_not() -> None:
    first, again, other = distil(), distil(), distil(seed=1)
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.images, other.images)


def test_the_global_random_state_is_neither_read_nor_moved() -> None:
    torch.manual_seed(1)
    first = distil(steps=2)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    again = distil(steps=2)
    assert torch.equal(first.images, again.images)
    assert torch.equal(torch.get_rng_state(), before)


def test_losses_and_gradients_of_terms_add_up_and_an_episode_may_have_two_updates() -> None:
    """Two updates of three terms: the second sees the images that the first has moved."""

    watcher = Recorder()
    synthetic = distil(method=Counting(), steps=1, watcher=watcher, init="noise")
    for c in range(3):  # two updates of -0.5 (c + 1)
        assert torch.equal(synthetic.images[2 * c : 2 * c + 2], torch.full((2, 3, 8, 8), -1.0 * (c + 1)))
    # Three terms of 1, then three of 1 - 0.5 (1 + 2 + 3) * 2 images * 192 pixels; the mean of both updates.
    assert watcher.steps == [(1, 1, (3 * 1 + 3 * (1 - 0.5 * 6 * 2 * 192)) / 2)]


def test_labels_and_card() -> None:
    data = toys.toy_data()
    synthetic = distil(seed=3)
    assert synthetic.labels.tolist() == [0, 0, 1, 1, 2, 2]
    card = synthetic.card
    assert (card["method"], card["steps"]) == ("dm", STEPS)
    assert card["data"] == {"source": "toy", "fingerprint": data.train.fingerprint(), "images": 24}
    settings = card["settings"]
    assert (settings["lr"], settings["ipc"], settings["seed"], settings["init"]) == (1.0, 2, 3, "real")
    assert settings["augment"] == "color_crop_cutout_flip_scale_rotate"
    assert settings["compute"] == {"device": "cpu", "precision": "fp32", "compile": False, "kernels": False} | {
        name: settings["compute"][name] for name in ("threads", "micro_batch")
    }


def test_no_step_gives_the_initial_images() -> None:
    real = toys.toy()
    drawn = torch.cat([real.draw(c, 2, Key(0)("init", c)) for c in range(3)])
    synthetic = distil(steps=0)
    assert torch.equal(synthetic.images, drawn)
    assert synthetic.card["metrics"]["loss"] is None


def test_the_published_number_of_steps_is_the_default() -> None:
    watcher = Recorder(stop_after=1)
    with pytest.raises(InterruptedRun, match="20000"):
        distil(steps=None, watcher=watcher)
    assert watcher.steps[0][:2] == (1, 20_000)


@pytest.mark.parametrize("init", ["noise", "kmeans"])
def test_other_starts_run(init: str) -> None:
    assert not torch.equal(distil(init=init, steps=1).images, distil(steps=1).images)


def test_starts_from_an_earlier_artifact(uninterrupted: Path) -> None:
    assert torch.equal(distil(init=str(uninterrupted), steps=0).images, SyntheticSet.load(uninterrupted).images)


def test_more_images_than_a_class_has() -> None:
    synthetic = distil(ipc=6, steps=1)  # the third class has five
    assert synthetic.ipc == 6
    assert len(synthetic) == 18


# --- on disk ---------------------------------------------------------------------------------------------------------


def test_what_a_run_leaves(uninterrupted: Path) -> None:
    assert sorted(path.name for path in uninterrupted.iterdir() if path.name != ".lock") == [
        "README.md", CARD, "checkpoints", "grid.png", "metrics.jsonl", "snapshots", "synthetic.safetensors",
    ]  # fmt: skip
    assert steps_logged(uninterrupted) == [1, 2, 3, 4, 5, 6]
    assert torch.equal(SyntheticSet.load(uninterrupted).images, distil().images)


def test_the_last_two_checkpoints_are_kept(tmp_path: Path) -> None:
    distil(tmp_path / "run", checkpoint_seconds=0)
    names = {path.name for path in (tmp_path / "run" / "checkpoints").iterdir()}
    assert names == {"step-5.safetensors", "step-6.safetensors"}


@pytest.mark.parametrize(
    ("snapshots", "steps", "kept"),
    [(0, 6, None), (1, 6, {0, 6}), (3, 6, {0, 2, 4, 6}), (2, 5, {0, 2, 5}), (10, 4, {0, 1, 2, 3, 4})],
)
def test_snapshots_are_evenly_spaced(tmp_path: Path, snapshots: int, steps: int, kept: set[int] | None) -> None:
    synthetic = distil(tmp_path / "run", snapshots=snapshots, steps=steps)
    folder = tmp_path / "run" / "snapshots"
    if kept is None:
        assert not folder.exists()
        return
    assert {int(path.stem.removeprefix("step-")) for path in folder.iterdir()} == kept
    assert torch.equal(read_tensors(folder / f"step-{steps}.safetensors")[0]["images"], synthetic.images)
    first = read_tensors(folder / "step-0.safetensors")[0]["images"]
    assert torch.equal(first, distil(steps=0).images)


def test_accuracy_is_logged_and_changes_nothing(tmp_path: Path, uninterrupted: Path) -> None:
    seen: list[int] = []

    def accuracy(synthetic: SyntheticSet) -> float:
        seen.append(synthetic.card["steps"])
        torch.manual_seed(99)  # the worst an evaluation could do
        return 0.25

    distil(tmp_path / "run", evaluate=accuracy, evaluate_every=2)
    assert seen == [2, 4, 6]
    records = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [record.get("accuracy") for record in records] == [None, 0.25, None, 0.25, None, 0.25]
    assert_same_end(tmp_path / "run", uninterrupted)


def test_the_memory_of_a_run_is_not_that_of_evaluations_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    most = [70]
    monkeypatch.setattr("distillset.distillation.loop.peak", lambda device: most[-1])
    monkeypatch.setattr("distillset.distillation.loop.forget_peak", lambda device: most.append(50))

    def accuracy(synthetic: SyntheticSet) -> float:
        most.append(900)
        return 0.5

    assert distil(steps=4, evaluate=accuracy, evaluate_every=1).card["metrics"]["memory"] == 70


def test_it_tells_an_estimate_and_what_auto_chose() -> None:
    watcher = Recorder()
    distil(watcher=watcher, machine="cpu")
    assert watcher.told("estimate: 6 steps of ")
    assert watcher.told("MB")
    assert watcher.told("precision ")
    assert watcher.told("too little work to gain from compiling") or watcher.told("no C++ compiler")
    assert [step[:2] for step in watcher.steps] == [(step, STEPS) for step in range(1, STEPS + 1)]


def test_a_plain_function_may_watch() -> None:
    told: list[tuple[int, int, float]] = []
    distil(steps=2, watcher=lambda step, steps, loss: told.append((step, steps, loss)))
    watcher = Recorder()
    distil(steps=2, watcher=watcher)
    assert told == watcher.steps
