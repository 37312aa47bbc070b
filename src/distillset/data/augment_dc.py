"""The augmentation of the DC paper's evaluation on MNIST: crop, scale, rotate, one of them for each image.

From the authors' code of Zhao, Mopuri and Bilen, "Dataset Condensation with Gradient Matching" (ICLR 2021), where
networks that are tested on MNIST are trained with it. It is not differentiable and not siamese: distillation cannot use
it. Random numbers come from a `Key`; rotation is SciPy's, as there.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from distillset.keys import Key

CROP, SCALE, ROTATE = 4, 0.2, 45
"""Pixels of padding, the relative range of each side, degrees."""


@dataclass(frozen=True, eq=False)
class DCDraw:
    """For each image of a batch: an operation (0 crop, 1 scale, 2 rotate) and its parameters.

    Attributes:
        operations: ``int64 [n]``.
        offsets: rows and columns at which the padded image is cut, ``int64 [n, 2]``, 0 to 7.
        factors: of height and width, ``float64 [n, 2]``.
        angles: whole degrees, ``int64 [n]``.
    """

    operations: Tensor
    offsets: Tensor
    factors: Tensor
    angles: Tensor

    def apply(self, images: Tensor) -> Tensor:
        """The augmented images ``[n, C, H, W]``; the input is never written to."""
        device, images = images.device, images.cpu()  # where SciPy is
        means = images.mean((0, 2, 3))
        made = []
        for image, operation, offset, factor, angle in zip(
            images,
            self.operations.tolist(),
            self.offsets.tolist(),
            self.factors.tolist(),
            self.angles.tolist(),
            strict=True,
        ):
            if operation == 0:
                made.append(_crop(image, means, *offset))
            elif operation == 1:
                made.append(_scale(image, *factor))
            else:
                made.append(_rotate(image, float(means.mean()), angle))
        return torch.stack(made).to(device)


@dataclass(frozen=True)
class DCAugmentation:
    """What draws them. Its name in a recipe is `NAME`."""

    NAME: ClassVar[str] = "dc/crop_scale_rotate"

    def draw(self, key: Key, shape: tuple[int, int, int], count: int) -> DCDraw:
        """Parameters for ``count`` images; those of operations that are not drawn are there and not used."""
        generator = key.generator()
        return DCDraw(
            torch.randint(3, (count,), generator=generator),
            torch.randint(2 * CROP, (count, 2), generator=generator),
            1 + SCALE * (2 * torch.rand(count, 2, generator=generator, dtype=torch.float64) - 1),
            torch.randint(-ROTATE, ROTATE, (count,), generator=generator),
        )


def _crop(image: Tensor, means: Tensor, row: int, column: int) -> Tensor:
    """A window of the image, padded with the batch's mean of each channel."""
    channels, height, width = image.shape
    padded = means[:, None, None].expand(channels, height + 2 * CROP, width + 2 * CROP).clone()
    padded[:, CROP : CROP + height, CROP : CROP + width] = image
    return padded[:, row : row + height, column : column + width]


def _scale(image: Tensor, vertical: float, horizontal: float) -> Tensor:
    """Nearest neighbour; what is smaller than before is centred on zeros, what is larger is cut around its centre."""
    _, height, width = image.shape
    scaled = F.interpolate(image[None], [int(vertical * height), int(horizontal * width)])[0]
    return _centre(scaled, height, width, 0.0)


def _rotate(image: Tensor, fill: float, angle: int) -> Tensor:
    """By cubic splines onto a canvas that holds all of it, cut around its centre."""
    from scipy.ndimage import rotate

    _, height, width = image.shape
    turned = rotate(image.numpy(), angle, axes=(-2, -1), cval=fill)
    return _centre(torch.from_numpy(turned).to(image), height, width, fill)


def _centre(image: Tensor, height: int, width: int, fill: float) -> Tensor:
    """Cut or padded to a size, around the centre."""
    top, left = (height - image.shape[1]) // 2, (width - image.shape[2]) // 2
    return F.pad(image, (left, width - image.shape[2] - left, top, height - image.shape[1] - top), value=fill)
