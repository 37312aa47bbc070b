"""What every row of METHODS must keep."""

import dataclasses
import json
from typing import Any

import pytest
import torch
from torch import Tensor

from distillset.engine import Engine
from distillset.errors import InputError
from distillset.keys import Key
from distillset.methods import METHODS, Matcher, Task
from distillset.nets import build
from tests import toys
from tests.methods.exact import update_of

pytestmark = pytest.mark.parametrize("name", METHODS)
IPC = 2
QUICK: dict[str, dict[str, Any]] = {"mtt": {"expert_count": 2, "max_start": 2, "syn_steps": 4}}
"""Fields of a method that is slow as published."""


def method_of(name: str) -> Any:
    return METHODS[name](**QUICK.get(name, {}))


def matcher_of(name: str, engine: Engine | None = None, network: str = toys.NETWORK) -> tuple[Matcher, Task]:
    real = toys.toy()
    task = Task(real, IPC, build(network, real.spec), engine or toys.engine())
    return method_of(name).resolve(real.spec, IPC).prepare(task), task


def start(matcher: Matcher) -> dict[str, Tensor]:
    images = torch.randn(3 * IPC, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    return {leaf_name: leaf.start.clone() for leaf_name, leaf in matcher.leaves(images).items()}


def first_update(matcher: Matcher, leaves: dict[str, Tensor], key: Key) -> dict[str, Tensor]:
    """Loss (under no name) and gradients of the first update of an episode."""
    loss, gradients = update_of(matcher, leaves, key, step=0)
    return {"": loss, **gradients}


def test_it_is_a_frozen_record_of_plain_values(name: str) -> None:
    kind = METHODS[name]
    assert kind.name == name
    assert kind.steps > 0
    resolved = kind().resolve(toys.toy().spec, IPC)
    assert json.loads(json.dumps(dataclasses.asdict(resolved))) == dataclasses.asdict(resolved)
    assert None not in dataclasses.asdict(resolved).values()
    assert "auto" not in dataclasses.asdict(resolved).values()
    assert resolved.resolve(toys.toy().spec, IPC) == resolved
    with pytest.raises(dataclasses.FrozenInstanceError):
        resolved.lr = 2.0  # type: ignore[misc]


def test_bad_rates_are_refused(name: str) -> None:
    kind: Any = METHODS[name]
    for lr in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="lr="):
            kind(lr=lr)


def test_it_says_what_a_step_costs(name: str) -> None:
    real = toys.toy()
    assert METHODS[name]().images_per_step(real, 2) > METHODS[name]().images_per_step(real, 1) > 0


def test_images_start_where_they_are_told(name: str) -> None:
    matcher, _ = matcher_of(name)
    images = torch.randn(3 * IPC, 3, 8, 8)
    leaves = matcher.leaves(images)
    assert torch.equal(leaves["images"].start, images)
    assert all(leaf.lr > 0 and 0 <= leaf.momentum < 1 for leaf in leaves.values())


def test_an_episode_is_a_function_of_leaves_and_key(name: str) -> None:
    matcher, _ = matcher_of(name)
    leaves = start(matcher)
    before = {leaf_name: leaf.clone() for leaf_name, leaf in leaves.items()}
    first = first_update(matcher, leaves, Key(0)("step", 0))
    first_update(matcher, leaves, Key(5)("step", 9))
    torch.manual_seed(3)
    again = first_update(matcher, leaves, Key(0)("step", 0))
    other = first_update(matcher, leaves, Key(0)("step", 1))
    for what in first:
        assert torch.equal(first[what], again[what])
    assert not torch.equal(first["images"], other["images"])
    assert all(torch.equal(leaves[leaf_name], before[leaf_name]) for leaf_name in leaves), "the loop owns the leaves"


def test_every_class_is_moved(name: str) -> None:
    matcher, task = matcher_of(name)
    leaves = start(matcher)
    first = first_update(matcher, leaves, Key(0)("step", 0))
    for c in range(3):
        assert float(first["images"][task.rows(slice(c, c + 1))].abs().max()) > 0
    assert float(first[""]) > 0
    assert not first["images"].requires_grad


def test_micro_batches_and_blocks_do_not_change_the_update(name: str) -> None:
    leaves = start(matcher_of(name)[0])
    whole, split = (
        first_update(matcher_of(name, toys.engine(micro_batch))[0], leaves, Key(0)("step", 0))
        for micro_batch in (1000, 3)
    )
    torch.testing.assert_close(split["images"], whole["images"], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(split[""], whole[""], rtol=1e-5, atol=0)


@pytest.mark.parametrize("network", ["ConvNetD1W8BN", "ConvNetD1W8NN", "ConvNetD2W4ASwishLNMP"])
def test_other_networks(name: str, network: str) -> None:
    matcher, _ = matcher_of(name, network=network)
    found = first_update(matcher, start(matcher), Key(0)("step", 0))
    assert torch.isfinite(found["images"]).all()
    assert float(found["images"].abs().max()) > 0
