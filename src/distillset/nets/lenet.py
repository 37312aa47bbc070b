"""LeNet (LeCun et al. 1998) with ReLU and max pooling, as configured by Zhao et al. (DC, ICLR 2021)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distillset.engine.features import BlockOutput
from distillset.nets.layers import Stack, is_mnist
from distillset.nets.names import Family

FAMILY = Family("LeNet", {}, lambda spec, fields: LeNet(*spec.shape, spec.classes))


class LeNet(nn.Module):
    """Images ``[n, channels, height, width]`` to logits ``[n, classes]``; `embed` is the layer of 84.

    Deviations: the published code knows 1x28x28 and 3x32x32, and pads every one-channel input by 2. Here grey images
    of 28 pixels are padded; other sides below 32 are resized to 32; larger images give larger feature maps, and a first
    linear layer to fit.
    """

    def __init__(self, channels: int, height: int, width: int, classes: int) -> None:
        super().__init__()
        stack = Stack(channels, height, width, "LeNet")
        mnist = is_mnist(channels, height, width)
        if not mnist:
            stack.enlarge()
        stack.convolve(6, kernel=5, padding=2 if mnist else 0)
        stack.activate()
        stack.pool("max")
        stack.end_block()
        stack.convolve(16, kernel=5, padding=0)
        stack.activate()
        stack.pool("max")
        stack.end_block()
        self.features = stack.module()
        self.hidden1 = nn.Linear(stack.features, 120)
        self.block2 = BlockOutput()
        self.hidden2 = nn.Linear(120, 84)
        self.block3 = BlockOutput()
        self.classifier = nn.Linear(84, classes)

    def embed(self, images: Tensor) -> Tensor:
        """``[n, 84]``."""
        maps: Tensor = self.features(images.contiguous(memory_format=torch.channels_last))
        hidden = self.block2(F.relu(self.hidden1(maps.flatten(1))))
        features: Tensor = self.block3(F.relu(self.hidden2(hidden)))
        return features

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.embed(images))
        return logits
