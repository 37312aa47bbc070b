"""A picture of a set: one row per class."""

import io
from pathlib import Path

import torch
from torch import Tensor

from distillset.store import write_atomically

GRID = "grid.png"
MOST_ROWS, MOST_COLUMNS = 100, 50


def grid(pixels: Tensor, classes: Tensor, count: int, gap: int = 2) -> Tensor:
    """Images side by side, ``uint8 [C, height, width]``: class by class downwards, small images enlarged to at least
    32.

    Args:
        pixels: ``uint8 [N, C, H, W]``.
        classes: ``int64 [N]``.
        count: number of classes; the first 100 are drawn, of each the first 50 images.
        gap: white pixels between images.
    """
    factor = max(1, -(-32 // min(pixels.shape[-2:])))
    pixels = pixels.repeat_interleave(factor, -1).repeat_interleave(factor, -2)
    rows = [pixels[classes == c][:MOST_COLUMNS] for c in range(min(count, MOST_ROWS))]
    channels, height, width = pixels.shape[1:]
    columns = max(len(row) for row in rows)
    size = (channels, len(rows) * (height + gap) + gap, columns * (width + gap) + gap)
    canvas = torch.full(size, 255, dtype=torch.uint8)
    for y, row in enumerate(rows):
        for x, image in enumerate(row):
            top, left = gap + y * (height + gap), gap + x * (width + gap)
            canvas[:, top : top + height, left : left + width] = image
    return canvas


def png(canvas: Tensor) -> bytes | None:
    """A picture as a PNG file; None without Pillow, or for a channel count that no picture has."""
    try:
        from PIL import Image
    except ImportError:
        return None
    if canvas.shape[0] not in (1, 3, 4):
        return None
    file = io.BytesIO()
    Image.fromarray(canvas.permute(1, 2, 0).squeeze(-1).numpy()).save(file, format="PNG")
    return file.getvalue()


def write_grid(path: Path, pixels: Tensor, classes: Tensor, count: int) -> None:
    """Write `grid` as a PNG, atomically; nothing where `png` gives nothing."""
    picture = png(grid(pixels, classes, count))
    if picture is not None:
        write_atomically(path, lambda temporary: temporary.write_bytes(picture))
