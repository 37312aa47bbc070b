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
    module = features(network)
    return lambda state, images: functional_call(module, {f"network.{k}": v for k, v in state.items()}, (images,))


def logits(network: nn.Module) -> Rowwise:
    """The pure function ``(state, images [n, C, H, W]) -> logits [n, classes]``."""
    return lambda state, images: functional_call(network, state, (images,))
