"""Second derivatives of networks of one's own: attention has them in its plain form, and what has none is named."""

import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad
from torch.nn import functional as F

import distillset as ds
from distillset.errors import InputError
from distillset.keys import Key
from distillset.nets import Network, fresh
from distillset.nets.twice import check_twice, math_attention
from tests import toys
from tests.nets import own

SPEC = toys.spec_of(3, 8, 8, 3)
METHODS: dict[str, Any] = {
    "dc": ds.DC(batch_real=4, outer=2, inner=1),
    "dsa": ds.DSA(batch_real=4, outer=1, inner=1),
    "mtt": ds.MTT(syn_steps=2, expert_epochs=1, max_start=1, expert_count=1, expert_batch=8, lr=1.0, lr_start=0.01),
}


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("network", [own.Attentive, own.Encoder, own.Spare])
def test_networks_with_attention_and_unused_parameters_are_distilled_by(name: str, network: Any) -> None:
    made = ds.distill(toys.toy(), METHODS[name], 1, steps=2, network=network, machine=toys.EAGER)
    assert made.images.shape == (3, 3, 8, 8)
    assert not torch.equal(made.images, ds.distill(toys.toy(), METHODS[name], 1, steps=0, network=network).images)


def test_attention_in_its_plain_form_is_softmax_of_products() -> None:
    """The second derivative against that of the written-out formula."""
    query, key, value = torch.randn(3, 2, 1, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def written(query: Tensor) -> Tensor:
        mixed: Tensor = torch.softmax(query @ key.transpose(-1, -2) / 2, -1) @ value  # sqrt(4)
        return mixed

    def twice(attention: Any) -> Tensor:
        found: Tensor = grad(lambda q: grad(lambda q: attention(q).square().sum())(q).square().sum())(query)
        return found

    with math_attention():
        found = twice(lambda q: F.scaled_dot_product_attention(q, key, value))
    torch.testing.assert_close(found, twice(written))


@pytest.mark.parametrize("name", METHODS)
def test_what_has_none_is_named_before_anything_is_written(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"network Once.*: has no second derivative, which {name} needs .*twice"):
        ds.distill(toys.toy(), METHODS[name], 1, steps=1, network=own.Once, out=tmp_path / "run", machine=toys.EAGER)
    assert list(tmp_path.iterdir()) == []
    made = ds.distill(toys.toy(), ds.DM(batch_real=4), 1, steps=1, network=own.Once, machine=toys.EAGER)
    assert made.images.shape == (3, 3, 8, 8)


def test_outputs_for_training_alone_are_named() -> None:
    told = r"network Auxiliary: forward, in training mode, gives tuple; a tensor \[n, 3\] is needed"
    with pytest.raises(InputError, match=told):
        Network.of(own.Auxiliary, SPEC)


def test_published_networks_need_no_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network.of("convnet", toys.spec_of(3, 8, 8, 3))
    monkeypatch.setattr(nn.Module, "eval", lambda self: pytest.fail("tried"))
    check_twice(network, SPEC, "dc")


def switches() -> tuple[bool, bool, bool]:
    cuda = torch.backends.cuda
    return cuda.flash_sdp_enabled(), cuda.math_sdp_enabled(), torch.backends.mha.get_fastpath_enabled()


def test_the_switches_are_put_back_when_the_last_run_ends() -> None:
    before, inside = switches(), threading.Event()
    left = threading.Event()

    def other() -> None:
        with math_attention():
            inside.set()
            left.wait(10)

    thread = threading.Thread(target=other)
    with math_attention():
        thread.start()
        assert inside.wait(10)
    assert switches() == (False, True, False)  # the other run is still in
    left.set()
    thread.join()
    assert switches() == before
    state = fresh(Network.of(own.Attentive, SPEC).module, Key(0))
    assert functional_call(Network.of(own.Attentive, SPEC).module, state, (torch.zeros(2, 3, 8, 8),)).shape == (2, 3)
