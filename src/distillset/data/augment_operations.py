"""The operations of the differentiable siamese augmentation, in the papers' order and with the papers' ratios.

Each is affine in the images, vectorised over them, never in place, and reads nothing back from their device. The
constants are those of the DSA paper's published code.

Deviations from that code: the sampling grid is that of ``align_corners=True``, as in torch 1.2, for which it was
written (later versions mean False); images that are not square rotate in pixel units (no shear).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

BRIGHTNESS = 1.0
SATURATION = 2.0
CONTRAST = 0.5
CROP_PAD = 0.125
CUTOUT = 0.5
FLIP = 0.5
SCALE = 1.2
ROTATE = 15.0
"""The published ratios (degrees for ROTATE, a probability for FLIP)."""


@dataclass(frozen=True)
class Operation:
    """How one augmentation draws its parameters and how it applies them.

    Attributes:
        sample: (generator, k, height, width) -> parameters, CPU float64 ``[k, p]``.
        apply: (images ``[n, C, H, W]`` in float32 or float64, parameters with k = 1 or n) -> images.
    """

    sample: Callable[[Generator, int, int, int], Tensor]
    apply: Callable[[Tensor, Tensor], Tensor]


def _uniform(generator: Generator, k: int, low: list[float], high: list[float]) -> Tensor:
    """``[k, p]``, column j uniform in [low_j, high_j)."""
    lows, highs = torch.tensor(low, dtype=torch.float64), torch.tensor(high, dtype=torch.float64)
    return lows + (highs - lows) * torch.rand(k, len(low), generator=generator, dtype=torch.float64)


def _integers(generator: Generator, k: int, low: list[int], high: list[int]) -> Tensor:
    """``[k, p]``, column j a uniform integer in [low_j, high_j], both ends included."""
    columns = [torch.randint(a, b + 1, (k,), generator=generator) for a, b in zip(low, high, strict=True)]
    return torch.stack(columns, 1).double()


def _columns(parameters: Tensor, like: Tensor) -> tuple[Tensor, ...]:
    """The parameters in the type and on the device of ``like``, each ``[k, 1, 1, 1]``."""
    # The type first: some devices have no float64.
    moved = parameters.to(like.dtype).to(like.device, non_blocking=True)
    return moved[:, :, None, None, None].unbind(1)


def _sample_color(generator: Generator, k: int, height: int, width: int) -> Tensor:
    half = BRIGHTNESS / 2
    return _uniform(generator, k, [-half, 0.0, 1 - CONTRAST], [half, SATURATION, 1 + CONTRAST])


def _color(images: Tensor, parameters: Tensor) -> Tensor:
    """Brightness, then saturation about each pixel's mean over channels, then contrast about each image's mean."""
    brightness, saturation, contrast = _columns(parameters, images)
    images = images + brightness
    grey = images.mean(dim=1, keepdim=True)
    images = (images - grey) * saturation + grey
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return (images - mean) * contrast + mean


def _sample_crop(generator: Generator, k: int, height: int, width: int) -> Tensor:
    reach = [int(CROP_PAD * size + 0.5) for size in (height, width)]
    return _integers(generator, k, [-r for r in reach], reach)


def _crop(images: Tensor, parameters: Tensor) -> Tensor:
    """Pixel (i, j) becomes pixel (i + row shift, j + column shift), zero beyond the border."""
    if len(parameters) == 1:
        down, right = (int(shift) for shift in parameters[0].tolist())
        return F.pad(images, (-right, right, -down, down))
    n, channels, height, width = images.shape
    shifts = parameters.long().to(images.device, non_blocking=True)
    rows = torch.arange(height, device=images.device) + shifts[:, 0, None]
    columns = torch.arange(width, device=images.device) + shifts[:, 1, None]
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    source = rows.clamp(0, height - 1)[:, :, None] * width + columns.clamp(0, width - 1)[:, None, :]
    source = source.flatten(1)[:, None].expand(-1, channels, -1)
    return images.flatten(2).gather(2, source).view(n, channels, height, width).masked_fill(~inside[:, None], 0.0)


def _box(size: int) -> int:
    return int(CUTOUT * size + 0.5)


def _sample_cutout(generator: Generator, k: int, height: int, width: int) -> Tensor:
    # The centre of an odd box is a pixel; that of an even box is a corner between pixels, of which there is one more.
    last = [size - _box(size) % 2 for size in (height, width)]
    return _integers(generator, k, [0, 0], last)


def _cutout(images: Tensor, parameters: Tensor) -> Tensor:
    """Zero a box of half the height and half the width around the centre, clipped at the borders."""
    centres = parameters.long().to(images.device, non_blocking=True)
    inside = []
    for axis, size in enumerate(images.shape[2:]):
        offsets = torch.arange(size, device=images.device) - centres[:, axis, None] + _box(size) // 2
        inside.append((offsets >= 0) & (offsets < _box(size)))
    return images.masked_fill((inside[0][:, :, None] & inside[1][:, None, :])[:, None], 0.0)


def _sample_flip(generator: Generator, k: int, height: int, width: int) -> Tensor:
    return (torch.rand(k, 1, generator=generator, dtype=torch.float64) < FLIP).double()


def _flip(images: Tensor, parameters: Tensor) -> Tensor:
    """Mirror left and right where the parameter is 1."""
    if len(parameters) == 1:
        return images.flip(-1) if bool(parameters[0, 0]) else images
    mirrored = (parameters > 0).to(images.device, non_blocking=True)
    return torch.where(mirrored[:, :, None, None], images.flip(-1), images)


def _sample_scale(generator: Generator, k: int, height: int, width: int) -> Tensor:
    return _uniform(generator, k, [1 / SCALE, 1 / SCALE], [SCALE, SCALE])


def _scale(images: Tensor, parameters: Tensor) -> Tensor:
    """Multiply the sampling grid per axis: a factor above 1 shrinks the content."""
    rows, columns = _columns(parameters, images)
    zero = torch.zeros_like(rows)
    return _resample(images, rows, zero, zero, columns)


def _sample_rotate(generator: Generator, k: int, height: int, width: int) -> Tensor:
    limit = math.radians(ROTATE)
    return _uniform(generator, k, [-limit], [limit])


def _rotate(images: Tensor, parameters: Tensor) -> Tensor:
    """Rotate the sampling grid about the image's centre, in pixel units."""
    (angle,) = _columns(parameters, images)
    cosine, sine = angle.cos(), angle.sin()
    return _resample(images, cosine, sine, -sine, cosine)


def _resample(images: Tensor, row_row: Tensor, row_column: Tensor, column_row: Tensor, column_column: Tensor) -> Tensor:
    """Bilinear samples with zeros outside, at positions that are a linear map of each pixel's offset from the centre.

    Each coefficient is ``[k, 1, 1, 1]``: source row = row_row * row + row_column * column; likewise the source column.
    """
    n, _, height, width = images.shape
    row = torch.arange(height, device=images.device, dtype=images.dtype)[:, None] - (height - 1) / 2
    column = torch.arange(width, device=images.device, dtype=images.dtype) - (width - 1) / 2
    source_row = (row_row * row + row_column * column).squeeze(1)
    source_column = (column_row * row + column_column * column).squeeze(1)
    # The positions are those of align_corners=True: the map acts between pixel centres. The flag below only says how
    # they are normalised for grid_sample: by the size, as size - 1 cannot express a position beside a one-pixel image.
    grid = torch.stack((source_column * (2 / width), source_row * (2 / height)), dim=-1)
    return F.grid_sample(images, grid.expand(n, -1, -1, -1), mode="bilinear", padding_mode="zeros", align_corners=False)


OPERATIONS: dict[str, Operation] = {
    "color": Operation(_sample_color, _color),
    "crop": Operation(_sample_crop, _crop),
    "cutout": Operation(_sample_cutout, _cutout),
    "flip": Operation(_sample_flip, _flip),
    "scale": Operation(_sample_scale, _scale),
    "rotate": Operation(_sample_rotate, _rotate),
}
"""The augmentations by name, in the papers' order."""
