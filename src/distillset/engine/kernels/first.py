"""A network's first block as one operation on CPUs: convolution of few channels, instance norm, ReLU, average pooling.

The results of the first convolution are by far the largest tensor of a network: 128 channels at full resolution. Here
they are made a strip of channels of an image at a time, stay in the cache, and are made again where gradients are
taken, so that they never travel through memory. The kernels are in ``first.cpp``.

First derivatives are single operations; second derivatives are composed of those of the parts
(`distillset.engine.kernels.narrow`, `distillset.engine.kernels.normed`). In fp32 the engine keeps the parts apart from
the start where second derivatives are taken: what is made once serves both, and the gradient of the convolution's
results is summed before it goes on to images and weights. Measured with AVX2, one thread of a loaded machine: the
products of MTT take 560 in place of 650 ms at best for 100 images, and the same for 10.
"""

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from distillset.engine.kernels import library, listed, operation, places, ready
from distillset.engine.kernels.narrow import BORDER, INPUTS, OUTPUTS, narrow, narrow_images, narrow_weights
from distillset.engine.kernels.normed import Last, apart, applied, normed_backward, normed_second, opaque, resized, used

SOURCE = Path(__file__).with_suffix(".cpp")
FORWARD, BY_LAYER, BY_IMAGES = 0, 1, 2


def few(convolution: nn.Conv2d) -> bool:
    """Whether the operation takes this convolution."""
    padding, how = convolution.padding, (convolution.kernel_size, convolution.stride, convolution.dilation)
    if how != ((3, 3), (1, 1), (1, 1)) or convolution.groups != 1 or convolution.padding_mode != "zeros":
        return False
    if isinstance(padding, str) or padding[0] != padding[1] or padding[0] > BORDER:
        return False
    return convolution.in_channels <= INPUTS and convolution.out_channels % OUTPUTS == 0


def suits(images: Tensor, convolution: nn.Conv2d, pool: int) -> bool:
    """Whether the operation is in use and takes these images and this convolution."""
    return (
        used() is not None
        and not apart()
        and few(convolution)
        and images.device.type == "cpu"
        and images.dtype == torch.float32
        and all(side > 2 and (side - 2) % pool == 0 for side in _bordered(images, int(convolution.padding[0])))
    )


def _bordered(images: Tensor, border: int) -> list[int]:
    return [side + 2 * border for side in images.shape[2:]]


def first_block(images: Tensor, convolution: nn.Conv2d, scale: Tensor, shift: Tensor, eps: float, pool: int) -> Tensor:
    """``avg_pool2d(relu(instance_norm(convolution(images))), pool)``.

    Args:
        images: float32 ``[n, C, H, W]`` on a CPU, those that `suits` takes.
        convolution: from ``C`` to ``D`` channels.
        scale, shift, eps, pool: as in `distillset.engine.kernels.normed.instance_norm_relu_pool`.

    Returns:
        ``[n, D, H', W']``, channels-last, of the type in use; sums are float32 all the same.
    """
    bias = torch.zeros_like(shift) if convolution.bias is None else convolution.bias
    how = (eps, int(convolution.padding[0]), pool, used() == torch.bfloat16)
    return _whole(images, convolution.weight, bias, scale, shift, *how)


def _bends(
    u_weights: Tensor,
    u_bias: Tensor,
    u_scale: Tensor,
    u_shift: Tensor,
    upstream: Tensor,
    stats: Tensor,
    images: Tensor,
    weights: Tensor,
    bias: Tensor,
    scale: Tensor,
    shift: Tensor,
    border: int,
    pool: int,
) -> tuple[Tensor, ...]:
    """The gradients of the products of what `first_layer` gives with the four ``u``, in upstream, images, weights, bias
    and scale.
    """
    exact, x = upstream.float(), narrow(images, weights, bias, border)
    by_x, _, _ = normed_backward(exact, x, stats, scale, shift, pool)
    u = narrow(images, u_weights, u_bias, border)
    by_upstream, by_x_again, by_scale = normed_second(u, u_scale, u_shift, exact, x, stats, scale, shift, pool)
    by_images = narrow_images(by_x_again, weights, border) + narrow_images(by_x, u_weights, border)
    return by_upstream.to(upstream.dtype), by_images, *narrow_weights(images, by_x_again, border), by_scale


class _Layer(torch.autograd.Function):
    @staticmethod
    def forward(upstream: Tensor, stats: Tensor, images: Tensor, *layer_and_how: Any) -> Any:
        *layer, border, pool = layer_and_how
        return first_layer(upstream, stats, images, layer, border, pool)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        *tensors, border, pool = inputs
        ctx.how = border, pool
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, *u: Tensor) -> Any:
        by_upstream, by_images, by_weights, by_bias, by_scale = applied(Last, _bends, *u, *ctx.saved_tensors, *ctx.how)
        return by_upstream, None, by_images, by_weights, by_bias, by_scale, None, None, None


class _Forward(torch.autograd.Function):
    @staticmethod
    def forward(images: Tensor, *layer_and_how: Any) -> Any:
        *layer, eps, border, pool, half = layer_and_how
        return first(images, layer, eps, border, pool, half)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        *tensors, _, border, pool, _ = inputs
        ctx.how = border, pool
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1], *tensors)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor, _: Any) -> Any:
        by_layer = applied(_Layer, upstream, *ctx.saved_tensors, *ctx.how)
        by_images = (
            applied(Last, _by_images, upstream, *ctx.saved_tensors, *ctx.how) if ctx.needs_input_grad[0] else None
        )
        return by_images, *by_layer, None, None, None, None


@opaque
def _whole(*arguments: Any) -> Tensor:
    results: Tensor = applied(_Forward, *arguments)[0]
    return results


def _run(
    what: int,
    images: Tensor,
    layer: Sequence[Tensor],
    stats: Tensor,
    results: Tensor,
    outputs: Sequence[Tensor],
    border: int,
    pool: int,
    eps: float = 0,
) -> None:
    n, inputs, height, width = images.shape
    weights, *rest = layer
    tensors = ready(images, weights.flatten(1), *rest)
    library(SOURCE).distillset_first(
        what, results.dtype == torch.bfloat16, pool,
        *map(ctypes.c_int64, (n, height, width, len(weights), inputs, border)),
        listed(tensors), *places([stats, results]), listed(outputs), ctypes.c_float(eps), torch.get_num_threads(),
    )  # fmt: skip


def _empty_first(
    images: Tensor, layer: Sequence[Tensor], eps: float, border: int, pool: int, half: bool
) -> tuple[Tensor, Tensor]:
    outputs, dtype = len(layer[0]), torch.bfloat16 if half else torch.float32
    n, sides = len(images), [(side - 2) // pool for side in _bordered(images, border)]
    results = torch.empty((n, outputs, *sides), dtype=dtype, device=images.device, memory_format=torch.channels_last)
    return results, images.new_empty(2, n, outputs)


@operation(_empty_first)
def first(
    images: Tensor, layer: Sequence[Tensor], eps: float, border: int, pool: int, half: bool
) -> tuple[Tensor, Tensor]:
    """`first_block` of a ``layer`` of weights, bias, scale and shift, and each channel's mean and inverse deviation,
    ``[2, n, D]``.
    """
    results, stats = _empty_first(images, layer, eps, border, pool, half)
    _run(FORWARD, images, layer, stats, results, [], border, pool, eps)
    return results, stats


def _empty_layer(
    upstream: Tensor, stats: Tensor, images: Tensor, layer: Sequence[Tensor], border: int, pool: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    weights, bias, scale, shift = (tensor.new_empty(tensor.shape) for tensor in layer)
    return weights, bias, scale, shift


@operation(_empty_layer)
def first_layer(
    upstream: Tensor, stats: Tensor, images: Tensor, layer: Sequence[Tensor], border: int, pool: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The gradients of weights, bias, scale and shift from that of the results."""
    outputs = _empty_layer(upstream, stats, images, layer, border, pool)
    stats, upstream = ready(stats, upstream)
    _run(BY_LAYER, images, layer, stats, upstream, outputs, border, pool)
    return outputs


def _empty_images(
    upstream: Tensor, stats: Tensor, images: Tensor, layer: Sequence[Tensor], border: int, pool: int
) -> Tensor:
    return resized(images)


@operation(_empty_images)
def first_images(
    upstream: Tensor, stats: Tensor, images: Tensor, layer: Sequence[Tensor], border: int, pool: int
) -> Tensor:
    """The gradient of the images from that of the results."""
    outputs = _empty_images(upstream, stats, images, layer, border, pool)
    stats, upstream = ready(stats, upstream)
    _run(BY_IMAGES, images, layer, stats, upstream, [outputs], border, pool)
    return outputs


def _by_images(upstream: Tensor, stats: Tensor, images: Tensor, *layer_and_how: Any) -> Tensor:
    *layer, border, pool = layer_and_how
    gradient: Tensor = first_images(upstream, stats, images, layer, border, pool)
    return gradient
