"""A network as a pure function of its state."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.func import functional_call

from distillset.engine.features import features

State = dict[str, Tensor]
"""Parameters and buffers of a network by name."""
Rowwise = Callable[[State, Tensor], Tensor]
Loss = Callable[..., Tensor]


def embedding(network: nn.Module) -> Rowwise:
    """The pure function ``(state, images [n, C, H, W]) -> features [n, d]``.

    Raises:
        InputError: `features` finds none.
    """
    module, tied = features(network), shares_parameters(network)
    names: dict[str, str] = {}

    def embed(state: State, images: Tensor) -> Tensor:
        renamed = {names.setdefault(name, f"network.{name}"): value for name, value in state.items()}
        result: Tensor = functional_call(module, renamed, (images,), tie_weights=tied)
        return result

    return embed


def logits(network: nn.Module) -> Rowwise:
    """The pure function ``(state, images [n, C, H, W]) -> logits [n, classes]``."""
    tied = shares_parameters(network)
    return lambda state, images: functional_call(network, state, (images,), tie_weights=tied)


def shares_parameters(network: nn.Module) -> bool:
    """Whether a parameter has several names; where none has, looking for them at every call would be time lost."""
    names = [sum(1 for _ in network.named_parameters(remove_duplicate=repeated)) for repeated in (True, False)]
    return names[0] != names[1]
