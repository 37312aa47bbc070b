"""The layers that networks are made of, and a stack of them that knows the shape it puts out."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distillset.engine.features import BlockOutput
from distillset.engine.kernels import first, normed
from distillset.errors import InputError


class InstanceNorm(nn.Module):
    """Instance norm with a learned scale and shift per channel; equal to ``nn.GroupNorm(channels, channels)``.

    Written with `var_mean` so that a compiler fuses it with the activation and the pooling that follow; `GroupNorm`'s
    own kernel takes most of an eager ConvNet's time. Statistics are computed in float32 at least, whatever the input's
    type.
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.empty(channels))
        self.bias = nn.Parameter(torch.empty(channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.ones_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, images: Tensor) -> Tensor:
        exact = images if images.dtype == torch.float64 else images.float()
        variance, mean = torch.var_mean(exact, dim=(2, 3), correction=0, keepdim=True)
        scale = torch.rsqrt(variance + self.eps) * self.weight[:, None, None]
        return ((exact - mean) * scale + self.bias[:, None, None]).to(images.dtype)


class GreyConv2d(nn.Conv2d):
    """A convolution of one-channel images ``[n, 1, H, W]``: the same numbers, in shapes that have fast kernels.

    On CPUs the one-channel kernels give their output in an order of its own, and weight gradients with a padding above
    1 are six times slower. Hence a border of zeros in place of the padding, and three blank channels (measured on
    ConvNet-3 at 28x28 in bf16: 43 against 55 ms for 64 embeddings, 114 against 170 ms for their gradients).
    """

    def forward(self, images: Tensor) -> Tensor:
        inside = min(int(self.padding[0]), self.kernel_size[0] // 2)
        border = int(self.padding[0]) - inside
        padded = F.pad(images, (border, border, border, border, 0, 3)).contiguous(memory_format=torch.channels_last)
        weight = F.pad(self.weight, (0, 0, 0, 0, 0, 3))
        return F.conv2d(padded, weight, self.bias, self.stride, inside)


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "sigmoid": nn.Sigmoid,
    "relu": nn.ReLU,
    "leakyrelu": lambda: nn.LeakyReLU(0.01),
    "swish": nn.SiLU,
}
NORMS: dict[str, Callable[[int, int, int], nn.Module]] = {
    "none": lambda channels, height, width: nn.Identity(),
    "batch": lambda channels, height, width: nn.BatchNorm2d(channels),
    "layer": lambda channels, height, width: nn.LayerNorm([channels, height, width]),
    "instance": lambda channels, height, width: InstanceNorm(channels),
    "group": lambda channels, height, width: nn.GroupNorm(4, channels),
}
POOLINGS: dict[str, Callable[[], nn.Module]] = {
    "none": nn.Identity,
    "max": lambda: nn.MaxPool2d(2),
    "avg": lambda: nn.AvgPool2d(2),
}
PUBLISHED_SIZE = 32
"""Pixels a side that LeNet, AlexNet, VGG and ResNet were published for; smaller images are resized to it."""


STRIDES = (
    "strided convolutions: measured with DM, fresh ResNets hardly agree on gradients of pixels through them; average "
    "pooling in their place, as in ResNet18BN_AP, is advised"
)


def strided(module: nn.Module) -> bool:
    """Whether a convolution of ``module`` skips positions."""
    return any(isinstance(layer, nn.Conv2d) and max(layer.stride) > 1 for layer in module.modules())


def is_mnist(channels: int, height: int, width: int) -> bool:
    """Grey images of 28 pixels a side, which the published networks pad to 32 in their first convolution."""
    return (channels, height, width) == (1, 28, 28)


class Resize(nn.Module):
    """Bilinear, to ``size`` (height, width)."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def extra_repr(self) -> str:
        return f"{self.size}"

    def forward(self, images: Tensor) -> Tensor:
        return F.interpolate(images, self.size, mode="bilinear", align_corners=False)


def numbered(layers: Iterable[nn.Module]) -> OrderedDict[str, nn.Module]:
    """Layers by the names that parameters have in checkpoints: numbers; ends of blocks have numbers of their own."""
    names: OrderedDict[str, nn.Module] = OrderedDict()
    ends = 0
    for layer in layers:
        if isinstance(layer, BlockOutput):
            names[f"block{ends}"], ends = layer, ends + 1
        else:
            names[str(len(names) - ends)] = layer
    return names


class Layers(nn.Sequential):
    """Layers one after the other. Where the engine has kernels for them, instance norm, ReLU and average pooling go as
    one operation, and with a convolution of few channels before them too.
    """

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__(numbered(layers))
        few = isinstance(layers[0], nn.Conv2d) and first.few(layers[0])
        _, pool = _norm_and_pool(layers[1:])
        self.passing = layers[:3] if few and pool == 2 else ()
        """Layers whose output is never written out where the kernels are in use and first derivatives are taken."""

    def forward(self, images: Tensor) -> Tensor:
        layers = list(self)
        while layers:
            images, taken = _fused(images, layers)
            layers = layers[taken:]
        return images


def _fused(images: Tensor, layers: Sequence[nn.Module]) -> tuple[Tensor, int]:
    """What the first of ``layers``, or all that go with it as one operation, make of images; and how many they are."""
    convolution = layers[0] if isinstance(layers[0], nn.Conv2d) else None
    norm, pool = _norm_and_pool(layers if convolution is None else layers[1:])
    if norm is not None:
        how = (norm.weight, norm.bias, norm.eps, pool)
        if convolution is not None and first.suits(images, convolution, pool):
            return first.first_block(images, convolution, *how), 2 + pool
        if convolution is None and normed.suits(images, pool):
            return normed.instance_norm_relu_pool(images, *how), 1 + pool
    return layers[0](images), 1


def _norm_and_pool(layers: Sequence[nn.Module]) -> tuple[InstanceNorm | None, int]:
    """The instance norm that ``layers`` begin with, if ReLU follows; and 2 if an average over 2x2 pixels does then,
    else 1.
    """
    norm, activation, pooling = (*layers[:3], *[None] * 3)[:3]
    if not isinstance(norm, InstanceNorm) or not isinstance(activation, nn.ReLU):
        return None, 1
    halves = isinstance(pooling, nn.AvgPool2d) and (pooling.kernel_size, pooling.stride, pooling.padding) == (2, 2, 0)
    return norm, 2 if halves else 1


class Stack:
    """Layers one upon another, and the shape of the images they put out.

    Args:
        channels, height, width: of the images that go in.
        title: what messages call the network.
    """

    def __init__(self, channels: int, height: int, width: int, title: str) -> None:
        self.channels, self.height, self.width, self.title = channels, height, width, title
        self.given = (height, width)
        self.layers: list[nn.Module] = []

    @property
    def features(self) -> int:
        """Numbers that come out for an image."""
        return self.channels * self.height * self.width

    def enlarge(self, least: int = PUBLISHED_SIZE) -> None:
        """Bring sides below the published size up to it where one is below ``least``.

        Deviation: the published code knows 28 and 32 pixels only.
        """
        if min(self.height, self.width) >= least:
            return
        size = max(self.height, PUBLISHED_SIZE), max(self.width, PUBLISHED_SIZE)
        if size != (self.height, self.width):
            self.layers.append(Resize(size))
            self.height, self.width = size

    def convolve(self, channels: int, kernel: int = 3, padding: int | None = None, bias: bool = True) -> None:
        """A convolution, by default one that keeps the size."""
        padding = kernel // 2 if padding is None else padding
        kind = GreyConv2d if self.channels == 1 else nn.Conv2d
        self.layers.append(kind(self.channels, channels, kernel, padding=padding, bias=bias))
        grown = 2 * padding - kernel + 1
        self.channels, self.height, self.width = channels, self.height + grown, self.width + grown

    def normalise(self, norm: str) -> None:
        """A row of `NORMS`."""
        self.layers.append(NORMS[norm](self.channels, self.height, self.width))

    def activate(self, activation: str = "relu") -> None:
        """A row of `ACTIVATIONS`."""
        self.layers.append(ACTIVATIONS[activation]())

    def pool(self, pooling: str) -> None:
        """A row of `POOLINGS`.

        Raises:
            InputError: nothing would be left of the images.
        """
        self.layers.append(POOLINGS[pooling]())
        if pooling != "none":
            self.height, self.width = self.height // 2, self.width // 2
        if min(self.height, self.width) < 1:
            raise InputError.about(self.title, f"too deep for images of {self.given[0]}x{self.given[1]}")

    def end_block(self) -> None:
        """What comes out here can be read as the output of a block."""
        self.layers.append(BlockOutput())

    def module(self) -> nn.Sequential:
        """The layers as a module."""
        return Layers(*self.layers)
