"""3x3 convolutions of stride 1 of images with few channels, such as a network's first, on CPUs.

PyTorch's own kernels are made for many channels. The kernels are in ``narrow.cpp``.
"""

import ctypes
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from distillset.engine.kernels import library, operation, places, ready

SOURCE = Path(__file__).with_suffix(".cpp")
INPUTS, OUTPUTS, BORDER = 4, 32, 3
"""The kernels take up to so many channels, give multiples of so many, and know paddings up to this."""


def _grown(images: Tensor, channels: int, by: int) -> Tensor:
    """Room for as many images, with sides so many pixels longer, channels-last."""
    n, _, height, width = images.shape
    shape = (n, channels, height + by, width + by)
    return torch.empty(shape, dtype=images.dtype, device=images.device, memory_format=torch.channels_last)


def _run(name: str, images: Tensor, outputs: int, border: int, tensors: Sequence[Tensor | None]) -> None:
    n, inputs, height, width = images.shape
    sizes = map(ctypes.c_int64, (n, height, width, outputs, inputs, border))
    aligned = [None if tensor is None else places([tensor])[0] for tensor in tensors]
    getattr(library(SOURCE), name)(*aligned, *sizes, torch.get_num_threads())


def _empty_results(images: Tensor, weights: Tensor, bias: Tensor | None, border: int) -> Tensor:
    return _grown(images, len(weights), 2 * border - 2)


@operation(_empty_results)
def narrow(images: Tensor, weights: Tensor, bias: Tensor | None, border: int) -> Tensor:
    """``images [n, in, H, W]`` convolved with ``weights [out, in, 3, 3]``, stride 1 and padding ``border``, and
    ``bias [out]`` added where there is one: ``[n, out, H + 2 border - 2, W + 2 border - 2]``.

    Float32 on a CPU, at most `INPUTS` channels to a multiple of `OUTPUTS`; the result is channels-last.
    """
    results = _empty_results(images, weights, bias, border)
    added = None if bias is None else bias.contiguous()
    _run("distillset_narrow", images, len(weights), border, [*ready(images, weights.flatten(1)), added, results])
    return results


def _empty_images(results: Tensor, weights: Tensor, border: int) -> Tensor:
    return _grown(results, weights.shape[1], 2 - 2 * border)


@operation(_empty_images)
def narrow_images(results: Tensor, weights: Tensor, border: int) -> Tensor:
    """The gradient of the images of `narrow` from that of its results."""
    images = _empty_images(results, weights, border)
    _run("distillset_narrow_images", images, len(weights), border, [*ready(results, weights.flatten(1)), images])
    return images


def _empty_weights(images: Tensor, results: Tensor, border: int) -> tuple[Tensor, Tensor]:
    outputs = results.shape[1]
    return images.new_empty(outputs, images.shape[1], 3, 3), images.new_empty(outputs)


@operation(_empty_weights)
def narrow_weights(images: Tensor, results: Tensor, border: int) -> tuple[Tensor, Tensor]:
    """The gradients of the weights ``[out, in, 3, 3]`` and of the bias ``[out]`` of `narrow`, from the images and the
    gradient of its results.
    """
    outputs = _empty_weights(images, results, border)
    _run("distillset_narrow_weights", images, len(outputs[1]), border, [*ready(images, results), *outputs])
    return outputs
