"""What every row of SELECTORS must keep: the public battery, `distillset.testing.check_selector`, part by part."""

from pathlib import Path
from typing import Any

import pytest
import torch

from distillset.coresets import SELECTORS, Expert, choose_rows, select
from distillset.errors import InputError
from distillset.keys import Key
from distillset.testing.selectors import (
    EPOCHS,
    MACHINE,
    check_artifact,
    check_inputs,
    check_rows,
    check_small_class,
    teacher,
)
from tests import toys

every = pytest.mark.parametrize("selector", SELECTORS)
EXPERT: dict[str, Any] = {"network": toys.NETWORK, "epochs": EPOCHS, "machine": MACHINE}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("experts")


@pytest.fixture(scope="module")
def taught(cache: Path) -> Expert:
    return teacher(cache)


@every
@pytest.mark.parametrize("ipc", [1, 3, 5])
def test_ipc_different_rows_of_each_class_class_by_class(selector: str, ipc: int, taught: Expert) -> None:
    check_rows(selector, ipc, taught)


@every
def test_a_class_that_is_too_small_is_used_again(selector: str, taught: Expert) -> None:
    check_small_class(selector, taught)
    real = toys.toy()
    rows = choose_rows(selector, real, 11, Key(0), taught)
    assert real.labels[rows].tolist() == [c for c in range(3) for _ in range(11)]
    times = torch.bincount(rows[22:], minlength=len(real))[real.index(2)]
    assert sorted(times.tolist()) == [2, 2, 2, 2, 3]


@every
def test_what_it_sees(selector: str, taught: Expert) -> None:
    check_inputs(selector, taught)


@every
def test_the_artifact(selector: str, tmp_path: Path, cache: Path, taught: Expert) -> None:
    check_artifact(selector, cache, tmp_path)
    data = toys.toy_data()
    synthetic = select(data, selector, 2, cache=cache, **EXPERT)
    settings = dict(synthetic.card["settings"])
    if SELECTORS[selector].sees != "rows":
        assert settings.pop("expert") == taught.to_json()
        assert synthetic.card["metrics"]["expert_seconds"] >= 0
    assert settings == {"method": selector, "ipc": 2, "seed": 0}
    assert synthetic.card["metrics"]["seconds"] >= 0
    assert synthetic.card["metrics"]["memory"] > 1e6
    assert synthetic.card["data"]["fingerprint"] == data.train.fingerprint()


@every
def test_ipc_below_one(selector: str) -> None:
    with pytest.raises(InputError, match="ipc=0: must be at least 1"):
        select(toys.toy(), selector, 0)


def test_an_unknown_selector() -> None:
    with pytest.raises(InputError, match="selector='best': choose one of random"):
        select(toys.toy(), "best", 1)


def test_either_spelling(cache: Path) -> None:
    found = [select(toys.toy(), name, 2, cache=cache, **EXPERT) for name in ("k_center", "k-center")]
    assert torch.equal(found[0].images, found[1].images)
    assert found[0].card["method"] == "k-center"


def test_random_is_random() -> None:
    real = toys.toy()
    draws = [tuple(choose_rows("random", real, 2, Key(seed)).tolist()) for seed in range(200)]
    assert len(set(draws)) > 150
    # Every image of the class of 12 is drawn with probability 1/6: 200 draws, 33 expected, 5 standard deviations 26.
    times = torch.bincount(torch.tensor(draws)[:, :2].flatten(), minlength=len(real))[real.index(0)]
    assert int(times.min()) > 7
    assert int(times.max()) < 60


def test_random_is_what_it_always_was() -> None:
    """The rows that `RealSet.draw_rows` gives: accuracies measured before stay comparable."""
    real = toys.toy()
    expected = torch.cat([real.draw_rows(c, 4, Key(3)(c)) for c in range(3)])
    assert torch.equal(choose_rows("random", real, 4, Key(3)), expected)
