"""The augmentation of the DC paper's evaluation of ``ConvNetBN``: for each image a crop or a little noise.

From the authors' code of Zhao, Mopuri and Bilen, "Dataset Condensation with Gradient Matching" (ICLR 2021), which
trains networks of exactly that name with it, and for 1,000 epochs. Random numbers come from a `Key`.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from distillset.keys import Key

CROP, NOISE = 4, 0.001
"""Pixels of padding; the noise's standard deviation, in normalised space."""


@dataclass(frozen=True, eq=False)
class CropNoiseDraw:
    """For each image of a batch: an operation (0 crop, 1 noise) and its parameters.

    Attributes:
        operations: ``int64 [n]``.
        offsets: rows and columns at which the padded image is cut, ``int64 [n, 2]``, 0 to 7.
        noise: the stream of the noise.
    """

    operations: Tensor
    offsets: Tensor
    noise: Key

    def apply(self, images: Tensor) -> Tensor:
        """The augmented images ``[n, C, H, W]``; the input is never written to."""
        n, channels, height, width = images.shape
        device = images.device
        means = images.mean((0, 2, 3))[None, :, None, None]
        padded = means.expand(n, channels, height + 2 * CROP, width + 2 * CROP).clone()
        padded[:, :, CROP : CROP + height, CROP : CROP + width] = images
        top, left = self.offsets.to(device).unbind(1)
        rows = (top[:, None] + torch.arange(height, device=device))[:, None, :, None]
        columns = (left[:, None] + torch.arange(width, device=device))[:, None, None, :]
        image = torch.arange(n, device=device)[:, None, None, None]
        channel = torch.arange(channels, device=device)[None, :, None, None]
        noise = torch.randn(images.shape, generator=self.noise.generator()).to(images)
        noisy = self.operations.to(device).bool()[:, None, None, None]
        return torch.where(noisy, images + NOISE * noise, padded[image, channel, rows, columns])


@dataclass(frozen=True)
class CropNoise:
    """What draws them. Its name in a recipe is `NAME`."""

    NAME: ClassVar[str] = "dc/crop_noise"

    def draw(self, key: Key, shape: tuple[int, int, int], count: int) -> CropNoiseDraw:
        """Parameters for ``count`` images; those of operations that are not drawn are there and not used."""
        generator = key.generator()
        operations = torch.randint(2, (count,), generator=generator)
        return CropNoiseDraw(operations, torch.randint(2 * CROP, (count, 2), generator=generator), key("noise"))
