"""The augmentation of the DC paper's evaluation: for each image of a batch one of crop, scale, rotate and noise.

From the authors' code of Zhao, Mopuri and Bilen, "Dataset Condensation with Gradient Matching" (ICLR 2021): networks
tested on MNIST are trained with crop, scale and rotate, and `ConvNetBN` with crop and noise. It is not siamese, and
distillation does not use it. For an image of side H (height and width apart):

- crop: a window of the image in a frame of 4 pixels, each channel's the mean of the batch. It begins r = 0..7 rows
  down the frame.
- scale: nearest neighbour to ``h = floor(f H)``, f in [0.8, 1.2), on zeros of side ``m = max(h, w, H, W)``, of which
  the middle is cut: row d of the scaled image becomes row ``d + floor((m - h) / 2) - floor((m - H) / 2)``.
- rotate: by a = -45..44 degrees and cubic splines (`distillset.augment.splines`) onto a canvas that holds all of it,
  of side ``m = floor(H cos|a| + W sin|a| + 1/2)``. The window from row ``floor((m - H) / 2)`` on is cut out. Outside is
  the mean of the batch. Where m - H is odd, the content lies half a pixel below and right of the centre, as published.
- noise: normal, of 0.001.

All of it is tensor operations on the device of the images, for all images at once. Deviations: random numbers come
from named streams; a width that is not the height is scaled by itself, not as the height; where d H / h is whole, it is
not rounded below (as PyTorch does at some sizes, 28 not among them); an image is scaled to at least one pixel.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from distillset.augment.splines import turned
from distillset.augment.table import Shape, check_images
from distillset.keys import fold, normal, uniform

CROP, SCALE, ROTATE, NOISE = 4, 0.2, 45, 0.001
"""Pixels of padding, the relative range of each side, degrees; the noise's standard deviation, in normalised space."""

Augment = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Images ``[n, C, H, W]``, means of their batches ``[n, C]``, rows ``[n, 3]`` -> images."""

OPERATIONS = ("crop", "scale", "rotate", "noise")
"""A row's first number is a place in this."""


@dataclass(frozen=True, eq=False)
class DCTable:
    """An operation and its parameters for each image of some batches.

    Attributes:
        numbers: float64 ``[k * count, 3]``: the operation, and for crop the row and column in the frame at which the
            window begins, for scale the height and width, for rotate the degrees and 0, for noise zeros.
        words: the streams of the noise, int64 ``[k, 2]``, one a batch.
        shape: (C, H, W) of the images it was drawn for.
        strategy: the operations that may be among them.
        on_host: whether the host may read which they are, so that only those are done, to each image its own.
    """

    numbers: Tensor
    words: Tensor
    shape: Shape
    strategy: tuple[str, ...] = OPERATIONS
    on_host: bool = False

    def apply(self, images: Tensor) -> Tensor:
        """The augmented images ``[k * count, C, H, W]``; the input is never written to.

        Half precision is computed in float32.

        Raises:
            InputError: the images' shape, number or type is not what this table was drawn for.
        """
        check_images(images, self.shape, len(self.numbers))
        dtype, images = images.dtype, images if images.dtype in (torch.float32, torch.float64) else images.float()
        batches = images.unflatten(0, (len(self.words), -1))
        means = batches.mean((1, 3, 4))[:, None].expand(batches.shape[:3]).flatten(0, 1)
        arguments = images, means, self.numbers.to(images.device, non_blocking=True)
        operations, result = self.numbers[:, 0], images
        if "noise" in self.strategy:
            noise = normal(self.words.to(images.device), batches.shape[1:]).flatten(0, 1).to(images)
            noisy = (operations == 3).to(images.device)
            result = torch.where(noisy[:, None, None, None], images + NOISE * noise, images)
        if "crop" in self.strategy or "scale" in self.strategy:
            result = self._where(operations < 2, _nearest, result, arguments)
        if "rotate" in self.strategy:
            result = self._where(operations == 2, _rotated, result, arguments)
        return result.to(dtype)

    def _where(self, chosen: Tensor, function: Augment, result: Tensor, arguments: tuple[Tensor, ...]) -> Tensor:
        """``function`` of the chosen rows of the arguments, and the rest of ``result``."""
        if not self.on_host:
            return torch.where(chosen.to(result.device)[:, None, None, None], function(*arguments), result)
        rows = chosen.nonzero(as_tuple=True)[0].to(result.device)
        return result.index_copy(0, rows, function(*(each[rows] for each in arguments)))


@dataclass(frozen=True)
class DCAugmentation:
    """What draws them.

    Args:
        strategy: names in `OPERATIONS`, of which each image has one with equal probability.
    """

    strategy: tuple[str, ...] = ("crop", "scale", "rotate")

    def __str__(self) -> str:
        return "dc/" + "_".join(self.strategy)

    def draw(self, words: Tensor, shape: Shape, count: int, on_host: bool = False) -> DCTable:
        """Parameters for ``count`` images of each stream.

        Args:
            words: int64 ``[2]`` or ``[k, 2]``, the streams.
            shape: (C, H, W) of the images.
            count: images of a batch.
            on_host: let the host read the operations when they are applied, of words on a CPU: faster where nothing is
                compiled. Without, nothing asks the host.
        """
        words = words.reshape(-1, 2)
        choice, first, second = uniform(words, (count, 3), dtype=torch.float64).flatten(0, 1).unbind(1)
        names = (choice * len(self.strategy)).long()
        operations, pairs = (
            torch.zeros_like(first),
            torch.zeros((2, len(first)), dtype=first.dtype, device=first.device),
        )
        drawn = torch.stack((first, second))
        for number, name in enumerate(self.strategy):
            operations = torch.where(names == number, OPERATIONS.index(name), operations)
            if name != "noise":
                pairs = torch.where(names == number, _parameters(name, drawn, shape), pairs)
        return DCTable(torch.stack((operations, *pairs), 1), fold(words, 0), shape, self.strategy, on_host)


DC_AUGMENTATIONS = {str(each): each for each in (DCAugmentation(), DCAugmentation(("crop", "noise")))}
"""Those of the DC paper's evaluation, by their names in a recipe."""


def _parameters(operation: str, uniforms: Tensor, shape: Shape) -> Tensor:
    """``[2, n]`` of uniform numbers ``[2, n]``."""
    if operation == "crop":
        return (uniforms * (2 * CROP)).floor()
    if operation == "scale":
        sides = [(1 - SCALE + 2 * SCALE * u) * side for u, side in zip(uniforms, shape[1:], strict=True)]
        return torch.stack(sides).floor().clamp(min=1)
    angles = (uniforms[0] * (2 * ROTATE)).floor() - ROTATE
    return torch.stack((angles, torch.zeros_like(angles)))


def _nearest(images: Tensor, means: Tensor, numbers: Tensor) -> Tensor:
    """Crop and scale: every pixel is one of the image's, or the filling; ``means [n, C]``."""
    _, channels, height, width = images.shape
    crop = numbers[:, 0] == 0
    largest = numbers[:, 1:].amax(1).clamp(min=max(height, width))
    rows, columns = (
        _places(length, crop[:, None], numbers[:, 1 + side, None], largest[:, None])
        for side, length in enumerate((height, width))
    )
    inside = (rows >= 0)[:, :, None] & (columns >= 0)[:, None, :]
    index = rows.clamp(min=0)[:, :, None] * width + columns.clamp(min=0)[:, None, :]
    taken = images.flatten(2).gather(2, index.flatten(1)[:, None].expand(-1, channels, -1)).view_as(images)
    fill = torch.where(crop[:, None], means, 0.0)[:, :, None, None]
    return torch.where(inside[:, None], taken, fill)


def _places(length: int, crop: Tensor, number: Tensor, largest: Tensor) -> Tensor:
    """Where each pixel of a side comes from, int64 ``[n, length]``; -1 is outside. ``number``: a row's parameter."""
    pixel = torch.arange(length, device=number.device)
    start, size = number.long() - CROP, number.long().clamp(min=1)
    margin = (largest.long() - size) // 2 - (largest.long() - length) // 2
    cropped = pixel + start
    cropped = torch.where((cropped >= 0) & (cropped < length), cropped, -1)
    scaled = pixel - margin
    scaled = torch.where((scaled >= 0) & (scaled < size), scaled * length // size, -1)
    return torch.where(crop, cropped, scaled)


def _rotated(images: Tensor, means: Tensor, numbers: Tensor) -> Tensor:
    """The window of the turned image; ``means [n, C]``."""
    height, width = images.shape[2:]
    angle = torch.deg2rad(numbers[:, 1])
    cosine, sine = angle.cos(), angle.sin().abs()
    canvas = (height * cosine + width * sine + 0.5).floor(), (width * cosine + height * sine + 0.5).floor()
    shifts = [((m - length) / 2).floor() - (m - length) / 2 for m, length in zip(canvas, (height, width), strict=True)]
    return turned(images, angle, torch.stack(shifts, 1), means.mean(1))
