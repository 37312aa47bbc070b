"""The choice among snapshots: by validation images, with the test set only under its name."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from distillset.coresets import select
from distillset.data.synthetic import SyntheticSet
from distillset.errors import InputError
from distillset.evaluation import Ledger, Protocol, Row, Snapshots, evaluate, read_snapshots
from distillset.evaluation.snapshots import VALIDATION, VALIDATION_KEY
from distillset.keys import Key
from distillset.nets import State
from distillset.store import write_tensors
from distillset.training import Examples, Trainer, TrainingSet
from tests import toys

DATA = toys.toy_data((60, 50, 40))
GOOD = select(DATA, "random", 3)
WRONG = replace(GOOD, labels=(GOOD.labels + 1) % 3)
SNAPSHOTS = {0: WRONG, 5: GOOD, 10: WRONG}
HELD = DATA.train.split(VALIDATION, VALIDATION_KEY)[1]


def run(ledger: Ledger | None = None, seed: int = 0, select: str = "last", best_on_test: bool = False) -> list[Row]:
    return evaluate(
        WRONG, DATA, artifact="run", networks=(toys.NETWORK,), repeats=2, protocol=Protocol(epochs=40), beside=(),
        snapshots=Snapshots(SNAPSHOTS, select, best_on_test), ledger=ledger, seed=seed, machine=toys.EAGER,
    )  # fmt: skip


@pytest.fixture
def tested(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Key, int]]:
    """The key of every network trained, and how many images it was tested on."""
    calls: list[tuple[Key, int]] = []
    fit, test = Trainer.fit_together, Trainer.accuracy
    keys: list[Key] = []

    def fitted(self: Trainer, sets: Sequence[TrainingSet]) -> list[State]:
        keys.extend(own.key for own in sets)
        return fit(self, sets)

    def counted(self: Trainer, state: State, examples: Examples, labels: Tensor) -> float:
        calls.append((keys[-1], len(labels)))
        return test(self, state, examples, labels)

    monkeypatch.setattr(Trainer, "fit_together", fitted)
    monkeypatch.setattr(Trainer, "accuracy", counted)
    return calls


def test_validation_chooses_and_the_test_set_measures(tested: list[tuple[Key, int]]) -> None:
    (last,) = run()
    assert last.mean < 0.3
    tested.clear()
    (row,) = run(select="validation")
    assert (row.artifact, row.step) == ("run", 5)
    assert row.mean > 0.9
    assert row.chosen.startswith("validation: step 5 of 0, 5, 10; ")
    assert [count for _, count in tested] == [len(HELD)] * 6 + [len(DATA.test)] * 2
    assert len(HELD) == 15 != len(DATA.test)
    chose, measured = {key for key, _ in tested[:6]}, {key for key, _ in tested[6:]}
    assert not chose & measured, "the networks that choose are not those that are reported"


def test_validation_images_are_training_images_that_no_seed_moves() -> None:
    real = {tuple(image.flatten().tolist()) for image in DATA.train.images}
    assert {tuple(image.flatten().tolist()) for image in HELD.images} <= real
    assert torch.bincount(HELD.labels).tolist() == [6, 5, 4]
    assert torch.equal(DATA.train.split(VALIDATION, VALIDATION_KEY)[1].images, HELD.images)


def test_best_on_test_has_its_own_name() -> None:
    rows = run(best_on_test=True)
    assert [(row.artifact, row.step, row.chosen[:15]) for row in rows] == [
        ("run", None, "last"), ("run best-on-test", 5, "the test set it"),
    ]  # fmt: skip
    assert rows[0].mean < 0.3 < 0.9 < rows[1].mean


def test_choosing_is_remembered(tmp_path: Path, tested: list[tuple[Key, int]]) -> None:
    run(Ledger(tmp_path), select="validation")
    tested.clear()
    assert run(Ledger(tmp_path), select="validation")[0].step == 5
    assert tested == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (({},), "snapshots={}: there are none to choose among"),
        (([GOOD],), "must be a mapping of steps to sets"),
        (({1: GOOD.images},), "must be sets by their steps"),
        ((SNAPSHOTS, "best"), "select='best': choose last or validation"),
        ((SNAPSHOTS, "last", 1), "best_on_test=1: must be True or False"),
    ],
)
def test_wrong_choices_are_named(arguments: tuple[Any, ...], told: str) -> None:
    with pytest.raises(InputError, match=told):
        Snapshots(*arguments)


def test_snapshots_of_a_run(tmp_path: Path) -> None:
    for step, snapshot in SNAPSHOTS.items():
        write_tensors(tmp_path / "snapshots" / f"step-{step}.safetensors", {"images": snapshot.images + step})
    (tmp_path / "snapshots" / "step-x.safetensors").write_text("a stranger")
    found = read_snapshots(tmp_path, GOOD)
    assert list(found) == [0, 5, 10]
    for step, snapshot in found.items():
        assert torch.equal(snapshot.images, GOOD.images + step)
        assert torch.equal(snapshot.labels, GOOD.labels)
        assert snapshot.spec == GOOD.spec


def test_soft_labels_of_a_snapshot(tmp_path: Path) -> None:
    soft = torch.eye(3)[GOOD.labels] * 0.7 + 0.1
    write_tensors(tmp_path / "snapshots" / "step-2.safetensors", {"images": GOOD.images, "labels": soft})
    assert torch.equal(read_snapshots(tmp_path, GOOD)[2].labels, soft)


def test_what_are_no_snapshots(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no snapshots"):
        read_snapshots(tmp_path, GOOD)
    path = tmp_path / "snapshots" / "step-3.safetensors"
    write_tensors(path, {"pictures": GOOD.images})
    with pytest.raises(InputError, match="tensor images is missing"):
        read_snapshots(tmp_path, GOOD)
    write_tensors(path, {"images": GOOD.images[:4]})
    with pytest.raises(InputError, match=r"step-3.safetensors: labels .* expected int64 \[4\]"):
        read_snapshots(tmp_path, GOOD)
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"step-3.safetensors: damaged"):
        read_snapshots(tmp_path, GOOD)


def test_a_selector_has_none(tmp_path: Path) -> None:
    folder = GOOD.save(tmp_path / "coreset")
    with pytest.raises(InputError, match="holds no snapshots"):
        read_snapshots(folder, SyntheticSet.load(folder))
