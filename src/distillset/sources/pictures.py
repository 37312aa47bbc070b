"""Pictures become bytes [C, H, W]: decoding, and what is done where they differ in mode or size."""

import stat
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distillset.data import arrays
from distillset.data.resize import Resize
from distillset.data.spec import CHANNELS
from distillset.errors import InputError
from distillset.sources.channels import with_channels
from distillset.sources.kinds import formats
from distillset.sources.splits import Block, Picture, Unusable

# What a mode becomes without loss; CMYK and YCbCr are ways to store colour and are always shown as RGB.
MODES = {"1": "L", "L": "L", "LA": "RGBA", "PA": "RGBA", "RGB": "RGB", "RGBA": "RGBA", "CMYK": "RGB", "YCbCr": "RGB"}


class Wider(Exception):
    """A picture has more channels than those before it: all must be read again with as many."""

    def __init__(self, channels: int, row: str) -> None:
        super().__init__(channels)
        self.channels, self.row = channels, row


class DamagedError(InputError):
    """A picture cannot be decoded: ``field`` says which, and ``allowed`` why."""


@dataclass(frozen=True)
class Form:
    """What every picture of a set becomes.

    Args:
        channels: how many.
        height: in pixels.
        width: in pixels.
        resize: how other sizes are scaled to it; None refuses them.
        fixed: whether the channels are what a user asked for, and not those of the widest picture.
    """

    channels: int
    height: int
    width: int
    resize: Resize | None
    fixed: bool = False


def form_of(block: Block, row: Callable[[int], str], resize: Resize | None, channels: int | None = None) -> Form:
    """The form of a set, as the first picture of ``block`` has it, with the ``channels`` that are asked for."""
    own_channels, height, width = block.shape[1:] if isinstance(block, Tensor) else decoded(block[0], row, 0).shape
    if resize is not None:
        height, width = resize.height, resize.width
    return Form(own_channels if channels is None else channels, height, width, resize, channels is not None)


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
        pixels = decoded(block[position], row, position)
        return _fit(pixels, form, row, position), len(pixels) != form.channels

    fitted = list((pool.map if pool else map)(one, range(len(block))))
    return torch.stack([pixels for pixels, _ in fitted]), sum(widened for _, widened in fitted)


def decoded(picture: Picture, row: Callable[[int], str], position: int) -> Tensor:
    """One picture as uint8 [C, H, W].

    Raises:
        DamagedError: it is none; the message says which.
    """
    try:
        return _pixels(picture)
    except InputError as error:
        raise DamagedError.about(row(position), str(error)) from None


def _pixels(picture: Picture) -> Tensor:
    """One picture as uint8 [C, H, W]."""
    if isinstance(picture, np.ndarray | Tensor):
        pixels = arrays.tensor(picture, "image")
        if pixels.ndim not in (2, 3):
            raise InputError.about(
                "", f"the image's shape is {list(pixels.shape)}; allowed are [C, H, W], [H, W, C] and [H, W]"
            )
        return arrays.pixels(pixels[None], "image")[0]
    if picture is None:
        raise InputError.about("", "there is no image")
    if isinstance(picture, Unusable):
        raise InputError.about("", picture.why)
    if isinstance(picture, list):
        raise InputError.about("", "its rows have different lengths; needed are numbers [C, H, W], [H, W, C] or [H, W]")
    from PIL import Image, ImageOps

    if not isinstance(picture, bytes | Path | Image.Image):
        raise InputError.about(
            "", f"{type(picture).__name__} found; an image is needed (a PIL image, or an array of uint8 or [0, 1])"
        )
    try:
        image = picture if isinstance(picture, Image.Image) else _opened(_bytes(picture))
        image.load()
        if "exif" in image.info:
            image = ImageOps.exif_transpose(image)
    except InputError:
        raise
    except (
        Exception
    ) as error:  # decoders raise whatever damaged bytes lead them to: OSError, SyntaxError, struct.error, ...
        raise InputError.about("", f"the image is damaged or of an unknown kind ({_reason(error)})") from None
    return _pixels_of(image)


def _pixels_of(image: Any) -> Tensor:
    """A decoded picture as uint8 [C, H, W].

    Raises:
        InputError: it has more than 8 bits, or colours that are none of `CHANNELS`.
    """
    mode = MODES.get(image.mode)
    if image.mode == "P":
        mode = "RGBA" if "transparency" in image.info else "RGB"
    if mode is None:
        raise InputError.about(
            "", f"the image's mode is {image.mode}; allowed are 8-bit images: {', '.join(CHANNELS.values())}"
        )
    array = np.array(image if image.mode == mode else image.convert(mode))
    pixels = torch.from_numpy(array).view(*array.shape[:2], -1).permute(2, 0, 1)
    if len(pixels) == 4 and bool((pixels[3] == 255).all()):
        # All opaque, as screenshots are: without alpha it is the same picture.
        return pixels[:1] if image.mode in ("LA", "La") else pixels[:3]
    return pixels


def _opened(data: bytes) -> Any:
    """The picture in a file, whatever it is called; of a PNG whose text is too long for Pillow, without that."""
    from PIL import Image

    try:
        return Image.open(BytesIO(data), formats=formats())
    except ValueError as error:
        if "too large" not in str(error) or not data.startswith(PNG):
            raise
    return Image.open(BytesIO(_without_text(data)), formats=formats())


PNG = b"\x89PNG\r\n\x1a\n"
TEXT = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
"""Chunks of a PNG that say nothing of its pixels: text, and a colour profile, which is not heeded."""


def _without_text(data: bytes) -> bytes:
    """A PNG without its text."""
    parts, place = [PNG], len(PNG)
    while place + 8 <= len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4], "big")
        if data[place + 4 : place + 8] not in TEXT:
            parts.append(data[place:end])
        place = end
    return b"".join(parts)


LARGEST = 2**30
"""Bytes of a file with a picture."""


def _bytes(picture: bytes | Path) -> bytes:
    """The content of a file.

    Raises:
        InputError: it is no regular file, or far too large.
    """
    if isinstance(picture, bytes):
        return picture
    status = picture.stat()
    if not stat.S_ISREG(status.st_mode):
        raise InputError.about("", "it is no regular file")
    if status.st_size > LARGEST:
        raise InputError.about("", f"{status.st_size:,} bytes; allowed are {LARGEST:,} for a picture")
    return picture.read_bytes()


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return "not an image file" if "cannot identify image file" in text else text


def _fit(pixels: Tensor, form: Form, row: Callable[[int], str], position: int) -> Tensor:
    """uint8 [..., C, H, W] in ``form``."""
    if form.fixed:
        pixels = with_channels(pixels, form.channels)
    channels, height, width = pixels.shape[-3:]
    if channels > form.channels:
        raise Wider(channels, row(position))
    if (height, width) != (form.height, form.width):
        if form.resize is None:
            raise InputError.about(
                row(position),
                f"the image is {height}x{width} (height x width), but the first is {form.height}x{form.width}; "
                f"mixed sizes need `resize`, such as `resize=({form.height}, {form.width})`",
            )
        pixels = form.resize(pixels)
    return with_channels(pixels, form.channels)
