"""A network as a pure function of its state."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn
from torch.func import functional_call

from distillset.engine.features import LAST_LAYER, features, layers_of

State = dict[str, Tensor]
"""Parameters and buffers of a network by name."""
Rowwise = Callable[[State, Tensor], Tensor]
Loss = Callable[..., Tensor]


def embedding(network: nn.Module) -> Rowwise:
    """The pure function ``(state, images [n, C, H, W]) -> features [n, d]``.

    Raises:
        InputError: `features` finds none.
    """
    return _inside(features(network), network)


def embeddings(network: nn.Module, layers: str | Sequence[str]) -> Callable[[State, Tensor], Sequence[Tensor]]:
    """The pure function ``(state, images [n, C, H, W]) -> [features [n, d]]`` of each of some layers.

    Raises:
        InputError: see `distillset.engine.features.layers_of`.
    """
    if layers != LAST_LAYER:
        return _inside(layers_of(network, layers), network)
    last = embedding(network)
    return lambda state, images: (last(state, images),)


def _inside(module: nn.Module, network: nn.Module) -> Callable[[State, Tensor], Any]:
    """``module``, which has the parameters of ``network`` behind ``network.``, as a function of those."""
    tied = shares_parameters(network)
    names: dict[str, str] = {}

    def embed(state: State, images: Tensor) -> Any:
        renamed = {names.setdefault(name, f"network.{name}"): value for name, value in state.items()}
        return functional_call(module, renamed, (images,), tie_weights=tied)

    return embed


def logits(network: nn.Module) -> Rowwise:
    """The pure function ``(state, images [n, C, H, W]) -> logits [n, classes]``."""
    tied = shares_parameters(network)
    return lambda state, images: functional_call(network, state, (images,), tie_weights=tied)


def shares_parameters(network: nn.Module) -> bool:
    """Whether a parameter has several names; where none has, looking for them at every call would be time lost."""
    names = [sum(1 for _ in network.named_parameters(remove_duplicate=repeated)) for repeated in (True, False)]
    return names[0] != names[1]
