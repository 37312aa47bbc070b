"""The rule for batch norm in DC and DM: statistics of real images, taken once, then frozen (MTT follows its experts,
which use those of each batch).

A method calibrates the freshly drawn network on real images and uses it in evaluation mode from there on, so that no
image's result depends on the others of its batch: sums over micro-batches and ranks stay exact. Networks that are
trained on a set to test it are not of this rule; their batch norm works as PyTorch's does.

Deviation from the published code, which sends 16 real images per class through the network once and leaves PyTorch's
momentum of 0.1 as it is, so that the running statistics keep nine tenths of their initial 0 and 1.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase

from distillset.engine.networks import State
from distillset.errors import InputError

IMAGES = 16
"""Real images per class that statistics are taken of, as published."""

PIXELS = 256 * 64 * 64
"""Most pixels of one pass: half a gigabyte where a layer has 128 channels of that size."""

ADVICE = (
    "batch norm: its statistics are those of {count} real images per class, frozen while images are matched; instance "
    "norm, as in convnet, has none and is the advised default"
)


def mixes_images(module: nn.Module) -> bool:
    """Whether the output for one image depends on the others of its batch (batch norm in training)."""
    return any(isinstance(layer, _BatchNorm) for layer in module.modules())


def check(module: nn.Module, name: str) -> None:
    """Whether the norms of ``module`` can be calibrated and frozen.

    Raises:
        InputError: a batch norm has no running statistics, or an instance norm has them.
    """
    for path, layer in module.named_modules():
        if isinstance(layer, _NormBase) and isinstance(layer, _BatchNorm) != layer.track_running_stats:
            wrong = "without" if isinstance(layer, _BatchNorm) else "with"
            raise InputError.about(
                f"network {name}",
                f"layer {path} is {type(layer).__name__} {wrong} running statistics; batch norm needs "
                "track_running_stats=True, instance norm False",
            )


def calibrated(module: nn.Module, state: State, images: Tensor) -> State:
    """``state`` with the batch-norm statistics of ``images``; itself where ``module`` has no batch norm.

    Every layer sees its inputs normalised by their own statistics, in one pass where the images are few enough
    (`PIXELS`): the running mean and variance are then exactly those of all images. More images go in several passes
    over parts of equal size, whose moments are pooled, each image counting the same.

    Args:
        module: the structure; its mode and its own numbers are left as they are.
        state: parameters and buffers; left as they are.
        images: real ones, normalised, ``float [n, C, H, W]``, class by class or in any order.

    Returns:
        A new state: parameters shared with ``state``, statistics new. Use it with ``module`` in evaluation mode.
    """
    layers = {path: layer for path, layer in module.named_modules() if isinstance(layer, _BatchNorm)}
    if not layers:
        return state
    passes = -(-images.shape[0] * images.shape[2] * images.shape[3] // PIXELS)
    by_layer = {path: _Moments() for path in layers}
    with torch.no_grad(), _watched(module, layers, by_layer):
        for first in range(passes):
            trial = {k: value.clone() if k.rpartition(".")[0] in layers else value for k, value in state.items()}
            # Every passes-th image: a part has all classes, however the images are sorted.
            functional_call(module, trial, (images[first::passes],))
    result = dict(state)
    for path, moments in by_layer.items():
        for name, value in moments.buffers(passes).items():
            full = f"{path}.{name}" if path else name
            if full in state:
                result[full] = value.to(state[full])
    return result


@dataclass
class _Moments:
    """Mean and summed squares of deviations of a layer's inputs, per channel, pooled over calls (Chan et al. 1979)."""

    count: int = 0
    mean: Tensor | None = None
    squares: Tensor | None = None

    def add(self, inputs: Tensor) -> None:
        """Count ``inputs [n, channels, ...]`` in."""
        dims = [dim for dim in range(inputs.dim()) if dim != 1]
        number = inputs.numel() // inputs.shape[1]
        variance, mean = torch.var_mean(inputs if inputs.dtype == torch.float64 else inputs.float(), dims, correction=0)
        if self.mean is None or self.squares is None:
            self.count, self.mean, self.squares = number, mean, variance * number
            return
        total, difference = self.count + number, mean - self.mean
        self.squares = self.squares + variance * number + difference.square() * (self.count * number / total)
        self.mean = self.mean + difference * (number / total)
        self.count = total

    def buffers(self, passes: int) -> State:
        """What PyTorch keeps: the mean, and the variance of the sample (divided by the number less one)."""
        if self.mean is None or self.squares is None:
            return {}  # a layer that this network never calls
        return {
            "running_mean": self.mean,
            "running_var": self.squares / max(self.count - 1, 1),
            "num_batches_tracked": torch.full((), passes, device=self.mean.device),
        }


@contextmanager
def _watched(module: nn.Module, layers: Mapping[str, nn.Module], by_layer: dict[str, _Moments]) -> Iterator[None]:
    """The module with batch norm in training and all else in evaluation, its batch norms' inputs noted."""
    modes = {layer: layer.training for layer in module.modules()}

    def note(moments: _Moments, layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        moments.add(inputs[0])

    with ExitStack() as stack:
        for path, layer in layers.items():
            stack.callback(layer.register_forward_pre_hook(partial(note, by_layer[path])).remove)
        try:
            module.eval()
            for layer in layers.values():
                layer.train()
            yield
        finally:
            for layer, mode in modes.items():
                layer.training = mode
