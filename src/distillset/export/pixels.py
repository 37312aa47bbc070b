"""Images as 8-bit pictures, and what that loses."""

import io
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from distillset.data.synthetic import SyntheticSet
from distillset.errors import InputError


def eight_bit(synthetic: SyntheticSet) -> SyntheticSet:
    """The set that a reader of its pictures gets: clamped to [0, 255], rounded, and back in the network's space."""
    normalise = synthetic.spec.normalise if synthetic.whitening is None else synthetic.whitening.apply
    images: Tensor = normalise(synthetic.pixels)
    return replace(synthetic, images=images)


def clipped(synthetic: SyntheticSet) -> float:
    """The share of the numbers that lie outside of what a picture can hold: those change by more than rounding."""
    if synthetic.whitening is not None:
        pixels = 255 * synthetic.whitening.invert(synthetic.images)
    else:
        mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (synthetic.spec.mean, synthetic.spec.std))
        pixels = 255 * (synthetic.images * std + mean)
    return float(((pixels < -0.5) | (pixels > 255.5)).double().mean())


def pngs(synthetic: SyntheticSet) -> Iterator[bytes]:
    """Every image as a PNG file.

    Raises:
        InputError: a number of channels that no PNG has, or Pillow is missing.
    """
    try:
        from PIL import Image
    except ImportError:
        raise InputError.about("export", "Pillow is not installed; pip install pillow") from None
    channels = synthetic.spec.channels
    if channels not in (1, 3, 4):
        raise InputError.about("export", f"images of {channels} channels; a picture has 1, 3 or 4; choose `to='pt'`")
    for pixels in synthetic.pixels:
        file = io.BytesIO()
        Image.fromarray(pixels.permute(1, 2, 0).squeeze(-1).numpy()).save(file, format="PNG")
        yield file.getvalue()
