"""Pictures become bytes [C, H, W]: decoding, and what is done where they differ in mode or size."""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from distillset.data import arrays
from distillset.data.resize import Resize
from distillset.data.spec import CHANNELS
from distillset.errors import InputError
from distillset.sources.splits import Block, Picture, Unusable

# What a mode becomes without loss; CMYK and YCbCr are ways to store colour and are always shown as RGB.
MODES = {"1": "L", "L": "L", "LA": "RGBA", "PA": "RGBA", "RGB": "RGB", "RGBA": "RGBA", "CMYK": "RGB", "YCbCr": "RGB"}


class Wider(Exception):
    """A picture has more channels than those before it: all must be read again with as many."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.channels = channels


@dataclass(frozen=True)
class Form:
    """What every picture of a set becomes. ``resize`` says how other sizes are scaled to it; None refuses them."""

    channels: int
    height: int
    width: int
    resize: Resize | None


def form_of(block: Block, row: Callable[[int], str], resize: Resize | None) -> Form:
    """The form of a set, as the first picture of ``block`` has it."""
    channels, height, width = block.shape[1:] if isinstance(block, Tensor) else _named(block[0], row, 0).shape
    if resize is not None:
        height, width = resize.height, resize.width
    return Form(channels, height, width, resize)


def decode(block: Block, form: Form, row: Callable[[int], str], pool: Executor | None = None) -> tuple[Tensor, int]:
    """(uint8 [n, C, H, W] in ``form``, how many of them were given more channels).

    Args:
        block: the pictures.
        form: what they become.
        row: names the picture at a position of the block in messages.
        pool: threads to decode in; PIL decodes without holding the interpreter.

    Raises:
        Wider: a picture has more channels than ``form``.
        InputError: a picture cannot be decoded, or has another size; the message names it.
    """
    if isinstance(block, Tensor):
        return _fit(block, form, row, 0), 0 if block.shape[1] == form.channels else len(block)

    def one(position: int) -> tuple[Tensor, bool]:
        pixels = _named(block[position], row, position)
        return _fit(pixels, form, row, position), len(pixels) != form.channels

    fitted = list((pool.map if pool else map)(one, range(len(block))))
    return torch.stack([pixels for pixels, _ in fitted]), sum(widened for _, widened in fitted)


def _named(picture: Picture, row: Callable[[int], str], position: int) -> Tensor:
    try:
        return _pixels(picture)
    except InputError as error:
        raise InputError(f"{row(position)}: {error}") from None


def _pixels(picture: Picture) -> Tensor:
    """One picture as uint8 [C, H, W]."""
    if isinstance(picture, np.ndarray | Tensor):
        pixels = arrays.tensor(picture, "image")
        if pixels.ndim not in (2, 3):
            raise InputError(f"the image's shape is {list(pixels.shape)}; allowed are [C, H, W], [H, W, C] and [H, W]")
        return arrays.pixels(pixels[None], "image")[0]
    if picture is None:
        raise InputError("there is no image")
    if isinstance(picture, Unusable):
        raise InputError(picture.why)
    if isinstance(picture, list):
        raise InputError("its rows have different lengths; needed are numbers [C, H, W], [H, W, C] or [H, W]")
    from PIL import Image, ImageOps

    if not isinstance(picture, bytes | Path | Image.Image):
        raise InputError(
            f"{type(picture).__name__} found; an image is needed (a PIL image, or an array of uint8 or [0, 1])"
        )
    try:
        image = picture if isinstance(picture, Image.Image) else Image.open(BytesIO(_bytes(picture)))
        image.load()
        if "exif" in image.info:
            image = ImageOps.exif_transpose(image)
    except (
        Exception
    ) as error:  # decoders raise whatever damaged bytes lead them to: OSError, SyntaxError, struct.error, ...
        raise InputError(f"the image is damaged or of an unknown kind ({_reason(error)})") from None
    mode = MODES.get(image.mode)
    if image.mode == "P":
        mode = "RGBA" if "transparency" in image.info else "RGB"
    if mode is None:
        raise InputError(f"the image's mode is {image.mode}; allowed are 8-bit images: {', '.join(CHANNELS.values())}")
    array = np.array(image if image.mode == mode else image.convert(mode))
    return torch.from_numpy(array).view(*array.shape[:2], -1).permute(2, 0, 1)


def _bytes(picture: bytes | Path) -> bytes:
    return picture if isinstance(picture, bytes) else picture.read_bytes()


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return "not an image file" if "cannot identify image file" in text else text


def _fit(pixels: Tensor, form: Form, row: Callable[[int], str], position: int) -> Tensor:
    """uint8 [..., C, H, W] in ``form``."""
    channels, height, width = pixels.shape[-3:]
    if channels > form.channels:
        raise Wider(channels)
    if (height, width) != (form.height, form.width):
        if form.resize is None:
            raise InputError(
                f"{row(position)}: the image is {height}x{width} (height x width), but the first is "
                f"{form.height}x{form.width}; mixed sizes need --resize, such as --resize {form.height}x{form.width}"
            )
        pixels = form.resize(pixels)
    return pixels if channels == form.channels else _widened(pixels, form.channels)


def _widened(pixels: Tensor, channels: int) -> Tensor:
    """Grey as RGB, and opaque where there was no alpha; no information is lost."""
    colour = pixels.expand(*pixels.shape[:-3], 3, *pixels.shape[-2:]) if pixels.shape[-3] == 1 else pixels
    if channels == 3:
        return colour
    return torch.cat([colour, torch.full_like(colour[..., :1, :, :], 255)], dim=-3)
