"""Multi-formation: a stored image holds several smaller ones, each enlarged to the full size for training.

After Kim et al., Dataset Condensation via Efficient Synthetic-Data Parameterization (ICML 2022, section 3.2): in the
same bytes a set shows four or nine times as many images, of less detail. Deviation: sides that cannot be divided are
refused, not padded.
"""

import torch.nn.functional as F
from torch import Tensor

from distillset.augment.canvas import assembled
from distillset.errors import InputError


def check_formation(formation: int, shape: tuple[int, int, int]) -> None:
    """Whether images of ``shape`` (C, H, W) can be cut into ``formation`` by ``formation`` tiles.

    Raises:
        InputError: below 1, or the sides cannot be divided by it.
    """
    _, height, width = shape
    if formation < 1:
        raise InputError("formation", formation, "must be at least 1")
    if height % formation or width % formation:
        raise InputError(
            "formation",
            formation,
            f"images of {height}x{width} cannot be cut into {formation}x{formation} tiles of one size",
        )


def unpacked(images: Tensor, formation: int) -> Tensor:
    """The tiles of ``[n, C, H, W]``, each enlarged bilinearly: ``[n*formation^2, C, H, W]``, row by row of each image.

    Differentiable.
    """
    if formation == 1:
        return images
    tiles = images.unflatten(3, (formation, -1)).unflatten(2, (formation, -1))  # n, C, row, h, column, w
    tiles = tiles.permute(0, 2, 4, 1, 3, 5).flatten(0, 2)
    return F.interpolate(tiles, size=images.shape[2:], mode="bilinear", align_corners=False)


def packed(images: Tensor, formation: int) -> Tensor:
    """Images that hold ``[n*formation^2, C, H, W]``, reduced by averages: ``[n, C, H, W]``."""
    return images if formation == 1 else assembled(F.avg_pool2d(images, formation), formation)
