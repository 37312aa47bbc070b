"""MLP: two hidden layers of 128 with ReLU on the flattened pixels, as configured by Zhao et al. (DC, ICLR 2021)."""

import torch.nn.functional as F
from torch import Tensor, nn

from distillset.engine.features import BlockOutput
from distillset.nets.names import Family

FAMILY = Family("MLP", {}, lambda spec, fields: MLP(*spec.shape, spec.classes))


class MLP(nn.Module):
    """Images ``[n, channels, height, width]`` to logits ``[n, classes]``; `embed` is the second hidden layer.

    Deviation: any image size; the published code knows 1x28x28 and 3x32x32.
    """

    def __init__(self, channels: int, height: int, width: int, classes: int, hidden: int = 128) -> None:
        super().__init__()
        self.hidden1 = nn.Linear(channels * height * width, hidden)
        self.block0 = BlockOutput()
        self.hidden2 = nn.Linear(hidden, hidden)
        self.block1 = BlockOutput()
        self.classifier = nn.Linear(hidden, classes)

    def embed(self, images: Tensor) -> Tensor:
        """``[n, 128]``."""
        hidden = self.block0(F.relu(self.hidden1(images.flatten(1))))
        features: Tensor = self.block1(F.relu(self.hidden2(hidden)))
        return features

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.embed(images))
        return logits
