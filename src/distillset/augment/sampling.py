"""Bilinear samples of images on affine grids, with a gradient that is a sum of its own: the same bits in every run.

Pixel ``o`` of the result is the value at ``s = A o + t``, both counted from the image's centre, between the four pixels
around it, zero outside; the map acts between pixel centres (``align_corners=True``). It is linear in the images::

    y(o) = sum over pixels s of k(A o + t - s) x(s),    k(d) = max(0, 1 - |d_row|) max(0, 1 - |d_column|)

and its transpose, the gradient, adds up the same products for every s. The pixels o that touch s lie around
``A^-1 (s - t)``; where no pixel is further than 1.5 from it in rows or columns, they are among nine, and both
directions only read. (`torch.nn.functional.grid_sample` adds up its gradient in any order on a GPU.) Whole shifts,
mirrored images and A = 1 are exact: the weights are 0 and 1.
"""

import torch
from torch import Tensor

__all__ = ["sample", "spread"]

REACH = 1.5
"""The rows of ``A^-1`` must have absolute sums below this: all rotations, and scales above 2/3, do."""


def sample(images: Tensor, grids: Tensor) -> Tensor:
    """The images at the grid's positions. Differentiable in the images, as often as wanted.

    Args:
        images: ``[n, C, H, W]``, float32 or float64.
        grids: ``[n, 6]`` or ``[1, 6]``, of the images' type: row_by_row, row_by_column, row_shift, column_by_row,
            column_by_column, column_shift. Gradients need them within `REACH`.
    """
    return _Sample.apply(images, grids)  # type: ignore[no-any-return, no-untyped-call]


def spread(images: Tensor, grids: Tensor) -> Tensor:
    """The transpose of `sample` in the images; arguments as there."""
    return _Spread.apply(images, grids)  # type: ignore[no-any-return, no-untyped-call]


class _Sample(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(images: Tensor, grids: Tensor) -> Tensor:
        return _sample(images, grids)

    @staticmethod
    def setup_context(ctx, inputs, output):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        return spread(gradient, *ctx.saved_tensors), None


class _Spread(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(images: Tensor, grids: Tensor) -> Tensor:
        return _spread(images, grids)

    @staticmethod
    def setup_context(ctx, inputs, output):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        return sample(gradient, *ctx.saved_tensors), None


def centred(images: Tensor) -> tuple[Tensor, Tensor]:
    """The rows ``[H, 1]`` and columns ``[W]`` of pixels, counted from the centre, in the images' type."""
    height, width = images.shape[-2:]
    row = torch.arange(height, device=images.device, dtype=images.dtype) - (height - 1) / 2
    return row[:, None], torch.arange(width, device=images.device, dtype=images.dtype) - (width - 1) / 2


def _coefficients(grids: Tensor) -> tuple[Tensor, ...]:
    """Each ``[k, 1, 1]``."""
    return grids[:, :, None, None].unbind(1)


def _sample(images: Tensor, grids: Tensor) -> Tensor:
    height, width = images.shape[-2:]
    row, column = centred(images)
    row_by_row, row_by_column, row_shift, column_by_row, column_by_column, column_shift = _coefficients(grids)
    rows = row_by_row * row + row_by_column * column + row_shift + (height - 1) / 2
    columns = column_by_row * row + column_by_column * column + column_shift + (width - 1) / 2
    top, left = rows.floor(), columns.floor()
    lower, right = rows - top, columns - left
    result = torch.zeros_like(images)
    for below, down in ((0, 1 - lower), (1, lower)):
        for beside, across in ((0, 1 - right), (1, right)):
            result = result + _taken(images, top + below, left + beside, down * across)
    return result


def _spread(images: Tensor, grids: Tensor) -> Tensor:
    height, width = images.shape[-2:]
    row, column = centred(images)
    row_by_row, row_by_column, row_shift, column_by_row, column_by_column, column_shift = _coefficients(grids)
    rows, columns = row - row_shift, column - column_shift  # s - t
    area = row_by_row * column_by_column - row_by_column * column_by_row
    nearest_row = ((column_by_column * rows - row_by_column * columns) / area + (height - 1) / 2).round()
    nearest_column = ((row_by_row * columns - column_by_row * rows) / area + (width - 1) / 2).round()
    result = torch.zeros_like(images)
    for below in (-1, 0, 1):
        for beside in (-1, 0, 1):
            at, along = nearest_row + below, nearest_column + beside
            o, p = at - (height - 1) / 2, along - (width - 1) / 2
            down = 1 - (row_by_row * o + row_by_column * p - rows).abs()
            across = 1 - (column_by_row * o + column_by_column * p - columns).abs()
            result = result + _taken(images, at, along, down.clamp(min=0) * across.clamp(min=0))
    return result


def _taken(images: Tensor, rows: Tensor, columns: Tensor, weights: Tensor) -> Tensor:
    """The pixels at whole ``rows`` and ``columns`` ``[k, H, W]``, times ``weights``; zero outside."""
    n, channels, height, width = images.shape
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    index = rows.clamp(0, height - 1).long() * width + columns.clamp(0, width - 1).long()
    index = index.flatten(1)[:, None].expand(n, channels, -1)
    taken = images.flatten(2).gather(2, index).view(n, channels, height, width)
    return taken * torch.where(inside, weights, 0.0)[:, None]
