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

__all__ = ["sample", "spread", "within_reach"]

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


def within_reach(grids: Tensor) -> Tensor:
    """Which of the grids ``[k, 6]`` are within `REACH`: bool ``[k]``."""
    row_by_row, row_by_column, _, column_by_row, column_by_column, _ = grids.unbind(1)
    area = (row_by_row * column_by_column - row_by_column * column_by_row).abs()
    rows = column_by_column.abs() + row_by_column.abs()
    columns = row_by_row.abs() + column_by_row.abs()
    return (rows < REACH * area) & (columns < REACH * area)


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
    rows = row_by_row * row + row_by_column * column + (row_shift + (height - 1) / 2)
    columns = column_by_row * row + column_by_column * column + (column_shift + (width - 1) / 2)
    top, left = rows.floor(), columns.floor()
    lower, right = rows - top, columns - left
    down = [(*_within(top, height), 1 - lower), (*_within(top + 1, height), lower)]
    across = [(*_within(left, width), 1 - right), (*_within(left + 1, width), right)]
    result = torch.zeros_like(images)
    for at, inside, vertical in down:
        for along, within, horizontal in across:
            result = _added(result, images, at * width + along, vertical * horizontal * (inside & within))
    return result


def _spread(images: Tensor, grids: Tensor) -> Tensor:
    height, width = images.shape[-2:]
    row, column = centred(images)
    row_by_row, row_by_column, row_shift, column_by_row, column_by_column, column_shift = _coefficients(grids)
    rows, columns = row - row_shift, column - column_shift  # s - t
    area = row_by_row * column_by_column - row_by_column * column_by_row
    o = ((column_by_column * rows - row_by_column * columns) / area + (height - 1) / 2).round()
    p = ((row_by_row * columns - column_by_row * rows) / area + (width - 1) / 2).round()
    down = [(below, *_within(o + below, height)) for below in (-1, 0, 1)]
    across = [(beside, *_within(p + beside, width)) for beside in (-1, 0, 1)]
    o, p = o - (height - 1) / 2, p - (width - 1) / 2
    row_gap = row_by_row * o + row_by_column * p - rows  # A o + t - s
    column_gap = column_by_row * o + column_by_column * p - columns
    result = torch.zeros_like(images)
    for below, at, inside in down:
        for beside, along, within in across:
            vertical = 1 - (row_gap + (row_by_row * below + row_by_column * beside)).abs()
            horizontal = 1 - (column_gap + (column_by_row * below + column_by_column * beside)).abs()
            weights = vertical.clamp(min=0) * horizontal.clamp(min=0) * (inside & within)
            result = _added(result, images, at * width + along, weights)
    return result


def _within(places: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Whole places as indices of a side, moved onto it where they are outside; and whether they are not."""
    return places.clamp(0, length - 1).long(), (places >= 0) & (places < length)


def _added(result: Tensor, images: Tensor, index: Tensor, weights: Tensor) -> Tensor:
    """``result`` and the pixels at ``index`` ``[k, H, W]``, times ``weights``."""
    n, channels, height, width = images.shape
    index = index.expand(n, height, width).reshape(n, 1, -1).expand(-1, channels, -1)
    taken = images.reshape(n, channels, -1).gather(2, index).view(n, channels, height, width)
    return torch.addcmul(result, taken, weights[:, None])
