"""How much there is to compute."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from distillset.engine.compute import Work
from distillset.engine.features import BlockOutput

LARGE = 3 * 1024 * 1024
"""Numbers of an image beyond which a pass over it is measured by shapes alone, for which PyTorch imports a lot."""


class _Flops(TorchDispatchMode):
    """Counts floating point operations by PyTorch's formulas. Its own `FlopCounterMode` does the same and imports the
    compiler, which takes as long as a short run.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.total += formula(*args, **(kwargs or {}), out_val=result)
        return result


def measure(network: nn.Module, shape: tuple[int, int, int], images: float, second: bool = False) -> Work:
    """The work of ``images`` forward passes of ``network``, from one pass over a blank image.

    ``second`` says whether second derivatives are taken. Those layers within a module whose output the kernels never
    write out are its attribute ``passing``.
    """
    widest, fewest, numbers = 1, 1, 0
    passing = {layer for module in network.modules() for layer in getattr(module, "passing", ())}

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        nonlocal widest, fewest, numbers
        if isinstance(output, Tensor):
            widest, numbers = max(widest, output.numel()), numbers + output.numel()
            if module not in passing:
                fewest = max(fewest, output.numel())

    layers = [layer for layer in network.modules() if not (list(layer.children()) or isinstance(layer, BlockOutput))]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    training = network.training
    try:
        with torch.no_grad(), _Flops() as flops:
            _look(network.eval(), shape)
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    return Work(flops.total * images, numbers * images, widest, fewest, max(numbers, 1), second)


def _look(network: nn.Module, shape: tuple[int, int, int]) -> None:
    """One pass over a blank image; of a large one without its numbers, which may not fit."""
    place = torch.device("meta" if math.prod(shape) > LARGE else "cpu")
    state = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    functional_call(network, {name: value.to(place) for name, value in state.items()}, torch.zeros(1, *shape).to(place))
