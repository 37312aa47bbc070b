"""Random numbers of several updates, drawn at once: those of each drawn by itself."""

import pytest
import torch

from distillset import DC, DM, DSA
from distillset.augment import Table
from distillset.keys import Key
from distillset.methods import Method, Task
from distillset.nets import build
from tests import toys
from tests.runs import distil


@pytest.mark.parametrize("network", [toys.NETWORK, f"{toys.NETWORK}BN"])
@pytest.mark.parametrize("method", [DM(batch_real=6), DSA(batch_real=6), DM(batch_real=20, augment="none")])
def test_updates_drawn_for_at_once(method: Method, network: str) -> None:
    real = toys.toy((12, 3, 5))
    task = Task(real, 2, build(network, real.spec), toys.engine())
    matcher = method.resolve(real.spec, 2).prepare(task)
    assert matcher.ahead == 16
    inputs = [matcher.inputs(step, Key(step)("update", 0)) for step in range(3)]
    for update, state, numbers in zip(inputs, matcher.begins(inputs), matcher.draws(inputs), strict=True):
        alone = matcher.draw(update)
        for name, value in matcher.begin(update).items():
            torch.testing.assert_close(state[name], value, rtol=0, atol=0)
        assert torch.equal(numbers.drawn.rows, alone.drawn.rows)
        assert torch.equal(numbers.drawn.weights, alone.drawn.weights)
        assert isinstance(numbers.how, Table)
        assert torch.equal(numbers.how.numbers, alone.how.numbers)
        assert numbers.how.kinds == alone.how.kinds


@pytest.mark.parametrize("method", [DM(batch_real=6), DC(batch_real=6, outer=3, inner=2, batch_train=4)])
def test_a_run_does_not_depend_on_it(method: Method, monkeypatch: pytest.MonkeyPatch) -> None:
    many = distil(method=method, steps=7)
    monkeypatch.setattr("distillset.engine.engine.AHEAD", 1)
    assert torch.equal(many.images, distil(method=method, steps=7).images)


def test_large_draws_are_made_one_by_one() -> None:
    """Where drawing is work, not Python: 4,096 rows, or 2^20 parameters."""
    engine = toys.engine()
    assert [engine.ahead(rows, 1000) for rows in (1, 256, 2048, 4097)] == [16, 16, 2, 1]
    assert [engine.ahead(1, parameters) for parameters in (2**16, 2**19, 10**7)] == [16, 2, 1]
    assert toys.engine(defers=True).ahead(1, 1) == 1
