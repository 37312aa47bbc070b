"""Canvases: textures on a torus, several images wide and high, of which every use sees a crop drawn anew.

After the ``--texture`` option of the code of Cazenavette et al. (CVPR 2022). Deviations: a start from real images works
(theirs fails on a shape); crops come from named streams.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from distillset.keys import Key


@dataclass(frozen=True, eq=False)
class Crop:
    """One crop of each of some canvases, a value like `distillset.data.augment.Draw`.

    Args:
        corners: top row and left column, int64 ``[n, 2]``; CPU.
        size: rows and columns.
    """

    corners: Tensor
    size: tuple[int, int]

    @classmethod
    def draw(cls, key: Key, count: int, size: tuple[int, int], canvas: int) -> "Crop":
        """Crops of images of ``size`` from ``count`` canvases of ``canvas`` by ``canvas`` images, anywhere."""
        generator = key.generator()
        corners = [torch.randint(canvas * length, (count,), generator=generator) for length in size]
        return cls(torch.stack(corners, 1), size)

    def apply(self, canvases: Tensor) -> Tensor:
        """The crops ``[n, C, h, w]`` of canvases ``[n, C, H, W]``, going on at the other side. Differentiable."""
        count, channels = canvases.shape[:2]
        rows, columns = (
            (self.corners[:, i, None] + torch.arange(length)) % canvases.shape[2 + i]
            for i, length in enumerate(self.size)
        )
        index = (
            torch.arange(count)[:, None, None, None],
            torch.arange(channels)[:, None, None],
            rows[:, None, :, None],
            columns[:, None, None, :],
        )
        found: Tensor = canvases[tuple(part.to(canvases.device) for part in index)]
        return found


def assembled(images: Tensor, canvas: int) -> Tensor:
    """Canvases ``[n, C, canvas*H, canvas*W]`` tiled from images ``[n*canvas*canvas, C, H, W]`` in their order."""
    channels, height, width = images.shape[1:]
    tiles = images.view(-1, canvas, canvas, channels, height, width).permute(0, 3, 1, 4, 2, 5)
    return tiles.reshape(-1, channels, canvas * height, canvas * width)
