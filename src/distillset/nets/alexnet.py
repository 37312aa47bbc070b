"""AlexNet (Krizhevsky et al. 2012) for small images, as configured by Zhao et al. (DC, ICLR 2021): no dropout, one
linear layer.
"""

import torch
from torch import Tensor, nn

from distillset.nets.layers import Stack, is_mnist
from distillset.nets.names import NORM_WORDS, Family, Word

FAMILY = Family(
    "AlexNet",
    {"norm": Word(NORM_WORDS, "none")},
    lambda spec, fields: AlexNet(*spec.shape, spec.classes, fields["norm"]),
)
LAYERS = ((128, 5, True), (192, 5, True), (256, 3, False), (192, 3, False), (192, 3, True))
"""Channels and kernel of each convolution, and whether max pooling follows."""


class AlexNet(nn.Module):
    """Images ``[n, channels, height, width]`` to logits ``[n, classes]``; `embed` is the flattened last feature map.

    Deviations: the published code knows 1x28x28 and 3x32x32, and pads every one-channel input by 4. Here grey images of
    28 pixels are padded; other sides below 32 are resized to 32; larger images give larger feature maps, and a linear
    layer to fit.
    """

    def __init__(self, channels: int, height: int, width: int, classes: int, norm: str = "none") -> None:
        super().__init__()
        stack = Stack(channels, height, width, "AlexNet")
        mnist = is_mnist(channels, height, width)
        if not mnist:
            stack.enlarge()
        for outputs, kernel, pooled in LAYERS:
            stack.convolve(outputs, kernel, padding=4 if mnist and not stack.layers else kernel // 2)
            if norm != "none":
                stack.normalise(norm)
            stack.activate()
            if pooled:
                stack.pool("max")
            stack.end_block()
        self.features = stack.module()
        self.classifier = nn.Linear(stack.features, classes)

    def embed(self, images: Tensor) -> Tensor:
        """``[n, 192 * (height // 8) * (width // 8)]``."""
        maps: Tensor = self.features(images.contiguous(memory_format=torch.channels_last))
        return maps.flatten(1)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.embed(images))
        return logits
