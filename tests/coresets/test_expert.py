"""The network that selectors see with: trained once, found again, and what is read off it."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from distillset.coresets import Expert, expert
from distillset.coresets.expert import expert_recipe
from distillset.data.real import RealSet
from distillset.errors import InputError
from distillset.keys import Key
from distillset.nets import build
from distillset.training import Trainer, TrainingSet
from tests import toys
from tests.oracles import coreset_oracle
from tests.watchers import Notes

REAL = toys.toy(noise=140)
IMAGES = REAL.rows(torch.arange(len(REAL)))


def taught(cache: Path, real: RealSet = REAL, **changes: Any) -> Expert:
    return expert(real, cache=cache, **{"network": toys.NETWORK, "epochs": 6, "machine": toys.EAGER, **changes})


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    calls: list[int] = []
    train = Trainer.train

    def counted(self: Trainer, *given: Any) -> None:
        calls.append(1)
        train(self, *given)

    monkeypatch.setattr(Trainer, "train", counted)
    return calls


def module_of(found: Expert) -> nn.Module:
    network = build(found.network, REAL.spec)
    network.load_state_dict(found.state)
    return network.eval()


def test_features_are_the_embeddings_of_the_trained_network(tmp_path: Path) -> None:
    found = taught(tmp_path)
    rows = torch.tensor([3, 20, 1])
    network = module_of(found)
    torch.testing.assert_close(found.features(REAL, rows), network.embed(IMAGES[rows]))  # type: ignore[operator]
    torch.testing.assert_close(found.probabilities(IMAGES[rows]), F.softmax(network(IMAGES[rows]), 1))
    right = network(IMAGES).argmax(1) == REAL.labels
    assert found.accuracy == pytest.approx(float(right.float().mean()))


def test_events_are_counted_after_every_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = []
    predict = Trainer.predict

    def watched(self: Trainer, *given: Any) -> torch.Tensor:
        logits = predict(self, *given)
        history.append(logits.argmax(1) == REAL.labels)
        return logits

    monkeypatch.setattr(Trainer, "predict", watched)
    found = taught(tmp_path, seed=3)
    assert len(history) == 7
    assert found.events.tolist() == coreset_oracle.forgetting_events(torch.stack(history))
    assert sum(found.events.tolist()) > 0, "a history in which something is forgotten"


def test_watching_does_not_change_the_training(tmp_path: Path) -> None:
    found = taught(tmp_path, network=f"{toys.NETWORK}BN")
    state = found.trainer.fit(TrainingSet.held(IMAGES, REAL.labels, Key(0)("expert")))
    assert all(torch.equal(state[name], found.state[name]) for name in state)


def test_it_is_trained_once(tmp_path: Path, trainings: list[int]) -> None:
    first, again = taught(tmp_path), taught(tmp_path)
    assert (first.known, again.known, len(trainings)) == (False, True, 1)
    assert first.state.keys() == again.state.keys()
    assert all(torch.equal(first.state[name], again.state[name]) for name in first.state)
    assert torch.equal(first.events, again.events)
    assert (first.accuracy, first.seconds) == (again.accuracy, again.seconds)


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"epochs": 5},
        {"network": "ConvNetD1W4"},
        {"machine": dataclasses.replace(toys.EAGER, precision="bf16")},
        {"real": toys.toy(noise=141)},
        {"real": RealSet(REAL.images, REAL.labels, dataclasses.replace(REAL.spec, mean=(0.0, 0.0, 0.0)))},
    ],
)
def test_whatever_changes_it_trains_anew(tmp_path: Path, trainings: list[int], changes: dict[str, Any]) -> None:
    taught(tmp_path)
    assert not taught(tmp_path, **changes).known
    assert len(trainings) == 2


def test_a_damaged_file_is_replaced(tmp_path: Path, trainings: list[int]) -> None:
    first = taught(tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-7])
    assert torch.equal(taught(tmp_path).events, first.events)
    assert taught(tmp_path).known
    assert len(trainings) == 2


def test_a_cache_that_cannot_be_written_costs_no_expert(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told: list[str] = []
    assert not taught(tmp_path / "file" / "cache", watcher=Notes(told)).known
    assert "cannot be written" in told[-1]


@pytest.mark.parametrize(
    ("images", "passes"), [(60_000, 5), (50_000, 5), (25_600, 5), (1437, 84), (24, 1000), (12_800, 10)]
)
def test_five_passes_and_a_thousand_updates(images: int, passes: int) -> None:
    """1437 images are 12 updates of 128 a pass, and 1000 / 12 is 83.3."""
    assert expert_recipe(images).epochs + 1 == passes


def test_bad_input(tmp_path: Path) -> None:
    for changes, told in (({"network": "perceptron"}, "'perceptron'"), ({"epochs": -1}, "epochs=-1")):
        with pytest.raises(InputError, match=told):
            taught(tmp_path, **changes)
