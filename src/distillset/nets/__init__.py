"""Networks by name, used as pure functions of their state.

A network is an `nn.Module` with ``embed(images)`` and ``forward(images)``; its module is only the structure. The
numbers live in a `State`, made by `fresh` from a key and handed over at every call, so that a compiled function serves
every network.
"""

from collections.abc import Callable

import torch
from torch import nn

from distillset.data.spec import Spec
from distillset.engine.engine import State
from distillset.errors import InputError
from distillset.keys import Key
from distillset.nets.batch_norm import calibrated, mixes_images
from distillset.nets.convnet import ConvNet, ConvNetConfig


def _convnet(name: str, spec: Spec) -> nn.Module | None:
    config = ConvNetConfig.parse(name)
    return None if config is None else ConvNet(*spec.shape, spec.classes, config)


NETWORKS: dict[str, Callable[[str, Spec], nn.Module | None]] = {"convnet": _convnet}
"""Family name to a function that builds the network a name stands for, or returns None if the name is not of the
family.
"""


def build(name: str, spec: Spec) -> nn.Module:
    """The module for ``name`` (any case) on images of ``spec``. Its own parameters are arbitrary: see `fresh`.

    Raises:
        InputError: no family knows the name, or the images do not fit the network.
    """
    # Layers draw their parameters from the global stream, which is the caller's.
    with torch.random.fork_rng(devices=[]):
        for family in NETWORKS.values():
            module = family(name, spec)
            if module is not None:
                return module
    known = ", ".join(NETWORKS)
    raise InputError(
        f"network {name!r}: not known; choose {known}, or a variant such as ConvNetD4, ConvNetW256, ConvNetBN"
    )


def fresh(module: nn.Module, key: Key, device: torch.device | str = "cpu") -> State:
    """A newly initialised state of ``module``: PyTorch's own initialisation of each layer, from ``key`` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key.integer())
        for layer in module.modules():
            reset = getattr(layer, "reset_parameters", None)
            if callable(reset):
                reset()
    return {name: value.detach().to(device, copy=True) for name, value in module.state_dict().items()}


__all__ = ["NETWORKS", "State", "build", "calibrated", "fresh", "mixes_images"]
