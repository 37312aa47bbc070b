"""An evaluation: which sets are trained on, by which recipe, and what is said of it."""

import dataclasses
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from distillset.coresets import select
from distillset.data.real import RealSet
from distillset.data.synthetic import SyntheticSet
from distillset.data.whiten import Whitening
from distillset.errors import InputError
from distillset.evaluation import Ledger
from distillset.keys import Key
from distillset.nets import Source, State, build, canonical
from distillset.sources.load import Data
from distillset.store import read_tensors
from distillset.training import Examples, Recipe, Trainer, TrainingSet
from tests import toys
from tests.evaluation.conftest import Fitted
from tests.evaluation.runs import DATA, SYNTHETIC, run
from tests.nets import own
from tests.watchers import Networks


def test_rows_and_what_they_say() -> None:
    watcher = Networks()
    rows = run(repeats=3, artifact="runs/dm", watcher=watcher)
    assert [(row.artifact, row.network, row.protocol) for row in rows] == [
        ("runs/dm", toys.NETWORK, "dm-3-epochs"), ("random", toys.NETWORK, "dm-3-epochs"),
    ]  # fmt: skip
    for row in rows:
        assert len(row.accuracies) == row.n == 3 == row.sets * row.networks or row.artifact == "random"
        assert row.mean == pytest.approx(statistics.fmean(row.accuracies))
        assert row.std == pytest.approx(statistics.stdev(row.accuracies))
        assert all(0 <= value <= 1 and (value * 30) == pytest.approx(round(value * 30)) for value in row.accuracies)
        assert row.recipe["epochs"] == 3
        assert row.compute["precision"] == "fp32"
        assert row.hardware["device"] == "cpu"
    assert (rows[0].sets, rows[1].sets) == (1, 3)
    assert watcher.heard == [(row.artifact, i + 1, 3, row.accuracies[i]) for row in rows for i in range(3)]


def test_rows_are_json() -> None:
    record = json.loads(json.dumps(run()[0].to_json(), allow_nan=False))
    assert record.keys() >= {"artifact", "network", "protocol", "mean", "std", "n", "sets", "networks", "accuracies"}
    assert record["artifact"] == "synthetic"
    assert isinstance(record["mean"], float)
    assert record["n"] == 2


def test_one_network_has_no_spread() -> None:
    assert run(repeats=1, beside=())[0].std == 0.0


def test_the_accuracy_is_that_of_the_trained_network() -> None:
    """Nothing between `Trainer` and the row: the i-th network by hand."""
    (row,) = run(beside=())
    recipe = Recipe(epochs=3, augmentation="color_crop_cutout_flip_scale_rotate")
    trainer = Trainer(toys.engine(16_384), build(toys.NETWORK, DATA.train.spec), recipe)
    for i in range(2):
        key = Key(0)("evaluate", canonical(toys.NETWORK), i)
        state = trainer.fit(TrainingSet.held(SYNTHETIC.images, SYNTHETIC.labels, key))
        assert trainer.accuracy(state, DATA.test.rows, DATA.test.labels) == row.accuracies[i]


def test_the_baseline_is_redrawn_for_every_network_and_trained_alike(fits: list[Fitted]) -> None:
    run(repeats=3)
    mine, random = fits[:3], fits[3:]
    assert all(torch.equal(fit.images, SYNTHETIC.images) for fit in mine)
    assert all(torch.equal(fit.labels, SYNTHETIC.labels) for fit in mine)
    assert [fit.key for fit in mine] == [fit.key for fit in random], "the same initial weights and orders"
    assert len({fit.key for fit in mine}) == 3
    assert {fit.recipe for fit in fits} == {mine[0].recipe}
    drawn = {tuple(fit.images.flatten().tolist()) for fit in random}
    assert len(drawn) == 3
    real = {tuple(image.flatten().tolist()) for image in DATA.train.rows(torch.arange(len(DATA.train)))}
    for fit in random:
        assert fit.labels.tolist() == [0, 0, 1, 1, 2, 2]
        assert {tuple(image.flatten().tolist()) for image in fit.images} <= real


def test_the_whole_set_has_its_own_protocol(fits: list[Fitted]) -> None:
    rows = run(repeats=1, beside=("random", "whole"))
    assert [row.artifact for row in rows] == ["synthetic", "random", "whole"]
    assert rows[2].protocol == "whole"
    assert rows[2].recipe["epochs"] == 1000  # 24 images are one update an epoch
    assert len(fits[2].labels) == len(DATA.train)
    assert torch.equal(fits[2].labels, DATA.train.labels)


@pytest.mark.usefixtures("fits")
def test_each_network_has_its_rows() -> None:
    rows = run(networks=("ConvNetD1W4", "ConvNetD2W4"), repeats=1)
    assert [(row.artifact, row.network) for row in rows] == [
        (artifact, network) for network in ("ConvNetD1W4", "ConvNetD2W4") for artifact in ("synthetic", "random")
    ]


@pytest.mark.usefixtures("fits")
def test_a_network_with_a_recipe_of_its_own_is_trained_by_it() -> None:
    """DC's rule for ConvNetBN, which says nothing of the others; random images beside it are trained alike."""
    rows = run(networks=("ConvNetD1W8", "ConvNetBN"), protocol="dc", epochs=None)
    found = [(row.artifact, row.recipe["epochs"], row.recipe["augmentation"]) for row in rows]
    published = (1000, "dc/crop_noise")
    assert found == [
        ("synthetic", 300, "none"),
        ("random", 300, "none"),
        ("synthetic", *published),
        ("random", *published),
    ]


def test_soft_labels_are_trained_on(fits: list[Fitted]) -> None:
    soft = torch.nn.functional.one_hot(SYNTHETIC.labels, 3).float() * 0.9 + 0.1 / 3
    run(SyntheticSet(SYNTHETIC.images, soft, SYNTHETIC.spec), repeats=1, beside=())
    assert torch.equal(fits[0].labels, soft)


def test_test_images_and_baseline_are_normalised_as_the_artifact(fits: list[Fitted]) -> None:
    spec = dataclasses.replace(DATA.train.spec, mean=(0.0, 0.1, 0.2), std=(1.0, 0.9, 0.8))
    synthetic = SyntheticSet(spec.normalise(SYNTHETIC.pixels), SYNTHETIC.labels, spec)
    run(synthetic, repeats=1)
    shown = spec.denormalise(fits[1].images)
    pictures = {tuple(image.flatten().tolist()) for image in DATA.train.images}
    assert {tuple(image.flatten().tolist()) for image in shown} <= pictures


def test_a_second_evaluation_trains_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(ledger=Ledger(tmp_path), beside=("random",))

    def fit(self: Trainer, sets: Sequence[TrainingSet]) -> list[State]:
        raise AssertionError("trained")

    monkeypatch.setattr(Trainer, "fit_together", fit)
    again = run(ledger=Ledger(tmp_path), artifact="another name")
    assert [row.accuracies for row in again] == [row.accuracies for row in first]
    assert [row.seconds for row in again] == [row.seconds for row in first]
    assert run(ledger=Ledger(tmp_path), repeats=1)[0].accuracies == first[0].accuracies[:1]


def test_artifacts_of_the_same_size_share_their_baseline(tmp_path: Path, fits: list[Fitted]) -> None:
    run(ledger=Ledger(tmp_path))
    assert len(fits) == 4
    run(select(DATA, "random", 2, seed=8), ledger=Ledger(tmp_path))
    assert len(fits) == 6


@pytest.mark.parametrize(
    ("changes", "trained"),
    [
        ({"seed": 1}, 4),
        ({"epochs": 4}, 4),
        ({"networks": ("ConvNetD1W4",)}, 4),
        ({"networks": (toys.NETWORK.lower(), f"{toys.NETWORK}IN")}, 0),
        ({"networks": (own.Plain,)}, 4),
        ({"machine": dataclasses.replace(toys.EAGER, precision="bf16")}, 4),
        ({"repeats": 3}, 2),
        ({"synthetic": select(DATA, "random", 2, seed=4)}, 2),
        ({"synthetic": select(DATA, "random", 1, seed=4)}, 4),
        ({"data": Data(DATA.train, toys.toy_data().test, "other test")}, 4),
        ({"data": Data(RealSet(DATA.train.images.flip(3), DATA.train.labels, DATA.train.spec), DATA.test, "other")}, 2),
        ({}, 0),
    ],
)
def test_whatever_changes_an_accuracy_is_measured_anew(
    tmp_path: Path, fits: list[Fitted], changes: dict[str, Any], trained: int
) -> None:
    run(ledger=Ledger(tmp_path))
    fits.clear()
    run(ledger=Ledger(tmp_path), **changes)
    assert len(fits) == trained


def test_networks_are_saved_even_when_their_accuracy_is_known(tmp_path: Path) -> None:
    run(ledger=tmp_path / "ledger")
    rows = run(ledger=Ledger(tmp_path / "ledger", tmp_path / "networks"), artifact="runs/a b")
    names = sorted(path.name for path in (tmp_path / "networks").iterdir())
    assert names == sorted(
        f"{what}-{toys.NETWORK}-{i}.safetensors" for what in ("runs-a-b", "random") for i in range(2)
    )
    state, meta = read_tensors(tmp_path / "networks" / f"runs-a-b-{toys.NETWORK}-1.safetensors")
    assert meta["accuracy"] == rows[0].accuracies[1]
    network = build(meta["network"], DATA.test.spec)
    network.load_state_dict(state)
    guesses = network.eval()(DATA.test.rows(torch.arange(30))).argmax(1)
    assert float((guesses == DATA.test.labels).float().mean()) == pytest.approx(meta["accuracy"])


def test_networks_of_your_own_are_told_apart(fits: list[Fitted], tmp_path: Path) -> None:
    mine: list[Source] = [own.small, own.Plain(3, 8, 8, 3), own.Plain(3, 8, 8, 3, hidden=7), own.Normed]
    rows = run(networks=mine, repeats=1, beside=(), ledger=Ledger(tmp_path / "ledger", tmp_path))
    names = [row.network for row in rows]
    assert [name.partition("#")[0] for name in names] == ["small", "Plain", "Plain", "Normed"]
    assert len(set(names)) == len({str(fit.key) for fit in fits}) == len(list(tmp_path.glob("*.safetensors"))) == 4
    state, _ = read_tensors(next(tmp_path.glob("synthetic-small-*-0.safetensors")))
    own.small(3, 8, 8, 3).load_state_dict(state)
    fits.clear()
    run(networks=mine, repeats=1, beside=(), ledger=Ledger(tmp_path / "ledger"))
    assert fits == []


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"repeats": 0}, "repeats=0"),
        ({"networks": ("perceptron",)}, "'perceptron'"),
        ({"protocol": "quick"}, "protocol='quick'"),
        ({"epochs": -2}, "epochs=-2"),
        ({"machine": "tpu"}, "device='tpu'"),
        ({"data": Data(DATA.train, toys.toy((5, 5)), "two classes")}, "do not fit"),
        ({"data": Data(DATA.train, toys.toy(shape=(1, 8, 8)), "grey")}, "do not fit"),
        ({"data": Data(toys.toy((5, 5)), DATA.test, "two classes")}, "do not fit"),
        ({"data": Data(toys.toy(shape=(1, 8, 8)), DATA.test, "grey")}, "do not fit"),
    ],
)
def test_wrong_input_is_named_before_anything_is_trained(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        run(**changes)


@pytest.mark.usefixtures("no_training")
def test_all_networks_are_known_before_the_first_is_trained() -> None:
    with pytest.raises(InputError, match="'perceptron'"):
        run(networks=(toys.NETWORK, "perceptron"))


def test_a_learned_rate_is_the_artifact_s_alone(fits: list[Fitted]) -> None:
    """Published: random images at the protocol's own rate, never at a learned one."""
    synthetic = dataclasses.replace(SYNTHETIC, card={"method": "mtt"}, lr=0.0625)
    rows = run(synthetic, beside=("random", "whole"), repeats=1)
    assert [fitted.recipe.rate for fitted in fits] == [0.0625, 0.01, 0.01]
    assert [row.protocol for row in rows] == ["mtt-3-epochs", "mtt-3-epochs", "whole"]
    assert [row.recipe["rate"] for row in rows] == [0.0625, 0.01, 0.01]
    fits.clear()
    run(synthetic, repeats=1, protocol="dm")
    assert [fitted.recipe.rate for fitted in fits] == [0.01, 0.01]


def test_all_sets_are_whitened_as_the_artifact_is(fits: list[Fitted], monkeypatch: pytest.MonkeyPatch) -> None:
    tested: list[Tensor] = []

    def accuracy(self: Trainer, state: State, examples: Examples, labels: Tensor) -> float:
        tested.append(examples(torch.arange(len(labels))))
        return 0.5

    monkeypatch.setattr(Trainer, "accuracy", accuracy)
    whitening = Whitening.fit(DATA.train.images)
    whitened = DATA.train.whitened(whitening)
    rows = torch.cat([whitened.index(c)[:2] for c in range(3)])
    images, labels = whitened.rows(rows), whitened.labels[rows]
    run(SyntheticSet(images, labels, whitened.spec, whitening=whitening), beside=("random", "whole"), repeats=1)
    assert torch.equal(fits[0].images, images)
    every = whitened.rows(torch.arange(len(whitened)))
    for drawn in fits[1].images:
        assert float((every - drawn).flatten(1).abs().amax(1).min()) < 1e-6
    assert torch.equal(fits[2].images, every)
    expected = DATA.test.whitened(whitening).rows(torch.arange(len(DATA.test)))
    assert all(torch.equal(images, expected) for images in tested)


def test_baselines_under_another_whitening_are_not_the_cached_ones(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    whitening = Whitening.fit(DATA.train.images)
    whitened = DATA.train.whitened(whitening)
    rows = torch.cat([whitened.index(c)[:2] for c in range(3)])
    synthetic = SyntheticSet(whitened.rows(rows), whitened.labels[rows], whitened.spec, whitening=whitening)
    run(ledger=ledger, repeats=1)
    known = len(list(tmp_path.iterdir()))
    run(synthetic, ledger=ledger, repeats=1)
    assert len(list(tmp_path.iterdir())) == known + 2


def test_what_other_streams_gave_is_measured_anew(
    fits: list[Fitted], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An accuracy remembered before random streams, or a network, became others is not one of theirs."""
    ledger = Ledger(tmp_path)
    run(ledger=ledger, beside=())
    trained = len(fits)
    run(ledger=ledger, beside=())
    assert len(fits) == trained
    monkeypatch.setattr("distillset.evaluation.evaluator.STREAMS", 1)
    run(ledger=ledger, beside=())
    assert len(fits) == 2 * trained > 0
