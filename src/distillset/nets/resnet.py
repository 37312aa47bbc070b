"""ResNet18 (He et al., CVPR 2016) for small images, as configured by Zhao et al. (DC, ICLR 2021), and its form ``_AP``
in which average pooling takes the place of strides.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distillset.engine.features import BlockOutput
from distillset.nets.layers import NORMS, Stack, numbered
from distillset.nets.names import NORM_WORDS, Family, Word

FAMILY = Family(
    "ResNet18",
    {"norm": Word(NORM_WORDS, "instance"), "halving": Word({"AP": "avg"}, "stride")},
    lambda spec, fields: ResNet(*spec.shape, spec.classes, fields["norm"], fields["halving"]),
)
STAGES = (64, 128, 256, 512)
"""Channels of each stage of two blocks; all stages but the first halve height and width."""


class Block(nn.Module):
    """Two 3x3 convolutions and what goes around them, from ``[n, inputs, height, width]`` to ``outputs`` channels.

    Args:
        halve: ``no``, or how height and width are halved: by the ``stride`` of the first convolution, rounding up, or
            by ``avg`` pooling behind it, rounding down.
    """

    def __init__(self, inputs: int, outputs: int, size: tuple[int, int], norm: str, halve: str) -> None:
        super().__init__()
        stride = 2 if halve == "stride" else 1
        size = halved(size, "stride") if halve == "stride" else size
        after = halved(size, "avg") if halve == "avg" else size
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm1 = NORMS[norm](outputs, *size)
        self.pool = nn.AvgPool2d(2) if halve == "avg" else nn.Identity()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = NORMS[norm](outputs, *after)
        self.around = nn.Sequential()
        if halve != "no":
            self.around = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), self.pool, NORMS[norm](outputs, *after)
            )

    def forward(self, maps: Tensor) -> Tensor:
        inner = self.pool(F.relu(self.norm1(self.conv1(maps))))
        return F.relu(self.norm2(self.conv2(inner)) + self.around(maps))


def halved(size: tuple[int, int], how: str) -> tuple[int, int]:
    """Height and width after a `Block` that halves them."""
    up = 1 if how == "stride" else 0
    return (size[0] + up) // 2, (size[1] + up) // 2


class ResNet(nn.Module):
    """Images ``[n, channels, height, width]`` to logits ``[n, classes]``.

    `embed` is the last feature map's mean; in the form ``avg`` it is that map, flattened.

    Images of 28 pixels go through as they are: 28, 14, 7, 4 across (3 in the form ``avg``), as published.

    Deviations: the published code knows 28 and 32 pixels. Here images with a side below 28 are resized to 32; of larger
    ones the mean is taken over the whole last feature map, which at 28 and 32 pixels is the published 4x4, and ``avg``
    has a linear layer to fit.
    """

    def __init__(
        self, channels: int, height: int, width: int, classes: int, norm: str = "instance", halving: str = "stride"
    ) -> None:
        super().__init__()
        stem = Stack(channels, height, width, "ResNet18")
        stem.enlarge(least=28)
        stem.convolve(STAGES[0], bias=False)
        stem.normalise(norm)
        stem.activate()
        inputs, size = stem.channels, (stem.height, stem.width)
        blocks: list[nn.Module] = []
        for stage, outputs in enumerate(STAGES):
            for halve in ("no" if stage == 0 else halving, "no"):
                blocks.append(Block(inputs, outputs, size, norm, halve))
                inputs, size = outputs, size if halve == "no" else halved(size, halve)
            blocks.append(BlockOutput())
        self.features = nn.Sequential(numbered([stem.module(), *blocks]))
        self.flat = halving == "avg"
        self.classifier = nn.Linear(inputs * size[0] * size[1] if self.flat else inputs, classes)

    def embed(self, images: Tensor) -> Tensor:
        """``[n, 512]``, or flattened ``[n, 512 * (height // 8) * (width // 8)]``."""
        maps: Tensor = self.features(images.contiguous(memory_format=torch.channels_last))
        return maps.flatten(1) if self.flat else maps.mean((2, 3))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.embed(images))
        return logits
