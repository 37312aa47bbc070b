"""3x3 convolutions by Winograd's minimal filtering F(4x4, 3x3), a quarter of the direct sum's multiplications, on CPUs.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (CVPR 2016, section 4.3); the gradients of images
and of weights are the adjoints of the same algorithm. PyTorch's own CPU kernels take the direct sum. Measured on an AMD
EPYC with AVX2, 64 images of 128 channels and 16x16 pixels, one thread: 18 against 48 ms, the gradients 18 against 49
and 20 against 72 ms. The relative error of a result is 2e-6, four times that of the direct sum.

The kernels are in ``winograd.cpp``; `distillset.engine.graphs` puts them in the place of convolutions that are being
compiled.
"""

import ctypes
from pathlib import Path

import torch
from torch import Tensor

from distillset.engine.kernels import library, operation, places, ready

SOURCE = Path(__file__).with_suffix(".cpp")
CHANNELS = 32
"""The kernels take multiples of it."""


def _like(images: Tensor, channels: int) -> Tensor:
    """Room for as many images of the same size, channels-last."""
    n, _, height, width = images.shape
    shape = (n, channels, height, width)
    return torch.empty(shape, dtype=images.dtype, device=images.device, memory_format=torch.channels_last)


def _run(images: Tensor, weights: Tensor, bias: Tensor | None, results: Tensor, turned: bool) -> Tensor:
    (images,), weights = ready(images), weights.contiguous()
    outputs, inputs = weights.shape[:2]
    n, _, height, width = images.shape
    added = None if bias is None else bias.contiguous()
    library(SOURCE).distillset_convolve(
        *places([images, weights]), added if added is None else places([added])[0], *places([results]),
        *map(ctypes.c_int64, (n, height, width, outputs, inputs)), turned, torch.get_num_threads(),
    )  # fmt: skip
    return results


def _empty_results(images: Tensor, weights: Tensor, bias: Tensor | None = None) -> Tensor:
    return _like(images, weights.shape[0])


@operation(_empty_results)
def convolve(images: Tensor, weights: Tensor, bias: Tensor | None = None) -> Tensor:
    """``images [n, in, H, W]`` convolved with ``weights [out, in, 3, 3]``, stride 1 and padding 1, and ``bias [out]``
    added: ``[n, out, H, W]``.

    Float32 on a CPU, channels multiples of `CHANNELS`; the result is channels-last.
    """
    return _run(images, weights, bias, _empty_results(images, weights), turned=False)


def _empty_images(results: Tensor, weights: Tensor) -> Tensor:
    return _like(results, weights.shape[1])


@operation(_empty_images)
def convolve_images(results: Tensor, weights: Tensor) -> Tensor:
    """The gradient of the images from that of the results of `convolve`, ``[n, out, H, W]`` to ``[n, in, H, W]``."""
    return _run(results, weights, None, _empty_images(results, weights), turned=True)


def _empty_weights(images: Tensor, results: Tensor) -> Tensor:
    return images.new_empty(results.shape[1], images.shape[1], 3, 3)


@operation(_empty_weights)
def convolve_weights(images: Tensor, results: Tensor) -> Tensor:
    """The gradient of the weights ``[out, in, 3, 3]`` from the images and the gradient of the results of `convolve`."""
    images, results = ready(images, results)
    weights = _empty_weights(images, results)
    n, inputs, height, width = images.shape
    library(SOURCE).distillset_convolve_weights(
        *places([images, results, weights]), *map(ctypes.c_int64, (n, height, width, results.shape[1], inputs)),
        torch.get_num_threads(),
    )  # fmt: skip
    return weights
