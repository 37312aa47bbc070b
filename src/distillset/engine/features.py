"""What a network makes of images before its classifier, as a module that can be called as a function of its state."""

import copy

from torch import Tensor, nn

from distillset.errors import InputError

LAST = "last_linear"
"""Attribute of a network without ``embed``: the path of the linear layer that is called last, where that is known."""


def features(network: nn.Module) -> nn.Module:
    """The module ``images [n, C, H, W] -> features [n, d]``, with the network's own names behind ``network.``.

    That is ``network.embed``, else the input of its last linear layer.

    Raises:
        InputError: it has neither.
    """
    if callable(getattr(network, "embed", None)):
        return _Embedding(network)
    linear = [path for path, layer in network.named_modules() if isinstance(layer, nn.Linear)]
    path = getattr(network, LAST, linear[-1] if linear else "")
    if not path:
        raise InputError.about(
            f"network {type(network).__name__}",
            "has no embed(images), and no linear layer whose input could be the features; define embed",
        )
    return _InputOf(network, path)


class _Embedding(nn.Module):
    """A network up to its classifier."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.network.embed(images)  # type: ignore[operator]
        return found


class _InputOf(nn.Module):
    """A network up to the layer at ``path``, by a copy of its structure that has a `_Keeper` there.

    A layer that keeps its input can be compiled and transformed by `torch.func`; a hook cannot. The copy is in
    evaluation mode for good.
    """

    def __init__(self, network: nn.Module, path: str) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).eval()
        parent, _, name = path.rpartition(".")
        layer = self.network.get_submodule(path)
        assert isinstance(layer, nn.Linear), path
        self.keeper = _Keeper(layer.out_features)
        setattr(self.network.get_submodule(parent), name, self.keeper)

    def forward(self, images: Tensor) -> Tensor:
        self.network(images)
        kept, self.keeper.kept = self.keeper.kept, None
        assert kept is not None, "the network did not call its last linear layer"
        return kept.flatten(1)


class _Keeper(nn.Module):
    """In place of a linear layer: keeps what it is given, and gives zeros."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs
        self.kept: Tensor | None = None

    def forward(self, inputs: Tensor) -> Tensor:
        self.kept = inputs
        return inputs.new_zeros(*inputs.shape[:-1], self.outputs)
