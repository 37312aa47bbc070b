"""Canvases: textures on a torus, several images wide and high, of which every use sees a newly drawn crop.

After the option "texture" of the code of Cazenavette et al. (CVPR 2022). Deviations: a start from real images works
(theirs fails on a shape); crops come from named streams.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from distillset.keys import uniform


@dataclass(frozen=True, eq=False)
class Crop:
    """One crop of each of some canvases, a value like `distillset.augment.Table`.

    Args:
        corners: top row and left column, int64 ``[n, 2]``.
        size: rows and columns.
    """

    corners: Tensor
    size: tuple[int, int]

    @classmethod
    def draw(cls, words: Tensor, count: int, size: tuple[int, int], canvas: int) -> "Crop":
        """Crops of images of ``size`` from ``count`` canvases of ``canvas`` by ``canvas`` images, anywhere.

        Args:
            words: int64 ``[2]`` or ``[k, 2]``, the streams; each is for ``count`` canvases. The host is not asked.
        """
        drawn = uniform(words.reshape(-1, 2), (count, 2), dtype=torch.float64).flatten(0, 1)
        corners = [drawn[:, side] * (canvas * length) for side, length in enumerate(size)]
        return cls(torch.stack(corners, 1).long(), size)

    def apply(self, canvases: Tensor) -> Tensor:
        """The crops ``[n, C, h, w]`` of canvases ``[n, C, H, W]``, going on at the other side. Differentiable."""
        count, channels, height, width = canvases.shape
        device, (h, w) = canvases.device, self.size
        corners = self.corners.to(device, non_blocking=True)
        rows = (corners[:, 0, None] + torch.arange(h, device=device)) % height
        columns = (corners[:, 1, None] + torch.arange(w, device=device)) % width
        index = (rows[:, :, None] * width + columns[:, None, :]).flatten(1)[:, None].expand(-1, channels, -1)
        return canvases.flatten(2).gather(2, index).view(count, channels, h, w)


def assembled(images: Tensor, canvas: int) -> Tensor:
    """Canvases ``[n, C, canvas*H, canvas*W]`` tiled from images ``[n*canvas*canvas, C, H, W]`` in their order."""
    channels, height, width = images.shape[1:]
    tiles = images.view(-1, canvas, canvas, channels, height, width).permute(0, 3, 1, 4, 2, 5)
    return tiles.reshape(-1, channels, canvas * height, canvas * width)
