"""Embeddings of images by a network, as a module that can be called as a function of its state."""

import copy
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from distillset.errors import InputError, nearest

LAST = "last_linear"
"""Attribute of a network without ``embed``: the path of the linear layer that is called last, where that is known."""


BLOCKS, LAST_LAYER = "all", "last"
"""For `layers_of`: the output of every block; what `features` gives."""


class BlockOutput(nn.Identity):
    """Stands in a network behind a block, where its output can be read (`layers_of`). It changes nothing."""


def layer_names(network: nn.Module) -> list[str]:
    """The paths of a network's layers whose output can be asked for by ``all``: its `BlockOutput`.

    A user's own network has none; there it is its convolutions and linear layers but the last.
    """
    marked = [path for path, layer in network.named_modules() if isinstance(layer, BlockOutput)]
    if marked:
        return marked
    return [path for path, layer in network.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)][:-1]


def layers_of(network: nn.Module, layers: str | Sequence[str]) -> nn.Module:
    """The module ``images [n, C, H, W] -> list of features [n, d]``, with the network's own names behind ``network.``.

    Args:
        network: any.
        layers: ``all`` (see `layer_names`), or paths of modules, whose outputs are given in this order, flattened.

    Raises:
        InputError: it has no such layer.
    """
    named = [layers] if isinstance(layers, str) and layers != BLOCKS else list(layers)
    paths = layer_names(network) if layers == BLOCKS else named
    known = dict(network.named_modules())
    for path in paths:
        if path not in known or not path:
            raise InputError(
                "layers",
                path,
                f"network {type(network).__name__} has no such layer{nearest(path, known)}; choose last, all, or of "
                f"{', '.join(layer_names(network)) or 'its modules'}",
            )
    if not paths:
        raise InputError("layers", layers, f"network {type(network).__name__} has no layers before its classifier")
    return _OutputsOf(network, paths)


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
        embedding: Tensor = self.network.embed(images)  # type: ignore[operator]
        return embedding


class _OutputsOf(nn.Module):
    """A network up to its classifier, by a copy of its structure in which some layers keep what they put out.

    Layers that are not called, or whose output has no row per image, give nothing.
    """

    def __init__(self, network: nn.Module, paths: Sequence[str]) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).eval()
        self.keepers = [self._keeper(path) for path in paths]

    def _keeper(self, path: str) -> "_Keeping":
        layer: Any = self.network.get_submodule(path)
        kind = type(layer)
        # Its parameters keep their names, and what asks for its kind sees the one that it was.
        layer.__class__ = type(f"Keeping{kind.__name__}", (_Keeping, kind), {})
        keeper: _Keeping = layer
        return keeper

    def forward(self, images: Tensor) -> list[Tensor]:
        embed = getattr(self.network, "embed", self.network)  # which spares the classifier
        embed(images)
        outputs: list[Tensor] = []
        for layer in self.keepers:
            output, layer.held = layer.held, None
            if output is not None and len(output) == len(images):
                outputs.append(output.flatten(1))
        return outputs


class _Keeping(nn.Module):
    """A layer that keeps what it puts out. It can be compiled and transformed by `torch.func`; a hook cannot."""

    held: Any = None

    def forward(self, *inputs: Any) -> Any:
        self.held = super().forward(*inputs)
        return self.held


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
        output, self.keeper.held = self.keeper.held, None
        assert output is not None, "the network did not call its last linear layer"
        return output.flatten(1)


class _Keeper(nn.Module):
    """In place of a linear layer: keeps what it is given, and gives zeros."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs
        self.held: Tensor | None = None

    def forward(self, inputs: Tensor) -> Tensor:
        self.held = inputs
        return inputs.new_zeros(*inputs.shape[:-1], self.outputs)
