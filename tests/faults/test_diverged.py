"""A network whose logits are not finite has no accuracy: it is named and counted, and no mean knows of it."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from distillset import load, select
from distillset.commands import main
from distillset.data.synthetic import SyntheticSet
from distillset.errors import DivergedError
from distillset.evaluation import Ledger, Protocol, evaluate, table
from distillset.keys import Key
from distillset.nets import Network
from distillset.studies import compare
from distillset.studies.compare import welch
from distillset.training import Recipe, Trainer, TrainingSet
from distillset.watch import Watcher
from tests import toys
from tests.bad_input.case import EAGER
from tests.runs import Recorder, distil
from tests.watchers import Networks, Notes
from tools.results import pooled

FEW: dict[str, Any] = {"networks": (toys.NETWORK,), "protocol": Protocol(epochs=6), "beside": (), "machine": toys.EAGER}


@pytest.fixture
def chosen() -> SyntheticSet:
    return select(toys.toy_data(), "random", 2)


@pytest.mark.parametrize("rate", [1e3, 1e6, 1e12, 1e20, 1e30])
@pytest.mark.parametrize("network", [toys.NETWORK, "mlp", "LeNet"])
def test_rates_that_blow_a_network_up(chosen: SyntheticSet, rate: float, network: str) -> None:
    """Its parameters are NaN, and the class of the largest of NaNs is the first one: chance."""
    trainer = Trainer(toys.engine(), Network.of(network, chosen.spec).module, Recipe(epochs=6, rate=rate))
    state = trainer.fit(TrainingSet.held(chosen.images, chosen.labels, Key(0)))
    with pytest.raises(DivergedError, match=r"the network diverged: .* not finite after training at learning rate"):
        trainer.accuracy(state, lambda rows: chosen.images[rows], chosen.labels)


@pytest.mark.parametrize("rate", [1e3, 1e30])
def test_a_set_whose_learned_rate_diverges_has_no_accuracy(chosen: SyntheticSet, rate: float, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger", tmp_path / "networks")
    notes: list[str] = []
    with pytest.raises(
        DivergedError, match=r"synthetic: the logits of all 2 networks .* not finite .* at learning rate"
    ):
        evaluate(
            replace(chosen, lr=rate), toys.toy_data(), repeats=2, ledger=ledger, watcher=Notes(notes),
            **{**FEW, "protocol": Protocol("mtt", epochs=6)},
        )  # fmt: skip
    assert [note.split(" (")[0] for note in notes] == [f"synthetic: network {i} of 2" for i in (1, 2)]
    assert not list(tmp_path.rglob("*.json")), "nothing is remembered"
    assert not list(tmp_path.rglob("*.safetensors")), "and no network kept"


class Failing(nn.Module):
    """Learns, and returns NaN in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3 * 8 * 8, 3)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.linear(images.flatten(1))
        return logits if self.training else logits * math.nan


def test_a_network_that_returns_nan_is_an_error(chosen: SyntheticSet) -> None:
    with pytest.raises(DivergedError, match="all 3 networks"):
        evaluate(chosen, toys.toy_data(), repeats=3, **{**FEW, "networks": (Failing(),)})


def test_those_that_diverge_are_counted_and_not_averaged(monkeypatch: pytest.MonkeyPatch) -> None:
    """The accuracies of the others are those that they have beside none that diverges."""
    accuracy, tried, known = Trainer.accuracy, 0, []

    def sometimes(self: Trainer, *given: Any) -> float:
        nonlocal tried
        tried += 1
        found = accuracy(self, *given)
        known.append(found)
        if tried % 3 == 0:
            raise DivergedError("the network diverged")
        return found

    monkeypatch.setattr(Trainer, "accuracy", sometimes)
    watcher = Networks()
    (row,) = evaluate(
        select(toys.toy_data(noise=120), "random", 1), toys.toy_data(noise=120), repeats=7,
        watcher=watcher, **FEW,
    )  # fmt: skip
    left = [found for i, found in enumerate(known, 1) if i % 3]
    assert (row.n, row.networks, row.sets, row.diverged) == (5, 5, 1, 2)
    assert list(row.accuracies) == left
    assert row.mean == pytest.approx(sum(left) / 5)
    assert row.std == pytest.approx(torch.tensor(left, dtype=torch.float64).std().item())
    assert [number for _, number, _, _ in watcher.heard] == [1, 2, 4, 5, 7]
    assert "2 of 7 networks" in table([row])
    assert row.to_json()["diverged"] == 2
    assert "diverged," not in table([replace(row, diverged=0)])


def test_rows_of_other_sets_are_not_pooled() -> None:
    what = {"artifact": "dm", "network": "convnet", "protocol": "dm", "labels": "hard", "recipe": {}}
    one = {**what, "accuracies": [0.1], "networks": 1, "sets": 1, "seconds": 1.0, "fingerprint": "a", "diverged": 1}
    with pytest.raises(ValueError, match="fingerprint='b'"):
        pooled([[one], [{**one, "accuracies": [0.2], "fingerprint": "b"}]])
    (both,) = pooled([[one], [{**one, "accuracies": [0.2]}]])
    assert (both["n"], both["diverged"]) == (2, 2)


def test_one_value_alone_has_no_significance() -> None:
    assert welch((0.5,), (0.25, 0.75)) == (0.0, 0.0, None)
    found = compare(
        {"set": select(toys.toy_data(), "random", 1)}, toys.toy_data(), repeats=2, **{**FEW, "beside": ("random",)}
    )
    assert json.dumps(found.to_json(), allow_nan=False)


def test_a_diverged_test_leaves_a_distillation_alone() -> None:
    """What is measured on the way has no influence on the run."""

    def nothing(synthetic: SyntheticSet) -> float:
        raise DivergedError("the network diverged")

    watcher = Recorder()
    made = distil(evaluate=nothing, evaluate_every=2, watcher=watcher)
    assert watcher.told("step 2: no accuracy (the network diverged)")
    assert made.fingerprint() == distil().fingerprint()


def test_the_command_line_says_so_in_one_line(
    chosen: SyntheticSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DISTILLSET_CACHE", str(tmp_path / "cache"))
    toy = load(toys.toy_file(tmp_path / "toy.npz"), watcher=Watcher())
    folder = replace(select(toy, "random", 1), lr=1e6).save(tmp_path / "set")
    few = [
        "--networks",
        toys.NETWORK,
        "--repeats",
        "2",
        "--epochs",
        "3",
        "--beside",
        "none",
        "--protocol",
        "mtt",
        *EAGER,
    ]
    assert main(["evaluate", str(folder), "--save", *few]) == 3
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines()[-1].startswith("distillset: error: ")
    assert not (folder / "accuracy.json").exists()
