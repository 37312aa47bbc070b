"""Images scaled to one size: how is named, printed and kept in the card."""

from dataclasses import dataclass

import torch
from torch import Tensor

from distillset.data.measure import CHUNK
from distillset.engine.room import check_memory
from distillset.errors import InputError

BLOCK_BYTES = 2**24
LARGEST = 4096
"""Pixels of a side; beyond it stands a slip of the pen, which would fill the disk."""


@dataclass(frozen=True)
class Resize:
    """Bilinear scaling of bytes, smoothed where it shrinks: Pillow's ``BILINEAR``, to within a grey level.

    Args:
        height: in pixels.
        width: in pixels.
        crop: scale until both sides are covered and cut the centre out, which keeps the proportions, as the papers do
            with ImageNet; otherwise each side is scaled by itself.

    Raises:
        InputError: a side is below 1 or above `LARGEST`.
    """

    height: int
    width: int
    crop: bool = False

    def __post_init__(self) -> None:
        if not 1 <= min(self.height, self.width) <= max(self.height, self.width) <= LARGEST:
            size = (self.height, self.width)
            raise InputError("resize", size, f"height and width must be at least 1 and at most {LARGEST}")

    @property
    def method(self) -> str:
        """The method in words."""
        how = "the proportions kept and the centre cut out" if self.crop else "each side scaled by itself"
        return f"bilinear, antialiased, {how}"

    def __str__(self) -> str:
        return f"{self.height}x{self.width} ({self.method})"

    def __call__(self, pixels: Tensor) -> Tensor:
        """uint8 [..., C, H, W] as uint8 [..., C, height, width]."""
        if tuple(pixels.shape[-2:]) == (self.height, self.width):
            return pixels
        if not self.crop:
            return _scaled(pixels, self.height, self.width)
        height, width = pixels.shape[-2:]
        # The nearest whole size that covers: one side is exact, the other rounded down as torchvision's Resize does.
        if self.height * width >= self.width * height:
            full = self.height, max(self.width, self.height * width // height)
        else:
            full = max(self.height, self.width * height // width), self.width
        top, left = round((full[0] - self.height) / 2), round((full[1] - self.width) / 2)
        return _scaled(pixels, *full)[..., top : top + self.height, left : left + self.width]


def resized(pixels: Tensor, resize: Resize | None) -> Tensor:
    """uint8 [N, C, H, W] scaled a chunk at a time; as it is where ``resize`` is None."""
    if resize is None or tuple(pixels.shape[2:]) == (resize.height, resize.width):
        return pixels
    each = pixels.shape[1] * resize.height * resize.width
    check_memory("resize", (resize.height, resize.width), f"resizing {len(pixels):,} images", len(pixels) * each)
    whole = torch.empty((*pixels.shape[:2], resize.height, resize.width), dtype=torch.uint8)
    for rows in torch.split(torch.arange(len(pixels)), max(1, min(CHUNK, BLOCK_BYTES // each))):
        part = slice(int(rows[0]), int(rows[-1]) + 1)
        whole[part] = resize(pixels[part])
    return whole


def _scaled(pixels: Tensor, height: int, width: int) -> Tensor:
    flat = pixels.reshape(-1, *pixels.shape[-3:]).to(torch.float32)
    scaled = torch.nn.functional.interpolate(flat, (height, width), mode="bilinear", antialias=True)
    return scaled.round_().clamp_(0, 255).to(torch.uint8).view(*pixels.shape[:-2], height, width)
