"""What is known of a labelled image set besides its pixels: size, classes, and how its pixels are normalised."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from distillset.arguments import number, several, whole
from distillset.errors import InputError, shown

CHANNELS = {1: "grey", 3: "RGB", 4: "RGBA"}


@dataclass(frozen=True)
class Spec:
    """Shape, class names and normalisation of an image set.

    Args:
        name: ``cifar10``, ``digits``, or a folder's name.
        channels: 1 (grey), 3 (RGB) or 4 (RGBA) for decoded images; any positive number for arrays.
        height: in pixels.
        width: in pixels.
        class_names: one name per class, in the order of the labels; at least two.
        mean: per channel, of pixels in [0, 1].
        std: per channel, of pixels in [0, 1]; above 0.
        flip: whether a horizontal flip keeps the class (not so for digits).

    Raises:
        InputError: a field is out of its range; the message names it.
    """

    name: str
    channels: int
    height: int
    width: int
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    flip: bool = True

    def __post_init__(self) -> None:
        check_text("spec: the name", self.name)
        for what in ("channels", "height", "width"):
            object.__setattr__(self, what, self._side(what, getattr(self, what)))
        for what in ("class_names", "mean", "std"):
            object.__setattr__(self, what, tuple(several(what, getattr(self, what))))
        for what in ("mean", "std"):
            values = tuple(float(number(what, value)) for value in getattr(self, what))
            object.__setattr__(self, what, values)
        if len(self.class_names) < 2:
            raise InputError.about(
                f"spec of {self.name}", f"{len(self.class_names)} class(es); at least two are needed"
            )
        check_text(f"spec of {self.name!r}: the name", self.name)
        for label, name in enumerate(self.class_names):
            check_text(f"spec of {self.name}: the name of class {label}", name)
        if not isinstance(self.flip, bool):
            raise InputError.about(f"spec of {self.name}", f"flip is {self.flip!r}; it must be true or false")
        for what in ("mean", "std"):
            self._check_statistics(what, getattr(self, what))

    def _side(self, what: str, value: Any) -> int:
        try:
            return whole(what, value, 1)
        except InputError:
            fault = f"{what} is {shown(value)}; it must be a positive whole number"
            raise InputError.about(f"spec of {self.name}", fault) from None

    def _check_statistics(self, what: str, values: tuple[float, ...]) -> None:
        if len(values) != self.channels:
            raise InputError.about(
                f"spec of {self.name}", f"{what} has {len(values)} values for {self.channels} channel(s)"
            )
        for value in values:
            if not math.isfinite(value) or (what == "std" and value <= 0):
                allowed = "finite and above 0" if what == "std" else "finite"
                raise InputError.about(f"spec of {self.name}", f"{what} contains {value}; it must be {allowed}")

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image."""
        return self.channels, self.height, self.width

    def normalise(self, pixels: Tensor) -> Tensor:
        """Pixels as networks see them: ``(pixels / 255 - mean) / std``.

        Args:
            pixels: uint8 [..., C, H, W], on any device.

        Returns:
            float32 of the same shape, on the device of ``pixels``.
        """
        scale, shift = _affine(self.mean, self.std, pixels.device)
        # One multiplication and one addition in place: half the traffic of the formula as it is written.
        return pixels.to(torch.float32).mul_(scale).add_(shift)

    def denormalise(self, images: Tensor) -> Tensor:
        """The inverse of `normalise`, rounded and clamped to what a picture can hold.

        Args:
            images: float [..., C, H, W], normalised.

        Returns:
            uint8 of the same shape, on the device of ``images``.
        """
        scale, shift = _affine(self.mean, self.std, images.device)
        return images.detach().to(torch.float32).sub(shift).div_(scale).round_().clamp_(0, 255).to(torch.uint8)

    def to_json(self) -> dict[str, Any]:
        """The fields as plain JSON values; `from_json` gives an equal spec."""
        return {
            "name": self.name,
            "channels": self.channels,
            "height": self.height,
            "width": self.width,
            "class_names": list(self.class_names),
            "mean": list(self.mean),
            "std": list(self.std),
            "flip": self.flip,
        }

    @classmethod
    def from_json(cls, record: Any) -> "Spec":
        """The spec that `to_json` wrote.

        Raises:
            InputError: a field is missing, of the wrong type, or out of its range.
        """
        if not isinstance(record, Mapping):
            raise InputError.about("spec", f"{type(record).__name__} found; a JSON object is needed")
        known = ("name", "channels", "height", "width", "class_names", "mean", "std", "flip")
        missing = [what for what in known if what not in record and what != "flip"]
        if missing:
            raise InputError.about("spec", f"field {missing[0]!r} is missing")
        if unknown := [what for what in record if what not in known]:
            raise InputError.about("spec", f"field {unknown[0]!r} is not known; known are {', '.join(known)}")
        if not isinstance(record["name"], str):
            raise InputError.about("spec", f"name is {record['name']!r}; it must be text")
        for what, kind in (("class_names", str), ("mean", (int, float)), ("std", (int, float))):
            values = record[what]
            fits = isinstance(values, list | tuple) and all(isinstance(value, kind) for value in values)
            if not fits or any(isinstance(value, bool) or _huge(value) for value in values):
                raise InputError.about(
                    "spec", f"{what} is {shown(values)}; it must be a list of {'text' if kind is str else 'numbers'}"
                )
        return cls(
            name=record["name"],
            channels=record["channels"],
            height=record["height"],
            width=record["width"],
            class_names=tuple(record["class_names"]),
            mean=tuple(float(value) for value in record["mean"]),
            std=tuple(float(value) for value in record["std"]),
            flip=record.get("flip", True),
        )


def _huge(value: Any) -> bool:
    """Whether a number is too large for a float."""
    return isinstance(value, int) and value.bit_length() > 1023


def check_text(what: str, text: Any) -> None:
    """Refuse what no file of text can hold: names of files that are not UTF-8.

    Raises:
        InputError: it is not; the message starts with ``what``.
    """
    if not isinstance(text, str):
        raise InputError.about(what, f"{shown(text)} is not text")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError.about(what, f"{text!r} is not text (UTF-8)") from None


@lru_cache(maxsize=64)
def _affine(mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """Scale and shift [C, 1, 1] with ``pixels * scale + shift`` normalised, kept on the device between draws."""
    # Tensors made under inference mode may not enter a graph later, and these outlive the caller's mode.
    with torch.inference_mode(False):
        centre = torch.tensor(mean, dtype=torch.float64).view(-1, 1, 1)
        spread = torch.tensor(std, dtype=torch.float64).view(-1, 1, 1)
        return (1 / (255 * spread)).float().to(device), (-centre / spread).float().to(device)
