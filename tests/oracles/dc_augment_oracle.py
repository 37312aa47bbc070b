"""The augmentation of the DC paper's evaluation, an image at a time, from its description: frames are built and cut."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import rotate as turn

Image = NDArray[np.float64]


def crop(image: Image, means: Image, row: int, column: int) -> Image:
    """The window at (row, column) of the image in a frame of 4 pixels of each channel's mean."""
    channels, height, width = image.shape
    frame = np.broadcast_to(means[:, None, None], (channels, height + 8, width + 8)).copy()
    frame[:, 4 : 4 + height, 4 : 4 + width] = image
    return frame[:, row : row + height, column : column + width]


def scale(image: Image, rows: int, columns: int) -> Image:
    """Nearest neighbour to rows by columns, in the middle of a square of zeros of the largest side, its middle cut.

    Every middle is rounded up and left.
    """
    channels, height, width = image.shape
    largest = max(rows, columns, height, width)
    square = np.zeros((channels, largest, largest))
    top, left = int((largest - rows) / 2), int((largest - columns) / 2)
    for i in range(rows):
        for j in range(columns):
            square[:, top + i, left + j] = image[:, math.floor(i * height / rows), math.floor(j * width / columns)]
    top, left = int((largest - height) / 2), int((largest - width) / 2)
    return square[:, top : top + height, left : left + width]


def rotate(image: Image, fill: float, degrees: int) -> Image:
    """SciPy's rotation onto a canvas that holds all of it, the middle cut, rounded up and left."""
    _, height, width = image.shape
    canvas = turn(image, degrees, axes=(-2, -1), cval=fill)
    top, left = int((canvas.shape[1] - height) / 2), int((canvas.shape[2] - width) / 2)
    return np.asarray(canvas[:, top : top + height, left : left + width])
