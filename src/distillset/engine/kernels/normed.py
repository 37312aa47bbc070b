"""Instance norm, ReLU and average pooling as one operation on CPUs, with its first and second derivatives.

What `torch.compile` makes of the three takes a pass over all images for each sum and writes what is between; here a
strip of channels of an image is read for its statistics and, while it is in the cache, for the result. The kernels and
their formulas are in ``normed.h``.

It can be differentiated twice, in any way PyTorch knows but forward mode, and compiled.
"""

import ctypes
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distillset.engine.kernels import library, listed, operation, ready

SOURCE = Path(__file__).with_suffix(".cpp")
CHANNELS = 32
"""The kernels take multiples of it."""
FORWARD, BACKWARD, SECOND = 0, 1, 2


class _Using:
    results: torch.dtype | None = None
    apart = False


_using = _Using()
_opaque: list[Callable[..., Any]] = []
OPAQUE: list[str] = []
"""The names of what is `opaque`."""


def opaque(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A decorator: the compiler, which would lose the derivatives, will not look into ``function``.

    It is told so by `in_use`, not here, for `allow_in_graph` imports it: as much again as PyTorch.
    """
    _opaque.append(function)
    OPAQUE.append(f"{function.__module__}.{function.__name__}")
    return function


@contextmanager
def in_use(results: torch.dtype | None, apart: bool = False) -> Iterator[None]:
    """Whether networks take the kernels' operations within the block (None: they do not), and the type of the results
    of those that choose it. ``apart`` keeps a first block's convolution out of the operation of norm and pooling.
    """
    while _opaque:
        torch.compiler.allow_in_graph(_opaque.pop())
    before = _using.results, _using.apart
    _using.results, _using.apart = results, apart
    try:
        yield
    finally:
        _using.results, _using.apart = before


def used() -> torch.dtype | None:
    """The type that `in_use` was given."""
    return _using.results


def apart() -> bool:
    """Whether `in_use` was told so."""
    return _using.apart


def suits(images: Tensor, pool: int) -> bool:
    """Whether the operation is in use and takes these images."""
    _, channels, height, width = images.shape
    return (
        used() is not None
        and images.device.type == "cpu"
        and images.dtype in (torch.float32, torch.bfloat16)
        and channels % CHANNELS == 0
        and height % pool == width % pool == 0
    )


def instance_norm_relu_pool(images: Tensor, scale: Tensor, shift: Tensor, eps: float, pool: int) -> Tensor:
    """``avg_pool2d(relu(scale * normed + shift), pool)``, where ``normed`` has mean 0 and variance 1 over the pixels of
    each channel of each image (biased variance, ``eps`` added).

    Args:
        images: ``[n, C, H, W]``, float32 or bfloat16 on a CPU, those that `suits` takes.
        scale, shift: float32 ``[C]``.
        eps: added to the variance.
        pool: 2, or 1 for no pooling.

    Returns:
        ``[n, C, H // pool, W // pool]``, channels-last, of the type of ``images``.
    """
    return _whole(images, scale, shift, eps, pool)


def applied(function: Any, *arguments: Any) -> Any:
    """What an `torch.autograd.Function` gives."""
    return function.apply(*arguments)


class Last(torch.autograd.Function):
    """A function of tensors that gives tensors and has no derivative."""

    @staticmethod
    def forward(function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *upstream: Any) -> Any:
        raise NotImplementedError("third derivatives of instance norm, ReLU and pooling")


class _Backward(torch.autograd.Function):
    @staticmethod
    def forward(upstream: Tensor, images: Tensor, stats: Tensor, scale: Tensor, shift: Tensor, pool: int) -> Any:
        return normed_backward(upstream, images, stats, scale, shift, pool)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        *tensors, ctx.pool = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, u: Tensor, u_scale: Tensor, u_shift: Tensor) -> Any:
        gradients = applied(Last, normed_second, u, u_scale, u_shift, *ctx.saved_tensors, ctx.pool)
        by_upstream, by_images, by_scale = gradients
        return by_upstream, by_images, None, by_scale, None, None


class _Forward(torch.autograd.Function):
    @staticmethod
    def forward(images: Tensor, scale: Tensor, shift: Tensor, eps: float, pool: int) -> Any:
        return normed(images, scale, shift, eps, pool)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        images, scale, shift, _, ctx.pool = inputs
        stats = output[1]
        ctx.mark_non_differentiable(stats)
        ctx.save_for_backward(images, stats, scale, shift)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor, _: Any) -> Any:
        return *applied(_Backward, upstream, *ctx.saved_tensors, ctx.pool), None, None


@opaque
def _whole(*arguments: Any) -> Tensor:
    results: Tensor = applied(_Forward, *arguments)[0]
    return results


def resized(images: Tensor, shrunk: int = 1) -> Tensor:
    """Room for images like these, with sides so many times shorter, channels-last."""
    n, channels, height, width = images.shape
    shape = (n, channels, height // shrunk, width // shrunk)
    return torch.empty(shape, dtype=images.dtype, device=images.device, memory_format=torch.channels_last)


def _run(
    what: int, images: Tensor, inputs: Sequence[Tensor], outputs: Sequence[Tensor], pool: int, eps: float = 0
) -> None:
    n, channels, height, width = images.shape
    library(SOURCE).distillset_normed(
        what, images.dtype == torch.bfloat16, pool, *map(ctypes.c_int64, (n, height, width, channels)),
        listed(inputs), listed(outputs), ctypes.c_float(eps), torch.get_num_threads(),
    )  # fmt: skip


def _empty_normed(images: Tensor, scale: Tensor, shift: Tensor, eps: float, pool: int) -> tuple[Tensor, Tensor]:
    return resized(images, pool), scale.new_empty(2, *images.shape[:2])


@operation(_empty_normed)
def normed(images: Tensor, scale: Tensor, shift: Tensor, eps: float, pool: int) -> tuple[Tensor, Tensor]:
    """`instance_norm_relu_pool`, and each channel's mean and inverse deviation, ``[2, n, C]``."""
    outputs = _empty_normed(images, scale, shift, eps, pool)
    _run(FORWARD, images, ready(images, scale, shift), outputs, pool, eps)
    return outputs


def _empty_backward(
    upstream: Tensor, images: Tensor, stats: Tensor, scale: Tensor, shift: Tensor, pool: int
) -> tuple[Tensor, Tensor, Tensor]:
    return resized(images), scale.new_empty(scale.shape), scale.new_empty(scale.shape)


@operation(_empty_backward)
def normed_backward(
    upstream: Tensor, images: Tensor, stats: Tensor, scale: Tensor, shift: Tensor, pool: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of images, scale and shift from that of the results."""
    outputs = _empty_backward(upstream, images, stats, scale, shift, pool)
    _run(BACKWARD, images, ready(upstream, images, stats, scale, shift), outputs, pool)
    return outputs


def _empty_second(
    u: Tensor,
    u_scale: Tensor,
    u_shift: Tensor,
    upstream: Tensor,
    images: Tensor,
    stats: Tensor,
    scale: Tensor,
    shift: Tensor,
    pool: int,
) -> tuple[Tensor, Tensor, Tensor]:
    return resized(upstream), resized(images), scale.new_empty(scale.shape)


@operation(_empty_second)
def normed_second(
    u: Tensor,
    u_scale: Tensor,
    u_shift: Tensor,
    upstream: Tensor,
    images: Tensor,
    stats: Tensor,
    scale: Tensor,
    shift: Tensor,
    pool: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of the products of what `normed_backward` gives with ``u, u_scale, u_shift``, in upstream, images
    and scale.
    """
    outputs = _empty_second(u, u_scale, u_shift, upstream, images, stats, scale, shift, pool)
    _run(SECOND, images, ready(u, u_scale, u_shift, upstream, images, stats, scale, shift), outputs, pool)
    return outputs
