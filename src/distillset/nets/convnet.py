"""ConvNet, the network of the field: blocks of convolution, norm, activation and pooling, then one linear layer.

Gidaris and Komodakis (CVPR 2018), as configured by Zhao et al. (DC, ICLR 2021, section 4.1) and all later work:
width 128, depth 3, instance norm, ReLU, average pooling.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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
    """A 3x3 convolution of one-channel images ``[n, 1, H, W]``: the same numbers, in shapes that have fast kernels.

    On CPUs the one-channel kernels give their output in an order of its own, and weight gradients with a padding above
    1 are six times slower. Hence a border of zeros in place of the padding, and three blank channels (measured on
    ConvNet-3 at 28x28 in bf16: 43 against 55 ms for 64 embeddings, 114 against 170 ms for their gradients).
    """

    def forward(self, images: Tensor) -> Tensor:
        border = int(self.padding[0]) - 1
        padded = F.pad(images, (border, border, border, border, 0, 3)).contiguous(memory_format=torch.channels_last)
        weight = F.pad(self.weight, (0, 0, 0, 0, 0, 3))
        return F.conv2d(padded, weight, self.bias, padding=1)


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


def default_depth(height: int, width: int) -> int:
    """The depth for an image size: the papers' 3 at 28 and 32, 4 at 64, 5 at 128, 6 at 256; 1 at 8."""
    return max(1, round(math.log2(min(height, width))) - 2)


@dataclass(frozen=True)
class ConvNetConfig:
    """Fields of a ConvNet. ``depth=None`` follows the image size (`default_depth`).

    Raises:
        InputError: a name that is not in `ACTIVATIONS`, `NORMS` or `POOLINGS`, or a width or depth below 1.
    """

    width: int = 128
    depth: int | None = None
    activation: str = "relu"
    norm: str = "instance"
    pooling: str = "avg"

    def __post_init__(self) -> None:
        for field, table in (("activation", ACTIVATIONS), ("norm", NORMS), ("pooling", POOLINGS)):
            if getattr(self, field) not in table:
                raise InputError(f"{field} {getattr(self, field)!r} of ConvNet: choose one of {', '.join(table)}")
        if self.width < 1 or (self.depth is not None and self.depth < 1):
            raise InputError(f"width {self.width} and depth {self.depth} of ConvNet: both must be at least 1")
        if self.norm == "group" and self.width % 4:
            raise InputError(f"width {self.width} of ConvNet: group norm has 4 groups, so it must be a multiple of 4")

    @classmethod
    def parse(cls, name: str) -> "ConvNetConfig | None":
        """The fields in a published name (``ConvNetD4``, ``ConvNetASwishBN``), or None if it is not one."""
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        depth, width, activation, norm, pooling = match.groups()
        return cls(
            width=int(width or 128),
            depth=int(depth) if depth else None,
            activation=_ACTIVATION_LETTERS[(activation or "R").lower()],
            norm=_NORM_LETTERS[(norm or "I")[0].upper()],
            pooling=_POOLING_LETTERS[(pooling or "A")[0].upper()],
        )


_NAME = re.compile(r"ConvNet(?:D(\d+))?(?:W(\d+))?(?:A(Swish|[SRL]))?([NBLIG]N)?([NMA]P)?", re.IGNORECASE)
_ACTIVATION_LETTERS = {"s": "sigmoid", "r": "relu", "l": "leakyrelu", "swish": "swish"}
_NORM_LETTERS = {"N": "none", "B": "batch", "L": "layer", "I": "instance", "G": "group"}
_POOLING_LETTERS = {"N": "none", "M": "max", "A": "avg"}


class ConvNet(nn.Module):
    """Images ``[n, channels, height, width]`` to logits ``[n, classes]``; `embed` stops before the classifier.

    The first convolution has padding 3 for one-channel images, so that 28 pixels become 32, as published. Deviation:
    the published code pads every one-channel input so; here only inputs of 28 pixels are (protocols of sizes not in the
    papers).

    Raises:
        InputError: the images are too small for the depth.
    """

    def __init__(self, channels: int, height: int, width: int, classes: int, config: ConvNetConfig) -> None:
        super().__init__()
        depth = config.depth or default_depth(height, width)
        blocks: list[nn.Module] = []
        inputs, h, w = channels, height, width
        for block in range(depth):
            padding = 3 if block == 0 and channels == 1 and (height, width) == (28, 28) else 1
            h, w = h + 2 * padding - 2, w + 2 * padding - 2
            blocks += [
                (GreyConv2d if inputs == 1 else nn.Conv2d)(inputs, config.width, 3, padding=padding),
                NORMS[config.norm](config.width, h, w),
                ACTIVATIONS[config.activation](),
                POOLINGS[config.pooling](),
            ]
            inputs = config.width
            if config.pooling != "none":
                h, w = h // 2, w // 2
            if min(h, w) < 1:
                raise InputError(f"depth {depth} of ConvNet: too deep for images of {height}x{width}")
        self.features = nn.Sequential(*blocks)
        self.classifier = nn.Linear(inputs * h * w, classes)

    def embed(self, images: Tensor) -> Tensor:
        """The flattened output of the last block, ``[n, width * h * w]``."""
        features: Tensor = self.features(images.contiguous(memory_format=torch.channels_last))
        return features.flatten(1)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.embed(images))
        return logits
