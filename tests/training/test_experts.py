"""Experts against plain SGD in float64, and what their folder promises."""

import shutil
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from distillset.augment import Augmentation
from distillset.data.real import RealSet
from distillset.data.whiten import Whitening
from distillset.engine import Engine
from distillset.errors import DivergedError, InputError, InterruptedRun
from distillset.keys import Key, fold, permutation
from distillset.nets import build, fresh
from distillset.store import locked, read_json
from distillset.training import ExpertSetting, Layout, Trajectories, train_experts
from distillset.training.experts import ExpertTrainer
from distillset.watch import Watcher
from tests import toys
from tests.oracles import mtt_oracle as oracle

REAL = toys.toy()
SETTING = ExpertSetting(REAL.fingerprint(), "none", toys.NETWORK.lower(), 0.1, 10, "crop_scale_flip", 0.0, 3)
COUNT, EPOCHS = 2, 3


class Counting(Watcher):
    """Notes what it is told, and stops after some epochs."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.notes: list[str] = []
        self.epochs: list[tuple[int, int]] = []
        self.stop_after = stop_after

    def note(self, line: str) -> None:
        self.notes.append(line)

    def epoch(self, epoch: int, epochs: int, loss: float) -> None:
        self.epochs.append((epoch, epochs))

    def stop(self) -> bool:
        return len(self.epochs) == self.stop_after


def train(folder: Path, **changes: Any) -> Trajectories:
    asked: dict[str, Any] = {
        "engine": toys.engine(), "module": build(toys.NETWORK, REAL.spec), "real": REAL, "setting": SETTING,
        "folder": folder, "count": COUNT, "epochs": EPOCHS, "watcher": Counting(), **changes,
    }  # fmt: skip
    return train_experts(**asked)


@pytest.fixture(scope="module")
def experts(tmp_path_factory: pytest.TempPathFactory) -> Trajectories:
    return train(tmp_path_factory.mktemp("experts") / "whole")


def assert_same(a: Trajectories, b: Trajectories, count: int = COUNT, epochs: int = EPOCHS) -> None:
    for expert in range(count):
        for epoch in range(epochs + 1):
            assert a.path(expert, epoch).read_bytes() == b.path(expert, epoch).read_bytes(), (expert, epoch)


def test_an_epoch_is_plain_sgd_over_augmented_batches(experts: Trajectories) -> None:
    network = partial(oracle.convnet, width=8, depth=1, classes=3)
    vector = experts.state(1, 0).double()
    key = Key(3)("expert", 1)
    for epoch in range(EPOCHS):
        order = permutation(fold(key("order").words(), epoch), len(REAL), len(REAL))
        batches, starts = [], range(0, len(REAL), 10)
        for update, start in enumerate(starts):
            rows = order[start : start + 10]
            stream = fold(key("augment").words(), epoch * len(starts) + update)
            draw = Augmentation.parse("crop_scale_flip").draw(stream, REAL.spec.shape, len(rows))
            batches.append((draw.apply(REAL.rows(rows)).double(), REAL.labels[rows]))
        vector = oracle.minibatch_training(network, vector, batches, 0.1)
        torch.testing.assert_close(experts.state(1, epoch + 1).double(), vector, rtol=1e-3, atol=1e-5)


def test_sharpness_aware_epochs_take_the_gradient_uphill() -> None:
    """One batch: p - lr g(p + rho g / |g|)."""
    setting = replace(SETTING, batch=100, augment="none", sam=0.5)
    trainer = ExpertTrainer(toys.engine(), build(toys.NETWORK, REAL.spec), REAL, setting)
    network = partial(oracle.convnet, width=8, depth=1, classes=3)
    start = trainer.start(0)
    order = permutation(fold(Key(3)("expert", 0)("order").words(), 0), len(REAL), len(REAL))
    batch = (REAL.rows(order).double(), REAL.labels[order])
    slope = start.double() - oracle.minibatch_training(network, start.double(), [batch], 1.0)
    uphill = start.double() + 0.5 * slope / slope.norm()
    expected = start.double() + oracle.minibatch_training(network, uphill, [batch], 0.1) - uphill
    found, _ = trainer.epoch(start, 0, 0)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-6)
    plain, _ = ExpertTrainer(toys.engine(), trainer.module, REAL, replace(setting, sam=0.0)).epoch(start, 0, 0)
    assert float((plain - found).abs().max()) > 1e-4


def test_micro_batches_change_nothing(experts: Trajectories, tmp_path: Path) -> None:
    split = train(tmp_path / "split", engine=toys.engine(3), count=1)
    torch.testing.assert_close(split.state(0, EPOCHS), experts.state(0, EPOCHS), rtol=1e-3, atol=1e-5)


def test_every_state_is_a_copy() -> None:
    """The published code keeps the live weights, so that on a CPU all epochs are the last one."""
    trainer = ExpertTrainer(toys.engine(), build(toys.NETWORK, REAL.spec), REAL, SETTING)
    start = trainer.start(0)
    before = start.clone()
    first, _ = trainer.epoch(start, 0, 0)
    kept = first.clone()
    second, _ = trainer.epoch(first, 0, 1)
    assert torch.equal(start, before)
    assert torch.equal(first, kept)
    assert float((start - first).norm()) > 0
    assert float((first - second).norm()) > 0


def test_states_differ_and_experts_differ(experts: Trajectories) -> None:
    states = [experts.state(expert, epoch) for expert in range(COUNT) for epoch in range(EPOCHS + 1)]
    for i, state in enumerate(states):
        assert state.dtype == torch.float32
        assert all(not torch.equal(state, other) for other in states[:i])


def test_experts_learn(tmp_path: Path) -> None:
    setting = replace(SETTING, augment="none")
    trainer = ExpertTrainer(toys.engine(), build(toys.NETWORK, REAL.spec), REAL, setting)
    vector, losses = trainer.start(0), []
    for epoch in range(15):
        vector, loss = trainer.epoch(vector, 0, epoch)
        losses.append(loss)
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize("stops", [[1], [2, 1], [3], [5]])
def test_stopped_experts_go_on_bit_for_bit(experts: Trajectories, tmp_path: Path, stops: list[int]) -> None:
    for count in stops:
        with pytest.raises(InterruptedRun, match="run the same command again to resume"):
            train(tmp_path / "out", watcher=Counting(count))
    watcher = Counting()
    assert_same(train(tmp_path / "out", watcher=watcher), experts)
    assert watcher.epochs == [(done, COUNT * EPOCHS) for done in range(sum(stops) + 1, COUNT * EPOCHS + 1)]


def test_more_experts_and_epochs_may_be_asked_for(experts: Trajectories, tmp_path: Path) -> None:
    train(tmp_path / "out", count=1, epochs=1)
    assert_same(train(tmp_path / "out"), experts)
    watcher = Counting()
    train(tmp_path / "out", watcher=watcher)
    assert watcher.epochs == []
    train(tmp_path / "out", count=1, epochs=1, watcher=watcher)
    assert watcher.epochs == []


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "missing"])
def test_a_damaged_state_is_trained_again(experts: Trajectories, tmp_path: Path, damage: str) -> None:
    out = tmp_path / "out"
    shutil.copytree(experts.folder, out)
    path = Trajectories.open(out).path(0, EPOCHS)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.unlink()
    if damage != "missing":
        path.write_bytes({"cut": bytes(content[:50]), "changed": bytes(content), "empty": b""}[damage])
        with pytest.raises(InputError, match="epoch-03"):
            Trajectories.open(out).state(0, EPOCHS)
    watcher = Counting()
    assert_same(train(out, watcher=watcher, epochs=EPOCHS + 1), train(tmp_path / "other", epochs=EPOCHS + 1))
    assert (damage == "missing") or any("trained again" in note for note in watcher.notes)
    (out / "expert-000" / ".epoch-03.safetensors.7.tmp").write_bytes(b"half")
    assert_same(train(out, count=COUNT + 1), experts)
    assert not list(out.rglob(".*.tmp"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("data", "other"), ("whiten", "zca"), ("network", "mlp"), ("lr", 0.2), ("batch", 9), ("augment", "none"),
        ("sam", 0.1), ("seed", 4),
    ],
)  # fmt: skip
def test_settings_never_mix(experts: Trajectories, field: str, value: Any) -> None:
    other = replace(SETTING, **{field: value})
    with pytest.raises(InputError, match=f"{field} {value!r} is needed, but these experts have {field}"):
        train(experts.folder, setting=other)


def test_parameters_of_another_network(experts: Trajectories) -> None:
    with pytest.raises(InputError, match="parameters of these experts are not those of the network"):
        train(experts.folder, module=build("ConvNetD1W4", REAL.spec))


def test_another_precision_is_refused_where_it_would_matter(experts: Trajectories) -> None:
    other = Engine(replace(toys.engine().compute, precision="bf16"))
    train(experts.folder, engine=other)
    with pytest.raises(InputError, match=r"precision='bf16': the experts in .* were begun with fp32"):
        train(experts.folder, engine=other, count=COUNT + 1)


def test_the_card_says_what_they_are(experts: Trajectories) -> None:
    card = read_json(experts.folder / "experts.json")
    assert card["setting"] == asdict(SETTING)
    assert card["compute"]["precision"] == "fp32"
    assert card["parameters"][0] == ["features.0.weight", [8, 3, 3, 3]]
    assert Trajectories.open(experts.folder).card == card


def test_disk_is_told_and_checked_before_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watcher = Counting()
    train(tmp_path / "out", watcher=watcher)
    parameters = Layout(build(toys.NETWORK, REAL.spec)).size
    told = COUNT * (EPOCHS + 1) * (4 * parameters + 600)
    assert f"{told / 1e6:,.1f} MB of disk needed" in watcher.notes[0]
    used = Trajectories.open(tmp_path / "out").bytes(range(COUNT))
    assert 0.7 * told < used <= told
    usage = type("Usage", (), {"free": told - 1})
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage)
    with pytest.raises(InputError, match=r"MB of disk needed, .* MB free; fewer experts or epochs need less"):
        train(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_folder_in_use_or_of_others_is_refused(tmp_path: Path) -> None:
    with locked(tmp_path / "out"), pytest.raises(InputError, match="another run is using this folder"):
        train(tmp_path / "out")
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(InputError, match="holds other files and no experts"):
        train(tmp_path)
    with pytest.raises(InputError, match=r"no experts\.json"):
        Trajectories.open(tmp_path)


def test_divergence_is_told(tmp_path: Path) -> None:
    setting = replace(SETTING, lr=1e30, network=f"{toys.NETWORK}nn")
    with pytest.raises(DivergedError, match=r"expert 0 diverged in epoch 1: .*try a smaller learning rate") as caught:
        train(tmp_path / "out", setting=setting, module=build(f"{toys.NETWORK}NN", REAL.spec))
    assert caught.value.exit_code == 3
    assert Trajectories.open(tmp_path / "out").last(0) == 0


def test_whitened_data_are_seen_whitened(tmp_path: Path) -> None:
    whitened = REAL.whitened(Whitening.fit(REAL.images))
    setting = replace(SETTING, whiten="zca")
    plain, other = (
        ExpertTrainer(toys.engine(), build(toys.NETWORK, REAL.spec), real, setting) for real in (REAL, whitened)
    )
    start = plain.start(0)
    assert torch.equal(start, other.start(0))
    assert not torch.equal(plain.epoch(start, 0, 0)[0], other.epoch(start, 0, 0)[0])


def test_vectors_and_states_are_the_same_numbers() -> None:
    module = build("ConvNetD2W4", REAL.spec)
    layout = Layout(module)
    state = fresh(module, Key(0))
    vector = layout.flatten(state)
    assert vector.shape == (layout.size,)
    assert all(torch.equal(layout.unflatten(vector)[name], value) for name, value in state.items())
    vector.zero_()
    assert float(state["features.0.weight"].abs().max()) > 0


@pytest.mark.parametrize(("field", "value"), [("lr", 0.0), ("lr", float("nan")), ("batch", 0), ("sam", -0.1)])
def test_bad_settings_are_named(field: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"{field}={value}"):
        replace(SETTING, **{field: value})


def test_a_set_is_not_needed_in_memory() -> None:
    """Rows are asked for, batch by batch."""

    class Counting(RealSet):
        asked: list[int]

        def rows(self, rows: torch.Tensor, device: torch.device | str = "cpu") -> torch.Tensor:
            self.asked.append(len(rows))
            return super().rows(rows, device)

    real = Counting(REAL.images, REAL.labels, REAL.spec)
    real.asked = []
    trainer = ExpertTrainer(toys.engine(), build(toys.NETWORK, REAL.spec), real, SETTING)
    trainer.epoch(trainer.start(0), 0, 0)
    assert real.asked == [10, 10, 4]
