"""Augmentation for draws whose operations the host knows: each operation runs once, on all its images.

On a CPU it is faster than the function that serves all operations, and on a GPU where neither is compiled.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from distillset.augment.color import blanked, colored
from distillset.augment.operations import BOX, COLOR, COLUMNS, GRID, OPERATIONS
from distillset.augment.sampling import centred, sample

_DOWN, _RIGHT, _ACROSS = (COLUMNS.index(name) for name in ("row_shift", "column_shift", "column_by_column"))


def by_operation(images: Tensor, numbers: Tensor, kinds: Sequence[str]) -> Tensor:
    """`distillset.augment.table.augment` to rounding, for rows that are each one operation.

    Args:
        images: ``[n, C, H, W]``, any float type.
        numbers: ``[n, 13]`` or ``[1, 13]`` on a CPU.
        kinds: the operation of each row.
    """
    exact = images if images.dtype in (torch.float32, torch.float64) else images.float()
    if len(set(kinds)) == 1:
        return _done(kinds[0], exact, numbers).to(images.dtype)
    groups: dict[str, list[int]] = {}
    for row, kind in enumerate(kinds):
        groups.setdefault(kind, []).append(row)
    rows = {kind: torch.tensor(group) for kind, group in groups.items()}
    back = torch.cat(list(rows.values())).argsort()
    parts = [_done(kind, exact[group.to(exact.device)], numbers[group]) for kind, group in rows.items()]
    return torch.cat(parts)[back.to(exact.device)].to(images.dtype)


def _beside(images: Tensor, numbers: Tensor) -> Tensor:
    """Numbers in the type and on the device of the images."""
    # The type first: half of the bytes go.
    return numbers.to(images.dtype).to(images.device, non_blocking=True)


def _color(images: Tensor, numbers: Tensor) -> Tensor:
    return colored(images, _beside(images, numbers[:, COLOR]))


def _crop(images: Tensor, numbers: Tensor) -> Tensor:
    if len(numbers) == 1:
        row = numbers[0].tolist()
        down, right = int(row[_DOWN]), int(row[_RIGHT])
        return F.pad(images, (-right, right, -down, down))
    n, channels, height, width = images.shape
    shifts = numbers[:, [_DOWN, _RIGHT]].long().to(images.device, non_blocking=True)
    rows = torch.arange(height, device=images.device) + shifts[:, :1]
    columns = torch.arange(width, device=images.device) + shifts[:, 1:]
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    source = rows.clamp(0, height - 1)[:, :, None] * width + columns.clamp(0, width - 1)[:, None, :]
    source = source.flatten(1)[:, None].expand(-1, channels, -1)
    return images.flatten(2).gather(2, source).view(n, channels, height, width).masked_fill(~inside[:, None], 0.0)


def _cutout(images: Tensor, numbers: Tensor) -> Tensor:
    return blanked(images, _beside(images, numbers[:, BOX]))


def _flip(images: Tensor, numbers: Tensor) -> Tensor:
    if len(numbers) == 1:
        return images.flip(-1) if float(numbers[0, _ACROSS]) < 0 else images
    mirrored = (numbers[:, _ACROSS] < 0).to(images.device, non_blocking=True)
    return torch.where(mirrored[:, None, None, None], images.flip(-1), images)


def _resample(images: Tensor, numbers: Tensor) -> Tensor:
    if images.device.type != "cpu":
        return sample(images, _beside(images, numbers[:, GRID]))
    n, _, height, width = images.shape
    row, column = centred(images)
    row_by_row, row_by_column, _, column_by_row, column_by_column, _ = numbers[:, GRID].unbind(1)
    # The positions are those of align_corners=True: the map acts between pixel centres. The flag below only says how
    # they are normalised for grid_sample: by the size, as size - 1 cannot express a position beside a one-pixel image.
    by_row = torch.stack((column_by_row * (2 / width), row_by_row * (2 / height)), -1).to(images.dtype)
    by_column = torch.stack((column_by_column * (2 / width), row_by_column * (2 / height)), -1).to(images.dtype)
    grid = torch.addcmul(by_row[:, None, None] * row[:, None], by_column[:, None, None], column[:, None])
    return F.grid_sample(images, grid.expand(n, -1, -1, -1), mode="bilinear", padding_mode="zeros", align_corners=False)


def _sampled(images: Tensor, numbers: Tensor) -> Tensor:
    return sample(images, _beside(images, numbers[:, GRID]))


_SHORTER: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "crop": _crop,
    "flip": _flip,
    "scale": _resample,
    "rotate": _resample,
}
"""Operations of which more is known than their group."""


def _done(kind: str, images: Tensor, numbers: Tensor) -> Tensor:
    """The images by one operation."""
    if kind in _SHORTER:
        return _SHORTER[kind](images, numbers)
    group = OPERATIONS[kind].group
    if group == COLOR:
        return _color(images, numbers)
    return _cutout(images, numbers) if group == BOX else _sampled(images, numbers)
