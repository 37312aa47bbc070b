"""Kernels of convolutions against PyTorch's in float64, and which convolutions of a graph they take the place of."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import grad
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional as F

from distillset.engine import compiler
from distillset.engine.graphs import PASS
from distillset.engine.kernels.winograd import convolve, convolve_images, convolve_weights

pytestmark = pytest.mark.skipif(compiler() is None, reason="no C++ compiler")

OWN = {
    getattr(torch.ops.distillset, name).default
    for name in ("convolve", "convolve_images", "convolve_weights", "narrow", "narrow_images", "narrow_weights")
}
# Images, channels in and out, height, width: whole tiles, ragged ones, fewer pixels than a tile.
SHAPES = [(3, 32, 64, 16, 16), (2, 64, 32, 7, 9), (5, 32, 32, 3, 6), (1, 96, 160, 8, 4)]


def some(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def error(found: Tensor, wanted: Tensor) -> float:
    return float((found.double() - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_results_and_gradients_equal_float64(shape: tuple[int, ...], layout: torch.memory_format) -> None:
    n, inputs, outputs, height, width = shape
    images = some(n, inputs, height, width).to(memory_format=layout)
    weights, upstream = some(outputs, inputs, 3, 3, seed=1), some(n, outputs, height, width, seed=2)
    pixels, taps = images.double().requires_grad_(), weights.double().requires_grad_()
    wanted = F.conv2d(pixels, taps, padding=1)
    by_images, by_weights = torch.autograd.grad(wanted, (pixels, taps), upstream.double())
    assert error(convolve(images, weights), wanted.detach()) < 1e-5
    bias = some(outputs, seed=3)
    assert error(convolve(images, weights, bias), wanted.detach() + bias.double()[:, None, None]) < 1e-5
    assert error(convolve_images(upstream, weights), by_images) < 1e-5
    assert error(convolve_weights(images, upstream), by_weights) < 1e-5


def test_a_single_tap_moves_the_image() -> None:
    """By hand: a kernel that is 1 in one corner shows the image a pixel further down and right, zeros at the border."""
    images, weights = some(2, 32, 6, 5), torch.zeros(32, 32, 3, 3)
    weights[:, :, 0, 0] = torch.eye(32)
    wanted = F.pad(images, (1, 0, 1, 0))[:, :, :6, :5]
    torch.testing.assert_close(convolve(images, weights), wanted, rtol=0, atol=1e-5)


def test_threads_do_not_change_a_bit() -> None:
    images, weights, upstream = some(7, 32, 12, 12), some(64, 32, 3, 3), some(7, 64, 12, 12)
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.append(
                (convolve(images, weights), convolve_images(upstream, weights), convolve_weights(images, upstream))
            )
    finally:
        torch.set_num_threads(threads)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def net(images: Tensor, weights: Tensor, bias: Tensor) -> Tensor:
    return F.conv2d(images, weights, bias, padding=1)


def first_derivatives(images: Tensor, weights: Tensor, bias: Tensor) -> dict[str, Tensor]:
    """First derivatives of a convolution in all it depends on."""
    first = grad(lambda *own: net(*own).square().sum(), argnums=(0, 1, 2))
    return dict(zip(("images", "weights", "bias"), first(images, weights, bias), strict=True))


def second_derivatives(images: Tensor, weights: Tensor, bias: Tensor) -> dict[str, Tensor]:
    """Second derivatives: those of the squares of the weights' and the images' gradients in images and weights."""

    def size(images: Tensor, weights: Tensor) -> Tensor:
        found = first_derivatives(images, weights, bias)
        return found["weights"].square().sum() + found["images"].square().sum()

    return dict(zip(("images", "weights"), grad(size, argnums=(0, 1))(images, weights), strict=True))


def traced(function: Any, *arguments: Tensor) -> tuple[GraphModule, int]:
    """The graph after the pass, and how many convolutions of ATen it still has."""
    found = make_fx(function, tracing_mode="fake")(*arguments)
    PASS(found.graph)
    found.graph.eliminate_dead_code()
    found.recompile()
    return found, sum("convolution" in str(node.target) for node in found.graph.nodes)


@pytest.mark.parametrize("function", [net, first_derivatives, second_derivatives])
def test_graphs_compute_the_same_with_the_kernels_in(function: Any) -> None:
    arguments = some(8, 32, 9, 8), some(64, 32, 3, 3, seed=1), some(64, seed=2)
    graph, left = traced(function, *arguments)
    assert any(node.target in OWN for node in graph.graph.nodes)
    assert not left
    found, wanted = graph(*arguments), function(*(argument.double() for argument in arguments))
    for name in wanted if isinstance(wanted, dict) else [...]:
        assert error(found[name], wanted[name]) < 1e-5


@pytest.mark.parametrize("padding", [0, 1, 3])
@pytest.mark.parametrize("channels", [1, 3])
def test_so_they_do_where_channels_are_few(channels: int, padding: int) -> None:
    """In all that a network's first layer needs for second derivatives by way of its weights' gradient."""
    arguments = some(8, channels, 9, 8), some(64, channels, 3, 3, seed=1), some(64, seed=2)

    def size(images: Tensor, weights: Tensor, bias: Tensor) -> Any:
        cubes = grad(lambda taps: F.conv2d(images, taps, bias, padding=padding).pow(3).sum())
        return cubes(weights).square().sum()

    def products(*own: Tensor) -> dict[str, Tensor]:
        return dict(zip(("images", "weights", "bias"), grad(size, argnums=(0, 1, 2))(*own), strict=True))

    graph, left = traced(products, *arguments)
    assert not left
    assert OWN & {node.target for node in graph.graph.nodes}
    found, wanted = graph(*arguments), products(*(argument.double() for argument in arguments))
    for name, exact in wanted.items():
        assert error(found[name], exact) < 1e-5


def test_the_weights_gradient_of_second_derivatives_is_known() -> None:
    """Images of 64 and 32 channels, numbers and channels changed: a convolution of each with each, one pixel around."""
    graph, left = traced(lambda a, b: F.conv2d(a, b, padding=1), some(64, 8, 9, 8), some(32, 8, 9, 8, seed=1))
    assert not left
    images, results = some(64, 8, 9, 8), some(32, 8, 9, 8, seed=1)
    assert error(graph(images, results), F.conv2d(images.double(), results.double(), padding=1)) < 1e-5


@pytest.mark.parametrize(
    ("shape", "taps", "how"),
    [
        ((8, 32, 9, 8), 3, {"padding": 1, "stride": 2}),
        ((8, 32, 9, 8), 3, {"padding": 0}),
        ((8, 32, 9, 8), 3, {"padding": 2, "dilation": 2}),
        ((8, 32, 9, 8), 5, {"padding": 2}),
        ((8, 5, 9, 8), 3, {"padding": 1}),  # channels: neither few nor many
        ((8, 3, 9, 8), 3, {"padding": 4}),
        ((64, 32, 2, 2), 3, {"padding": 1}),  # a tile is four times the image
        ((2, 32, 8, 8), 3, {"padding": 1}),  # 8 tiles
    ],
)
def test_other_convolutions_stay(shape: tuple[int, ...], taps: int, how: dict[str, Any]) -> None:
    graph, left = traced(lambda a, b: F.conv2d(a, b, **how), some(*shape), some(32, shape[1], taps, taps))
    assert left == 1
    assert not any(node.target in OWN for node in graph.graph.nodes)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_types_stay(dtype: torch.dtype) -> None:
    _, left = traced(lambda a, b: F.conv2d(a, b, padding=1), some(8, 32, 8, 8).to(dtype), some(32, 32, 3, 3).to(dtype))
    assert left == 1
