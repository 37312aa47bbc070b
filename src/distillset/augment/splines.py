"""Images turned by cubic B-splines, as SciPy's ``ndimage.rotate`` has it, for a batch of images and angles at once.

A B-spline of degree 3 through the pixels x of a side has coefficients c with ``(c(i-1) + 4 c(i) + c(i+1)) / 6 = x(i)``,
continued by mirrors about the outer pixels. The inverse is a convolution with ``sqrt(3) z^|d|``, ``z = sqrt(3) - 2``
(Unser, "Splines: a perfect fit for signal and image processing", IEEE SPM 1999), here summed over all mirror images in
closed form. The value between pixels is four of the coefficients a side, weighted; in pairs they are linear samples
(Sigg and Hadwiger, "Fast third-order texture filtering", GPU Gems 2, 2005), so that four bilinear samples give a pixel.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from distillset.augment.sampling import centred

POLE = math.sqrt(3) - 2


def turned(images: Tensor, angles: Tensor, shifts: Tensor, fill: Tensor) -> Tensor:
    """The images at their pixels' places, moved by ``shifts`` and then turned about the centre.

    Args:
        images: ``[n, C, H, W]``.
        angles: radians, float64 ``[n]``; pixel (row, column) is taken from (row cos + column sin, column cos - row
            sin), so that the content turns against the clock.
        shifts: what is added to row and column, float64 ``[n, 2]``.
        fill: the value outside the outer pixels' centres, ``[n]``.
    """
    height, width = images.shape[2:]
    row, column = centred(images)
    down, right, cosine, sine = torch.stack((*shifts.unbind(1), angles.cos(), angles.sin())).to(images.dtype)[
        ..., None, None
    ]
    row, column = row + down, column + right
    rows = cosine * row + sine * column + (height - 1) / 2
    columns = cosine * column - sine * row + (width - 1) / 2
    inside = (rows >= 0) & (rows <= height - 1) & (columns >= 0) & (columns <= width - 1)
    # In float64, as in SciPy, which neither autocast nor TF32 shortens.
    coefficients = (_inverse(height, images) @ images.double() @ _inverse(width, images).T).to(images.dtype)
    result = torch.zeros_like(images)
    for at, down in _linear(rows):
        for along, across in _linear(columns):
            places = torch.stack((along * (2 / max(width - 1, 1)) - 1, at * (2 / max(height - 1, 1)) - 1), -1)
            sampled = F.grid_sample(coefficients, places, padding_mode="reflection", align_corners=True)
            result = result + sampled * (down * across)[:, None]
    return torch.where(inside[:, None], result, fill[:, None, None, None])


def _linear(positions: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The two places at which linear samples of the coefficients, weighted, add up to the spline's value.

    A fraction f after a pixel, the weights of four coefficients are ``(1-f)^3``, ``4 - 6 f^2 + 3 f^3``, the same of
    1-f, and ``f^3``, over 6.
    """
    whole = positions.floor()
    f = positions - whole
    g = 1 - f
    before = (((2 * f - 3) * f - 3) * f + 5) / 6  # the first two weights together
    after = 1 - before
    return (whole - g * g * g / (6 * before), before), (whole + 1 + f * f * f / (6 * after), after)


def _inverse(length: int, like: Tensor) -> Tensor:
    """Pixels of a side to coefficients, float64 ``[length, length]`` on the device of ``like``."""
    at = torch.arange(length, device=like.device, dtype=torch.float64)
    if length == 1:
        return torch.ones_like(at)[:, None]
    period = 2 * length - 2

    def pulses(distance: Tensor) -> Tensor:
        """Of a pulse and its repetitions every ``period``, at 0..period from it."""
        return math.sqrt(3) / (1 - POLE**period) * (torch.pow(POLE, distance) + torch.pow(POLE, period - distance))

    distance, mirrored = (at[:, None] - at).abs(), at[:, None] + at
    edge = (at == 0) | (at == length - 1)  # is its own mirror image
    return pulses(distance) + torch.where(edge, 0.0, pulses(mirrored))
