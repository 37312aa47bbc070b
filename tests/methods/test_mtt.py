"""Trajectory matching: its step against the equation, its published settings, and what goes wrong."""

import dataclasses
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from distillset import SyntheticSet, distill
from distillset.data.augment import Augmentation
from distillset.data.spec import Spec
from distillset.errors import DivergedError, InputError, InterruptedRun
from distillset.evaluation import read_snapshots
from distillset.keys import Key
from distillset.loop import Watcher
from distillset.methods import MTT, Task
from distillset.methods.mtt import TrajectoryMatching
from distillset.methods.mtt_settings import SETTINGS, published, reach
from distillset.nets import build, canonical
from distillset.run import RunFolder
from distillset.store import read_tensors
from distillset.training import ExpertSetting, train_experts
from tests import toys
from tests.oracles import mtt_oracle as oracle

REAL = toys.toy()
NAME = canonical(toys.NETWORK)
SETTING = ExpertSetting(REAL.fingerprint(), "none", NAME, 0.05, 10)
METHOD = MTT(
    lr=10.0, lr_start=0.05, lr_lr=1e-5, syn_steps=4, expert_epochs=2, max_start=2, batch_syn=0, expert_lr=0.05,
    expert_batch=10, expert_count=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def experts(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three experts of four epochs."""
    folder = tmp_path_factory.mktemp("experts") / "three"
    train_experts(toys.engine(), build(toys.NETWORK, REAL.spec), REAL, SETTING, folder, 3, 4, Watcher())
    return str(folder)


def task_of(dtype: torch.dtype = torch.float32, ipc: int = 2) -> Task:
    return Task(REAL, ipc, build(toys.NETWORK, REAL.spec).to(dtype), toys.engine(), NAME)


def matcher_of(experts: str, dtype: torch.dtype = torch.float32, **changes: Any) -> TrajectoryMatching:
    method = dataclasses.replace(METHOD, experts=experts, **changes).resolve(REAL.spec, 2)
    return method.prepare(task_of(dtype))


def distil(out: Path | None = None, **changes: Any) -> SyntheticSet:
    arguments: dict[str, Any] = {
        "data": toys.toy_data(), "method": METHOD, "ipc": 2, "steps": 4, "network": toys.NETWORK, "out": out,
        **toys.EAGER, **changes,
    }  # fmt: skip
    return distill(**arguments)


# --- the step --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_syn", [0, 4])
@pytest.mark.parametrize("segments", [1, 2])
def test_a_step_is_the_equation(experts: str, batch_syn: int, segments: int) -> None:
    """Drawn here as the page says: an expert, a start below `max_start`, orders of the set cut into batches."""
    matcher = matcher_of(experts, torch.float64, batch_syn=batch_syn, segments=segments, augment="color_crop_scale")
    images = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    leaves = {name: leaf.start for name, leaf in matcher.leaves(images).items()}
    (terms,) = list(matcher.episode(leaves, 0, Key(5)))
    assert len(terms) == segments
    total = {"loss": torch.zeros(()), "images": torch.zeros(()), "lr": torch.zeros(())}
    for term in terms:
        piece = term()
        total["loss"] = total["loss"] + piece.loss
        for name, (_, gradient) in piece.gradients.items():
            total[name] = total[name] + gradient
    network = partial(oracle.convnet, width=8, depth=1, classes=3)
    leaf, rate = images.clone().requires_grad_(), leaves["lr"].clone().requires_grad_()
    value = torch.zeros((), dtype=torch.float64)
    for i in range(segments):
        key = Key(5)("segment", i)
        generator = key("draw").generator()
        expert, start = (int(torch.randint(2, (), generator=generator)) for _ in range(2))
        states = [matcher.experts.trajectories.state(expert, epoch).double() for epoch in (start, start + 2)]
        generator = key("order").generator()
        rows = [r for _ in range(4) for r in torch.randperm(6, generator=generator).split(batch_syn or 6)][:4]
        augmentation = Augmentation.parse("color_crop_scale")
        draws = [augmentation.draw(key("augment", n), (3, 8, 8), len(r)) for n, r in enumerate(rows)]
        steps = [(r, draw.apply) for r, draw in zip(rows, draws, strict=True)]
        labels = torch.arange(3).repeat_interleave(2)
        value = value + oracle.loss(network, leaf, labels, rate, states[0], states[1], steps) / segments
    by_images, by_rate = torch.autograd.grad(value, [leaf, rate])
    torch.testing.assert_close(total["loss"], value.detach(), rtol=1e-9, atol=0)
    torch.testing.assert_close(total["images"], by_images, rtol=1e-8, atol=1e-9 * float(by_images.abs().max()))
    torch.testing.assert_close(total["lr"], by_rate, rtol=1e-8, atol=0)


def test_soft_labels_move_by_the_gradient_of_their_logits(experts: str) -> None:
    matcher = matcher_of(experts, torch.float64, lr_labels=2.0, augment="none")
    images = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    leaves = {name: leaf.start for name, leaf in matcher.leaves(images).items()}
    assert leaves["labels"].shape == (6, 3)
    assert leaves["labels"].argmax(1).tolist() == [0, 0, 1, 1, 2, 2]

    def piece(labels: Tensor) -> Any:
        (terms,) = list(matcher.episode({**leaves, "labels": labels}, 0, Key(5)))
        return terms[0]()

    found = piece(leaves["labels"]).gradients["labels"][1]
    direction = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    up, down = (float(piece(leaves["labels"] + h * direction).loss) for h in (1e-5, -1e-5))
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
    leaves = {name: leaf.start for name, leaf in matcher.leaves(torch.randn(6, 3, 8, 8)).items()}
    seen: dict[tuple[int, int], int] = {}
    for step in range(120):
        for term in next(iter(matcher.episode(leaves, step, Key(step)))):
            term()
        seen[matcher.tried] = seen.get(matcher.tried, 0) + 1
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
    (terms,) = list(matcher.episode(leaves, 0, Key(0)("step", 0)))
    slope = float(terms[0]().gradients["lr"][1])
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


# --- runs ------------------------------------------------------------------------------------------------------------


class Stopping(Watcher):
    def __init__(self, epochs: int = -1, steps: int = -1) -> None:
        self.left = {"epochs": epochs, "steps": steps}
        self.notes: list[str] = []

    def note(self, line: str) -> None:
        self.notes.append(line)

    def step(self, step: int, steps: int, loss: float) -> None:
        self.left["steps"] -= 1

    def epoch(self, epoch: int, epochs: int, loss: float) -> None:
        self.left["epochs"] -= 1

    def stop(self) -> bool:
        return 0 in self.left.values()


FULL = dataclasses.replace(METHOD, lr_labels=1.0, average=0.9, segments=2, lr_lr=1e-3)


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


class Losses(Watcher):
    def __init__(self) -> None:
        self.losses: list[float] = []

    def step(self, step: int, steps: int, loss: float) -> None:
        self.losses.append(loss)


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


def test_nothing_is_left_in_temporary_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    distil(steps=1)
    assert list(tmp_path.iterdir()) == []


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
    assert synthetic.card["metrics"] == {"loss": None, "seconds": synthetic.card["metrics"]["seconds"], "skipped": 2}
    assert json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[0])["loss"] is None
    assert torch.equal(synthetic.images, distil(method=method, steps=0).images)


def test_sustained_divergence_ends_with_a_diagnosis(tmp_path: Path) -> None:
    out = tmp_path / "run"
    method = dataclasses.replace(METHOD, lr_start=1e30)
    told = (
        r"diverged at step 20: 20 updates in a row had a loss above 10 .* and were skipped; learned rate 1e\+30, "
        r"expert \d from epoch \d to \d; try a smaller --lr-start, --lr-lr, --syn-steps or --lr; .*state is kept"
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


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"max_start": 4},
            r"no expert has epoch 5, .*--max-start and --expert-epochs.*first expert ends at epoch 4",
        ),
        ({"expert_epochs": 4}, "no expert has epoch 5"),
        ({"expert_count": 4}, "--expert-count 4: in .* only 3 experts have epoch 3"),
    ],
)
def test_a_start_beyond_the_experts_is_refused_before_the_run(
    tmp_path: Path, experts: str, changes: dict[str, Any], told: str
) -> None:
    method = dataclasses.replace(METHOD, **{"experts": experts, "expert_count": None, **changes})
    with pytest.raises(InputError, match=told):
        distil(tmp_path / "run", method=method)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("named", "changes"),
    [("data", {"data": toys.toy(seed=5)}), ("whiten", {"whiten": "zca"}), ("network", {"network": "ConvNetD1W4"})],
)
def test_experts_of_another_setting_are_named(
    tmp_path: Path, experts: str, named: str, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISTILLSET_CACHE", str(tmp_path / "cache"))
    with pytest.raises(InputError, match=f": {named} .* is needed, but these experts have {named}"):
        distil(tmp_path / "run", method=dataclasses.replace(METHOD, experts=experts), **changes)
    assert not (tmp_path / "run").exists()


def test_all_experts_that_reach_are_used(experts: str) -> None:
    method = dataclasses.replace(METHOD, experts=experts, expert_count=None)
    assert method.resolve(REAL.spec, 2).expert_count == 3
    assert dataclasses.replace(method, experts="").resolve(REAL.spec, 2).expert_count == 100
    with pytest.raises(InputError, match=r"no experts\.json"):
        dataclasses.replace(method, experts="/").resolve(REAL.spec, 2)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lr", 0.0), ("lr", float("inf")), ("momentum", 1.0), ("momentum", float("nan")), ("lr_start", -1.0),
        ("lr_lr", 0.0), ("syn_steps", 0), ("expert_epochs", 0), ("max_start", 0), ("batch_syn", -1), ("segments", 0),
        ("limit", 0.0), ("expert_count", 0), ("expert_lr", 0.0), ("expert_batch", 0), ("sam", -1.0), ("min_start", -1),
        ("grow", -1), ("average", 1.0), ("lr_labels", -1.0), ("correct", -1),
    ],
)  # fmt: skip
def test_bad_fields_are_named(field: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"--{field.replace('_', '-')} {value}: must be finite"):
        MTT(**{field: value})


def test_starts_must_leave_a_range() -> None:
    with pytest.raises(InputError, match="--min-start 2: must be below --max-start 2"):
        MTT(min_start=2, max_start=2)
    with pytest.raises(InputError, match="augmentation"):
        MTT(augment="bend")


# --- published settings ----------------------------------------------------------------------------------------------


def spec_of(name: str, classes: int, side: int = 32) -> Spec:
    return dataclasses.replace(toys.spec_of(3, side, side, classes), name=name)


@pytest.mark.parametrize(
    ("name", "classes", "ipc", "expected"),
    [
        ("cifar10", 10, 1, (50, 2, 2, 0, 100.0, 1e-7, 0.01, "zca", 3)),
        ("cifar10", 10, 10, (30, 2, 20, 0, 100.0, 1e-5, 0.001, "zca", 21)),
        ("cifar10", 10, 50, (30, 2, 40, 0, 1000.0, 1e-5, 0.001, "none", 41)),
        ("cifar100", 100, 1, (20, 3, 20, 0, 1000.0, 1e-5, 0.01, "zca", 22)),
        ("cifar100", 100, 10, (20, 2, 20, 0, 1000.0, 1e-5, 0.01, "none", 21)),
        ("cifar100", 100, 50, (80, 2, 40, 125, 1000.0, 1e-5, 0.01, "zca", 41)),
        ("tiny_imagenet", 200, 1, (10, 2, 10, 0, 10_000.0, 1e-4, 0.01, "none", 11)),
        ("tiny_imagenet", 200, 10, (20, 2, 40, 200, 10_000.0, 1e-4, 0.01, "none", 41)),
        ("tiny_imagenet", 200, 50, (20, 2, 40, 300, 10_000.0, 1e-4, 0.01, "none", 41)),
    ],
)
def test_published_settings(name: str, classes: int, ipc: int, expected: tuple[Any, ...]) -> None:
    """The table that the authors gave to DC-BENCH."""
    spec = spec_of(name, classes, 64 if name == "tiny_imagenet" else 32)
    method = MTT().resolve(spec, ipc)
    found = (
        method.syn_steps, method.expert_epochs, method.max_start, method.batch_syn, method.lr, method.lr_lr,
        method.lr_start, MTT().whitening(spec, ipc), method.reach,
    )  # fmt: skip
    assert found == expected
    assert published(name, classes, ipc)[1]
    assert reach(name, classes, ipc) == expected[-1]


def test_other_published_numbers() -> None:
    method = MTT().resolve(spec_of("cifar10", 10), 1)
    assert (MTT.steps, MTT.init, method.momentum, method.segments) == (5000, "real", 0.5, 1)
    assert (method.expert_count, method.expert_lr, method.expert_batch) == (100, 0.01, 256)
    assert (method.sam, method.grow, method.average, method.lr_labels, method.correct) == (0, 0, 0, 0, 0)
    assert method.augment == "color_crop_cutout_flip_scale_rotate"
    assert reach("cifar10", 10, None) == 41


@pytest.mark.parametrize(
    ("name", "classes", "ipc", "row"),
    [
        ("mine", 10, 1, ("cifar10", 1)), ("mine", 2, 3, ("cifar10", 1)), ("mine", 12, 4, ("cifar10", 10)),
        ("mine", 90, 22, ("cifar100", 10)), ("mine", 150, 100, ("tiny_imagenet", 50)),
        ("cifar10", 10, 5, ("cifar10", 10)),
    ],
)  # fmt: skip
def test_other_data_take_the_nearest_setting(name: str, classes: int, ipc: int, row: tuple[str, int]) -> None:
    found, exact = published(name, classes, ipc)
    assert found == SETTINGS[row[0]][row[1]]
    assert not exact


def test_whitening_is_for_the_data_it_was_published_for() -> None:
    assert MTT().whitening(spec_of("mine", 10), 1) == "none"
    assert MTT().whitening(spec_of("cifar10", 10, 64), 1) == "none"


def test_the_work_of_experts_counts_for_whether_to_compile(experts: str) -> None:
    real = toys.toy()
    assert METHOD.resolve(real.spec, 2).images_before(real) == 3 * 24 * 2 * 3  # two experts of three epochs
    assert dataclasses.replace(METHOD, sam=0.1).resolve(real.spec, 2).images_before(real) == 6 * 24 * 2 * 3
    assert dataclasses.replace(METHOD, experts=experts).images_before(real) == 0


def test_images_per_step_counts_gradients_and_products() -> None:
    real = toys.toy()
    assert MTT(syn_steps=5, batch_syn=0).images_per_step(real, 2) == 12 * 5 * 6
    assert MTT(syn_steps=5, batch_syn=4, segments=2).images_per_step(real, 2) == 12 * 5 * 4 * 2


def test_snapshots_hold_what_the_artifact_would(tmp_path: Path) -> None:
    out = tmp_path / "run"
    synthetic = distil(out, method=FULL, snapshots=2)
    shown = read_snapshots(out, synthetic)
    assert list(shown) == [0, 2, 4]
    assert all(torch.equal(shown[4].tensors()[name], tensor) for name, tensor in synthetic.tensors().items())
    early = distil(method=FULL, steps=2)
    assert all(torch.equal(shown[2].tensors()[name], tensor) for name, tensor in early.tensors().items())
