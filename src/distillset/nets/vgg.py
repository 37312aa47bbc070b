"""VGG11 (Simonyan and Zisserman, ICLR 2015) for small images, as configured by Zhao et al. (DC, ICLR 2021): a norm
after each convolution, one linear layer.
"""

import torch
from torch import Tensor, nn

from distillset.nets.layers import Stack, is_mnist
from distillset.nets.names import NORM_WORDS, Family, Word

FAMILY = Family(
    "VGG11",
    {"norm": Word(NORM_WORDS, "instance")},
    lambda spec, fields: VGG(*spec.shape, spec.classes, fields["norm"]),
)
VGG11 = ((64,), (128,), (256, 256), (512, 512), (512, 512))
"""Convolutions of each stage; max pooling follows each stage."""


class VGG(nn.Module):
    """Images ``[n, channels, height, width]`` to logits ``[n, classes]``; `embed` is the last feature map's mean.

    Deviations: the published code knows 28 and 32 pixels, where the last feature map is 1x1, and pads every one-channel
    input by 3. Here grey images of 28 pixels are padded; other sides below 32 are resized to 32; of larger images the
    last feature map is averaged, so that the linear layer stays the published one.
    """

    def __init__(self, channels: int, height: int, width: int, classes: int, norm: str = "instance") -> None:
        super().__init__()
        stack = Stack(channels, height, width, "VGG11")
        mnist = is_mnist(channels, height, width)
        if not mnist:
            stack.enlarge()
        for stage in VGG11:
            for outputs in stage:
                stack.convolve(outputs, padding=3 if mnist and not stack.layers else 1)
                stack.normalise(norm)
                stack.activate()
            stack.pool("max")
            stack.end_block()
        self.features = stack.module()
        self.classifier = nn.Linear(stack.channels, classes)

    def embed(self, images: Tensor) -> Tensor:
        """``[n, 512]``."""
        maps: Tensor = self.features(images.contiguous(memory_format=torch.channels_last))
        return maps.mean((2, 3))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.embed(images))
        return logits
