"""Pictures as grey, RGB or RGBA, whatever they were."""

import torch
from torch import Tensor

from distillset.data.measure import CHUNK
from distillset.data.spec import CHANNELS
from distillset.errors import InputError

LUMA = (19595, 38470, 7471)
"""Weights of red, green and blue in grey, in 65536ths: ITU-R BT.601, as Pillow's mode ``L`` has them."""


def check_channels(channels: int | None) -> None:
    """Check what a user asks for.

    Raises:
        InputError: it is none of 1, 3 and 4.
    """
    if channels is not None and channels not in CHANNELS:
        allowed = ", ".join(f"{number} ({name})" for number, name in CHANNELS.items())
        raise InputError("channels", channels, f"choose one of {allowed}")


def with_channels(pixels: Tensor, channels: int) -> Tensor:
    """uint8 [..., C, H, W] with ``channels`` in place of C: 1 is grey, 3 is RGB, 4 is RGBA.

    Grey becomes RGB, and what has no alpha opaque, without loss. RGB becomes grey by `LUMA`, to the bit as in Pillow.
    Alpha is left out, whatever colours lie under it.
    """
    have = pixels.shape[-3]
    if have == channels:
        return pixels
    if channels == 1:
        if pixels.ndim == 4 and len(pixels) > CHUNK:
            return torch.cat([with_channels(chunk, 1) for chunk in torch.split(pixels, CHUNK)])
        weights = torch.tensor(LUMA, dtype=torch.int32).view(3, 1, 1)
        weighted = (pixels[..., :3, :, :].to(torch.int32) * weights).sum(-3, keepdim=True)
        return ((weighted + 0x8000) >> 16).to(torch.uint8)
    colour = pixels.expand(*pixels.shape[:-3], 3, *pixels.shape[-2:]) if have == 1 else pixels[..., :3, :, :]
    if channels == 3:
        return colour
    return torch.cat([colour, torch.full_like(colour[..., :1, :, :], 255)], dim=-3)
