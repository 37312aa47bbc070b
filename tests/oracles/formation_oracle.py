"""Tiles of an image enlarged, pixel by pixel from the definition of bilinear interpolation. Float64, slow."""

import math

import torch
from torch import Tensor


def weights(small: int, large: int) -> Tensor:
    """``[large, small]``: what each pixel of the small side gives to each of the large one. A pixel ``i`` lies at ``i +
    1/2``; between two centres values are mixed by distance, beyond the outermost they stay.
    """
    found = torch.zeros(large, small, dtype=torch.float64)
    for i in range(large):
        at = min(max((i + 0.5) * small / large - 0.5, 0.0), small - 1.0)
        below = math.floor(at)
        found[i, below] += 1 - (at - below)
        if below + 1 < small:
            found[i, below + 1] += at - below
    return found


def unpacked(images: Tensor, formation: int) -> Tensor:
    """Every tile of every image at full size, ``[n*formation^2, C, H, W]``."""
    height, width = images.shape[2:]
    h, w = height // formation, width // formation
    rows, columns = weights(h, height), weights(w, width)
    corners = [(top, left) for top in range(0, height, h) for left in range(0, width, w)]
    tiles = [image[:, top : top + h, left : left + w] for image in images for top, left in corners]
    return torch.stack([rows @ tile @ columns.T for tile in tiles])
