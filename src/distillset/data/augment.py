"""Differentiable siamese augmentation: what is drawn, and for whom.

From Zhao and Bilen, "Dataset Condensation with Differentiable Siamese Augmentation" (ICML 2021). One operation of a
strategy is drawn per batch. A `Draw` is that operation with its parameters: a value that can be applied to any batch,
so that real and synthetic images share it (siamese), or that holds parameters for each image (training a network).

    >>> augmentation = Augmentation.parse("color_crop_cutout_flip_scale_rotate")
    >>> draw = augmentation.draw(Key(0)("augment", 3), (3, 32, 32))
    >>> draw.apply(torch.zeros(256, 3, 32, 32)).shape, draw.apply(torch.zeros(10, 3, 32, 32)).shape
    (torch.Size([256, 3, 32, 32]), torch.Size([10, 3, 32, 32]))

Deviations from the published code: random numbers come from a `Key`, never from the global state or the clock. Those of
the operations are in `distillset.data.augment_operations`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from distillset.data.augment_operations import OPERATIONS
from distillset.errors import InputError
from distillset.keys import Key

__all__ = ["NONE", "OPERATIONS", "Augmentation", "Draw", "default_strategy"]

NONE = "none"
Shape = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Draw:
    """One drawn operation, with its parameters.

    Attributes:
        operation: its name in `OPERATIONS`; None changes nothing (the empty strategy).
        parameters: CPU float64 ``[1, p]`` (shared) or ``[count, p]`` (per image). color: the brightness offset, the
            factors of saturation and contrast. crop: the shifts in rows and columns. cutout: the centre's row and
            column. flip: 1 or 0. scale: the factors of the sampling grid in rows and columns. rotate: radians.
        shape: (C, H, W) of the images it was drawn for.
        count: the number of images it was drawn for; None when one set of parameters is shared by a batch of any size.
    """

    operation: str | None
    parameters: Tensor
    shape: Shape
    count: int | None = None

    def apply(self, images: Tensor) -> Tensor:
        """The augmented images, differentiable in the images; the input is never written to.

        Args:
            images: ``[n, C, H, W]``, any float type, on any device. Half precision is computed in float32.

        Raises:
            InputError: the images' shape, number or type is not what this draw was made for.
        """
        self._check(images)
        if self.operation is None:
            return images
        exact = images if images.dtype in (torch.float32, torch.float64) else images.float()
        return OPERATIONS[self.operation].apply(exact, self.parameters).to(images.dtype)

    def _check(self, images: Tensor) -> None:
        if images.dim() != 4 or tuple(images.shape[1:]) != self.shape:
            raise InputError(f"images: shape {list(images.shape)}, but this draw was made for [n, *{self.shape}]")
        if self.count not in (None, images.shape[0]):
            raise InputError(f"images: {images.shape[0]} of them, but this draw has parameters for {self.count}")
        if not images.is_floating_point():
            raise InputError(f"images: type {images.dtype}, but augmentation needs floats (normalise the pixels first)")


@dataclass(frozen=True)
class Augmentation:
    """A strategy: the operations of which each draw takes one, with equal probability.

    Args:
        strategy: names in `OPERATIONS`; empty for no augmentation.

    Raises:
        InputError: an unknown or repeated operation.
    """

    strategy: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in self.strategy:
            if name not in OPERATIONS:
                allowed = f"{', '.join(OPERATIONS)} (joined by _), or {NONE}"
                raise InputError(f"augmentation: unknown operation {name!r}; allowed are {allowed}")
            if self.strategy.count(name) > 1:
                raise InputError(f"augmentation: operation {name!r} is given more than once")

    @classmethod
    def parse(cls, text: str) -> "Augmentation":
        """The strategy written as in the papers: names joined by ``_``, or ``none``.

        Raises:
            InputError: an unknown or repeated operation.
        """
        return cls(() if text == NONE else tuple(text.split("_")))

    def __str__(self) -> str:
        return "_".join(self.strategy) or NONE

    def draw(self, key: Key, shape: Shape, count: int | None = None) -> Draw:
        """Draw one operation and its parameters.

        Args:
            key: names the random stream; the same key gives the same draw on every device.
            shape: (C, H, W) of the images.
            count: the number of images, each with its own parameters; None for one set shared by any batch (siamese).

        Raises:
            InputError: a shape or count that is not positive.
        """
        _, height, width = shape
        if min(shape) < 1:
            raise InputError(f"shape: {tuple(shape)}; (C, H, W) must each be at least 1")
        if count is not None and count < 1:
            raise InputError(f"count: {count}; it must be at least 1, or None for a shared draw")
        if not self.strategy:
            return Draw(None, torch.empty(1, 0, dtype=torch.float64), shape, count)
        generator = key.generator()
        name = self.strategy[int(torch.randint(len(self.strategy), (), generator=generator))]
        parameters = OPERATIONS[name].sample(generator, count or 1, height, width)
        return Draw(name, parameters, shape, count)


def default_strategy(flip: bool) -> str:
    """The strategy of the DSA, DM and MTT papers.

    Args:
        flip: whether a mirrored image keeps its class (digits do not).
    """
    return "_".join(name for name in OPERATIONS if flip or name != "flip")
