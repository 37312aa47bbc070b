"""What every row of SELECTORS must keep."""

from pathlib import Path

import pytest
import torch

from distillset.coresets import SELECTORS, select
from distillset.data.synthetic import SyntheticSet
from distillset.errors import InputError
from distillset.keys import Key
from tests import toys

every = pytest.mark.parametrize("selector", SELECTORS)


@every
@pytest.mark.parametrize("ipc", [1, 3, 5])
def test_ipc_different_rows_of_each_class_class_by_class(selector: str, ipc: int) -> None:
    real = toys.toy()
    rows = SELECTORS[selector](real, ipc, Key(0))
    assert rows.dtype == torch.int64
    assert real.labels[rows].tolist() == [c for c in range(3) for _ in range(ipc)]
    assert len(set(rows.tolist())) == 3 * ipc
    assert torch.equal(rows, SELECTORS[selector](real, ipc, Key(0)))


@every
def test_a_class_that_is_too_small_is_used_again(selector: str) -> None:
    real = toys.toy()
    rows = SELECTORS[selector](real, 11, Key(0))
    assert real.labels[rows].tolist() == [c for c in range(3) for _ in range(11)]
    times = torch.bincount(rows[22:], minlength=len(real))[real.index(2)]
    assert sorted(times.tolist()) == [2, 2, 2, 2, 3]


@every
def test_the_artifact(selector: str, tmp_path: Path) -> None:
    data = toys.toy_data()
    synthetic = select(data, selector, 2, seed=4)
    rows = SELECTORS[selector](data.train, 2, Key(4)("select", selector))
    assert torch.equal(synthetic.pixels, data.train.images[rows])
    assert synthetic.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert synthetic.card["method"] == selector
    assert synthetic.card["settings"] == {"method": selector, "ipc": 2, "seed": 4}
    assert synthetic.card["data"]["fingerprint"] == data.train.fingerprint()
    synthetic.save(tmp_path)
    assert torch.equal(SyntheticSet.load(tmp_path).images, synthetic.images)


@every
def test_ipc_below_one(selector: str) -> None:
    with pytest.raises(InputError, match="--ipc 0: must be at least 1"):
        select(toys.toy(), selector, 0)


def test_an_unknown_selector() -> None:
    with pytest.raises(InputError, match="selector 'best': choose one of random"):
        select(toys.toy(), "best", 1)


def test_random_is_random() -> None:
    real = toys.toy()
    draws = [tuple(SELECTORS["random"](real, 2, Key(seed)).tolist()) for seed in range(200)]
    assert len(set(draws)) > 150
    # Every image of the class of 12 is drawn with probability 1/6: 200 draws, 33 expected, 5 standard deviations 26.
    times = torch.bincount(torch.tensor(draws)[:, :2].flatten(), minlength=len(real))[real.index(0)]
    assert int(times.min()) > 7
    assert int(times.max()) < 60
