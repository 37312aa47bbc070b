"""What is done to pixels where they stand: color, and blanking a box."""

import torch
from torch import Tensor


def colored(images: Tensor, numbers: Tensor) -> Tensor:
    """Brightness, then saturation about each pixel's mean over channels, then contrast about each image's mean.

    With brightness b, saturation s and contrast c, a pixel's mean g and the image's mean m (saturation moves neither)::

        ((x + b - g') s + g' - m') c + m'  =  c s x + c (1 - s) g + (1 - c) m + b,     g' = g + b, m' = m + b

    of which the right side is computed: b = 0, s = c = 1 changes nothing, exactly.

    Args:
        images: ``[n, C, H, W]``.
        numbers: ``[n, 3]`` or ``[1, 3]``, of the images' type: b, s and c.
    """
    brightness, saturation, contrast = numbers[:, :, None, None, None].unbind(1)
    grey = images.mean(1, keepdim=True)
    mean = grey.mean((2, 3), keepdim=True)
    rest = torch.addcmul(mean * (1 - contrast) + brightness, grey, contrast * (1 - saturation))
    return torch.addcmul(rest, images, contrast * saturation)


def blanked(images: Tensor, numbers: Tensor) -> Tensor:
    """Zeros in rows top to bottom and columns left to right, without the last.

    Args:
        images: ``[n, C, H, W]``.
        numbers: ``[n, 4]`` or ``[1, 4]``: top, bottom, left, right, whole numbers.
    """
    height, width = images.shape[-2:]
    top, bottom, left, right = numbers[:, :, None].unbind(1)
    row = torch.arange(height, device=images.device)
    column = torch.arange(width, device=images.device)
    rows, columns = (row >= top) & (row < bottom), (column >= left) & (column < right)
    return images.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0.0)
