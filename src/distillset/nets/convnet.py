"""ConvNet, the network of the field: blocks of convolution, norm, activation and pooling, then one linear layer.

Gidaris and Komodakis (CVPR 2018), as configured by Zhao et al. (DC, ICLR 2021, section 4.1) and all later work:
width 128, depth 3, instance norm, ReLU, average pooling.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from distillset.errors import InputError
from distillset.nets.layers import ACTIVATIONS, NORMS, POOLINGS, Stack, is_mnist
from distillset.nets.names import NORM_WORDS, Family, Number, Word

WIDEST, DEEPEST = 8192, 64


def default_depth(height: int, width: int) -> int:
    """The depth for an image size: the papers' 3 at 28 and 32, 4 at 64, 5 at 128, 6 at 256; 1 at 8."""
    return max(1, round(math.log2(min(height, width))) - 2)


@dataclass(frozen=True)
class ConvNetConfig:
    """Fields of a ConvNet. ``depth=None`` follows the image size (`default_depth`).

    Raises:
        InputError: a name that is not in `ACTIVATIONS`, `NORMS` or `POOLINGS`, or a width or depth out of range.
    """

    width: int = 128
    depth: int | None = None
    activation: str = "relu"
    norm: str = "instance"
    pooling: str = "avg"

    def __post_init__(self) -> None:
        for field, table in (("activation", ACTIVATIONS), ("norm", NORMS), ("pooling", POOLINGS)):
            if getattr(self, field) not in table:
                raise InputError(field, getattr(self, field), f"choose one of {', '.join(table)}")
        for field, value, most in (("width", self.width, WIDEST), ("depth", self.depth, DEEPEST)):
            if value is not None and not 1 <= value <= most:
                raise InputError(field, value, f"a ConvNet's {field} must be from 1 to {most}")
        if self.norm == "group" and self.width % 4:
            raise InputError("width", self.width, "the width of a ConvNet with group norm must be a multiple of 4")


PARTS: dict[str, Word | Number] = {
    "depth": Number("D", None),
    "width": Number("W", 128),
    "activation": Word({"AS": "sigmoid", "AR": "relu", "AL": "leakyrelu", "ASwish": "swish"}, "relu"),
    "norm": Word(NORM_WORDS, "instance"),
    "pooling": Word({"NP": "none", "MP": "max", "AP": "avg"}, "avg"),
}
FAMILY = Family("ConvNet", PARTS, lambda spec, fields: ConvNet(*spec.shape, spec.classes, ConvNetConfig(**fields)))


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
        stack = Stack(channels, height, width, f"depth {depth} of ConvNet")
        for block in range(depth):
            stack.convolve(config.width, padding=3 if block == 0 and is_mnist(channels, height, width) else 1)
            stack.normalise(config.norm)
            stack.activate(config.activation)
            stack.pool(config.pooling)
            stack.end_block()
        self.features = stack.module()
        self.classifier = nn.Linear(stack.features, classes)

    def embed(self, images: Tensor) -> Tensor:
        """The flattened output of the last block, ``[n, width * h * w]``."""
        features: Tensor = self.features(images.contiguous(memory_format=torch.channels_last))
        return features.flatten(1)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.embed(images))
        return logits
