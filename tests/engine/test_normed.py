"""Instance norm, ReLU and pooling as one operation, alone and with the first convolution, against the same written out
in float64: results, gradients and second derivatives, however they are taken.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad
from torch.nn import functional as F
from torch.utils._pytree import tree_leaves

from distillset.engine import compiler, measure
from distillset.engine.kernels.first import few, first_block, suits
from distillset.engine.kernels.narrow import narrow, narrow_images, narrow_weights
from distillset.engine.kernels.normed import in_use, instance_norm_relu_pool
from distillset.nets import build
from distillset.nets.layers import InstanceNorm, Layers
from tests import toys

pytestmark = pytest.mark.skipif(compiler() is None, reason="no C++ compiler")

EPS = 1e-5
TYPES = {torch.float32: 1e-5, torch.bfloat16: 5e-3}
"""Types of results and the relative error allowed: half of bfloat16's last place is 2e-3."""


def some(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def error(found: Tensor, wanted: Tensor) -> float:
    return float((found.double() - wanted).norm() / wanted.norm())


def written_out(images: Tensor, scale: Tensor, shift: Tensor, pool: int) -> Tensor:
    variance, mean = torch.var_mean(images, dim=(2, 3), correction=0, keepdim=True)
    normed = (images - mean) / (variance + EPS).sqrt()
    return F.avg_pool2d(torch.relu(normed * scale[:, None, None] + shift[:, None, None]), pool)


def derivatives(
    function: Callable[..., Tensor], arguments: list[Tensor], upstream: Tensor, directions: list[Tensor], skip: int
) -> list[Tensor]:
    """A result, its gradients, and the gradients of the products of those but the first ``skip`` with directions."""
    arguments, upstream = [tensor.clone().requires_grad_() for tensor in arguments], upstream.clone().requires_grad_()
    result = function(*arguments)
    first = torch.autograd.grad(result, arguments, upstream, create_graph=True)
    # The last, a shift, moves nothing but which numbers are cut off.
    second = torch.autograd.grad(first[skip:], (upstream, *arguments[:-1]), directions[skip:])
    return [tensor.detach() for tensor in (result, *first, *second)]


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("pool", [1, 2])
@pytest.mark.parametrize("shape", [(3, 32, 8, 6), (1, 64, 4, 2), (5, 128, 16, 16)])
def test_derivatives_equal_float64(shape: tuple[int, ...], pool: int, type_: torch.dtype) -> None:
    n, channels, height, width = shape
    images, upstream = some(*shape) * 2 + 3, some(n, channels, height // pool, width // pool, seed=1)
    scale, shift = some(channels, seed=2) + 1, some(channels, seed=3) / 2
    directions = [some(*shape, seed=4), some(channels, seed=5), some(channels, seed=6)]
    wide = [images.to(type_), upstream.to(type_), directions[0].to(type_)]
    images, upstream, directions[0] = (tensor.double() for tensor in wide)
    wanted = derivatives(
        lambda images, scale, shift: written_out(images, scale, shift, pool),
        [images, scale, shift],
        upstream,
        directions,
        skip=0,
    )
    found = derivatives(
        lambda images, scale, shift: instance_norm_relu_pool(images, scale, shift, EPS, pool),
        [wide[0], scale.float(), shift.float()], wide[1], [wide[2], *(own.float() for own in directions[1:])], skip=0,
    )  # fmt: skip
    assert all(error(own, other) < TYPES[type_] for own, other in zip(found, wanted, strict=True))
    assert found[0].dtype == type_


def block(inputs: int, outputs: int, border: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=border)


# Images, channels in and out, height, width, padding: RGB, MNIST's, more images than parts of a sum, without padding.
SHAPES = [(3, 3, 64, 8, 6, 1), (1, 1, 128, 28, 28, 3), (20, 2, 32, 8, 5, 2), (2, 4, 32, 6, 8, 0)]


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_derivatives_of_a_first_block_equal_float64(shape: tuple[int, ...], type_: torch.dtype) -> None:
    n, inputs, outputs, height, width, border = shape
    down, across = height + 2 * border - 2, width + 2 * border - 2
    pool = 1 if across % 2 else 2
    upstream = some(n, outputs, down // pool, across // pool, seed=1).to(type_)
    arguments = [some(n, inputs, height, width), some(outputs, inputs, 3, 3, seed=2), some(outputs, seed=3)]
    arguments += [some(outputs, seed=4) + 1, some(outputs, seed=5) / 2]
    directions = [some(*tensor.shape, seed=6 + at) for at, tensor in enumerate(arguments)]

    def exact(images: Tensor, weights: Tensor, bias: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        return written_out(F.conv2d(images, weights, bias, padding=border), scale, shift, pool)

    def ours(images: Tensor, weights: Tensor, bias: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        def called(layer: nn.Module, images: Tensor) -> Tensor:
            convolution = layer.convolution
            assert isinstance(convolution, nn.Conv2d)
            return first_block(images, convolution, scale, shift, EPS, pool)

        holder = Holder(block(inputs, outputs, border), called)
        state = {"convolution.weight": weights, "convolution.bias": bias}
        with in_use(type_):
            found: Tensor = functional_call(holder, state, (images,))
        return found

    wanted = derivatives(exact, arguments, upstream.double(), directions, skip=1)
    found = derivatives(ours, [own.float() for own in arguments], upstream, [own.float() for own in directions], skip=1)
    # The bias moves nothing, as the mean is taken away: its derivatives are 0.
    moves = [at for at, own in enumerate(wanted) if own.norm() > 1e-9]
    assert set(range(11)) - set(moves) == {3, 9}
    for at in moves:
        assert error(found[at], wanted[at]) < TYPES[type_], at
    for at in (3, 9):
        assert found[at].norm() < 1e-2 * found[at - 1].norm(), at


class Holder(nn.Module):
    """Calls a function with its convolution."""

    def __init__(self, convolution: nn.Conv2d, call: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.convolution, self.call = convolution, call

    def forward(self, images: Tensor) -> Tensor:
        return self.call(self, images)


@pytest.mark.parametrize("shape", SHAPES)
def test_convolutions_of_few_channels_equal_float64(shape: tuple[int, ...]) -> None:
    n, inputs, outputs, height, width, border = shape
    images, weights = some(n, inputs, height, width).requires_grad_(), some(outputs, inputs, 3, 3, seed=1)
    bias = some(outputs, seed=2).requires_grad_()
    weights.requires_grad_()
    wanted = F.conv2d(images, weights, bias, padding=border)
    upstream = some(*wanted.shape, seed=3)
    by_images, by_weights, by_bias = torch.autograd.grad(wanted, (images, weights, bias), upstream)
    own = [tensor.detach().float() for tensor in (images, weights, bias, upstream)]
    assert error(narrow(own[0], own[1], own[2], border), wanted.detach()) < 1e-6
    assert error(narrow_images(own[3], own[1], border), by_images) < 1e-6
    for found, exact in zip(narrow_weights(own[0], own[3], border), (by_weights, by_bias), strict=True):
        assert error(found, exact) < 1e-6


def test_a_constant_image_gives_the_shift() -> None:
    """By hand: what is left of equal numbers is 0, so that the results are those of the shift."""
    shift = torch.linspace(-1, 1, 32)
    found = instance_norm_relu_pool(torch.full((2, 32, 4, 4), 7.0), torch.ones(32), shift, EPS, 2)
    assert torch.equal(found, shift.clamp(min=0)[None, :, None, None].expand(2, 32, 2, 2))


def test_threads_do_not_change_a_bit() -> None:
    images, convolution = some(7, 3, 12, 12).float(), block(3, 64, 1)
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            pixels = images.clone().requires_grad_()
            with in_use(torch.float32):
                made = first_block(pixels, convolution, torch.ones(64), torch.zeros(64), EPS, 2)
            given = (pixels, convolution.weight)
            found.append([made, *torch.autograd.grad(made.square().sum(), given)])
    finally:
        torch.set_num_threads(threads)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def network(width: int = 32) -> nn.Module:
    torch.manual_seed(0)
    found = build(f"ConvNetD2W{width}", toys.spec_of(3, 8, 8, 4))
    for parameter in found.parameters():
        nn.init.normal_(parameter, std=0.3)
    return found


def matching(module: nn.Module) -> Callable[..., Any]:
    """The distance of the gradient of a loss from given ones, in the pixels and in the parameters."""

    def loss(state: dict[str, Tensor], images: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(module, state, (images,)), labels)

    def distance(images: Tensor, state: dict[str, Tensor], labels: Tensor, targets: dict[str, Tensor]) -> Tensor:
        upstream = grad(loss)(state, images, labels)
        return torch.stack([(upstream[name] - targets[name]).square().sum() for name in upstream]).sum()

    return grad(distance, argnums=(0, 1))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's own, in the modules of its compiler
@pytest.mark.parametrize("compiled", [False, True])
def test_a_network_takes_them_through_second_derivatives(compiled: bool) -> None:
    module, images, labels = network(), some(5, 3, 8, 8), torch.arange(5) % 4
    state = {name: value.detach().double() for name, value in module.named_parameters()}
    targets = {name: some(*value.shape, seed=at) for at, (name, value) in enumerate(state.items())}
    wanted = matching(module)(images, state, labels, targets)
    narrowed = [{name: value.float() for name, value in own.items()} for own in (state, targets)]
    function = matching(module)
    calls = toys.engine(compiled=True).whole(function) if compiled else function
    with in_use(torch.float32):
        found = calls(images.float(), narrowed[0], labels, narrowed[1])
    for own, other in zip(tree_leaves(found), tree_leaves(wanted), strict=True):
        assert float((own.double() - other).norm()) < 1e-4 * float(other.norm()) + 1e-4


def test_third_derivatives_are_refused() -> None:
    images = some(1, 32, 4, 4).float().requires_grad_()
    found = instance_norm_relu_pool(images, torch.ones(32), torch.zeros(32), EPS, 2).square().sum()
    for _ in range(2):
        (upstream,) = torch.autograd.grad(found, images, create_graph=True)
        found = upstream.square().sum()
    with pytest.raises(NotImplementedError, match="third derivatives"):
        torch.autograd.grad(found, images)


@pytest.mark.parametrize(
    ("convolution", "taken"),
    [
        (nn.Conv2d(3, 32, 3, padding=1), True),
        (nn.Conv2d(3, 32, 3, padding=1, bias=False), True),
        (nn.Conv2d(1, 32, 3, padding=3), True),
        (nn.Conv2d(5, 32, 3, padding=1), False),
        (nn.Conv2d(3, 48, 3, padding=1), False),
        (nn.Conv2d(3, 32, 3, padding=(1, 2)), False),
        (nn.Conv2d(3, 32, 3, padding="same"), False),
        (nn.Conv2d(3, 32, 3, padding=1, stride=2), False),
        (nn.Conv2d(3, 32, 5, padding=1), False),
        (nn.Conv2d(3, 32, 3, padding=1, padding_mode="reflect"), False),
    ],
)
def test_which_convolutions_it_takes(convolution: nn.Conv2d, taken: bool) -> None:
    assert few(convolution) == taken
    if taken:
        images = torch.zeros(2, convolution.in_channels, 8, 8)
        assert not suits(images, convolution, 2), "not in use"
        with in_use(torch.float32):
            assert suits(images, convolution, 2)
            assert not suits(images.double(), convolution, 2)
            assert not suits(torch.zeros(2, convolution.in_channels, 8, 7), convolution, 2)


def test_layers_go_as_one_only_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 32, 3, padding=1), InstanceNorm(32), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(32, 32, 3)]
    stack, images = Layers(*layers, InstanceNorm(32), nn.ReLU(), nn.Flatten()), torch.randn(2, 3, 8, 8)
    seen: list[str] = []
    for layer in stack:
        layer.register_forward_hook(lambda layer, inputs, output: seen.append(type(layer).__name__))
    plain = stack(images)
    assert len(seen) == len(stack)
    seen.clear()
    with in_use(torch.float32):
        torch.testing.assert_close(stack(images), plain, rtol=1e-5, atol=1e-5)
    assert seen == ["Conv2d", "Flatten"]


def test_the_widest_layer_is_not_written_out() -> None:
    work = measure(network(), (3, 8, 8), 1)
    assert (work.activations, work.fewest) == (32 * 8 * 8, 32 * 4 * 4)
