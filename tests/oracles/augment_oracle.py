"""The augmentation in float64, one image and one pixel at a time, straight from its description.

Written from the prose of the operations, not from `distillset.augment.operations`: an image is an array [C, H, W],
u is uniform in [0, 1), and every pixel is computed on its own.
"""

import math

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float64]


def color(image: Image, u_brightness: float, u_saturation: float, u_contrast: float) -> Image:
    """x + (u - 0.5); (x - m) 2u + m, m the pixel's mean over channels; (x - m)(u + 0.5) + m, m the image's mean."""
    channels, height, width = image.shape
    out = np.zeros_like(image)
    for i in range(height):
        for j in range(width):
            pixel = [image[c, i, j] + (u_brightness - 0.5) for c in range(channels)]
            grey = math.fsum(pixel) / channels
            for c in range(channels):
                out[c, i, j] = (pixel[c] - grey) * 2 * u_saturation + grey
    mean = math.fsum(out.ravel().tolist()) / out.size
    for index in np.ndindex(out.shape):
        out[index] = (out[index] - mean) * (u_contrast + 0.5) + mean
    return out


def crop(image: Image, down: int, right: int) -> Image:
    """Each pixel takes the value ``down`` rows below and ``right`` columns to its right; zero beyond the border."""
    channels, height, width = image.shape
    out = np.zeros_like(image)
    for c, i, j in np.ndindex(channels, height, width):
        if 0 <= i + down < height and 0 <= j + right < width:
            out[c, i, j] = image[c, i + down, j + right]
    return out


def cutout(image: Image, centre_row: int, centre_column: int) -> Image:
    """Zero a box of floor(0.5 H + 0.5) by floor(0.5 W + 0.5), clipped at the borders.

    An odd box has its centre in the middle of pixel number ``centre``; an even box on that pixel's upper or left edge.
    """
    channels, height, width = image.shape
    out = image.copy()
    for i in range(height):
        for j in range(width):
            if _covered(i, centre_row, height) and _covered(j, centre_column, width):
                for c in range(channels):
                    out[c, i, j] = 0.0
    return out


def _covered(pixel: int, centre: int, size: int) -> bool:
    box = math.floor(0.5 * size + 0.5)
    middle = centre + 0.5 if box % 2 else float(centre)
    return abs(pixel + 0.5 - middle) < box / 2


def flip(image: Image, mirrored: bool) -> Image:
    """Mirror left and right."""
    channels, height, width = image.shape
    out = image.copy()
    if mirrored:
        for c, i, j in np.ndindex(channels, height, width):
            out[c, i, j] = image[c, i, width - 1 - j]
    return out


def scale(image: Image, factor_rows: float, factor_columns: float) -> Image:
    """Sample at the grid multiplied by the factors; it runs from -1 to 1 between the centres of the outer pixels."""
    channels, height, width = image.shape
    out = np.zeros_like(image)
    for c, i, j in np.ndindex(channels, height, width):
        row = _to_pixels(factor_rows * _to_grid(i, height), height)
        column = _to_pixels(factor_columns * _to_grid(j, width), width)
        out[c, i, j] = _bilinear(image[c], row, column)
    return out


def _to_grid(pixel: int, size: int) -> float:
    return 2 * pixel / (size - 1) - 1 if size > 1 else 0.0


def _to_pixels(position: float, size: int) -> float:
    return (position + 1) / 2 * (size - 1)


def rotate(image: Image, angle: float) -> Image:
    """Sample at the pixel grid rotated by ``angle`` (radians) about the image's centre; x points right, y down."""
    channels, height, width = image.shape
    out = np.zeros_like(image)
    for c, i, j in np.ndindex(channels, height, width):
        x, y = j - (width - 1) / 2, i - (height - 1) / 2
        column = math.cos(angle) * x - math.sin(angle) * y + (width - 1) / 2
        row = math.sin(angle) * x + math.cos(angle) * y + (height - 1) / 2
        out[c, i, j] = _bilinear(image[c], row, column)
    return out


def _bilinear(plane: Image, row: float, column: float) -> float:
    """The value between four pixels, each weighted by its closeness; pixels outside are zero."""
    height, width = plane.shape
    top, left = math.floor(row), math.floor(column)
    value = 0.0
    for i in (top, top + 1):
        for j in (left, left + 1):
            if 0 <= i < height and 0 <= j < width:
                value += (1 - abs(row - i)) * (1 - abs(column - j)) * float(plane[i, j])
    return value
