"""Siamese augmentation of blocks of classes: what a class draws is applied to its real and synthetic images alike."""

import torch
from torch import Tensor

from distillset.augment import Augmentation, Table, augment
from distillset.engine import Engine

How = Table | Tensor
"""Rows of a draw, one per class: with operations that the host knows, or only the numbers ``[k, 13]``."""


class Siamese:
    """The augmentation of a method.

    Args:
        strategy: such as ``color_crop_cutout_flip_scale_rotate``, or ``none``.
        shape: (C, H, W) of the images.
        engine: on a CPU the host reads what was drawn, so that each class has only its own operation done.
    """

    def __init__(self, strategy: str, shape: tuple[int, int, int], engine: Engine) -> None:
        self.augmentation = Augmentation.parse(strategy)
        self.shape, self._engine = shape, engine
        self._real = engine.draws(self.apply)

    def draw(self, words: Tensor) -> How:
        """A row for every class, of streams ``[classes, 2]``."""
        table = self.augmentation.draw(words, self.shape, on_host=not self._engine.defers)
        return table.numbers if self._engine.defers else table

    def apply(self, images: Tensor, how: How, each: int) -> Tensor:
        """Images ``[k * each, C, H, W]`` of k classes, class by class, augmented by their rows. Differentiable."""
        if not self.augmentation.strategy:
            return images
        if isinstance(how, Table):
            return (how if len(how) == 1 else how.repeat(each)).apply(images)
        return augment(images, how if len(how) == 1 else how.repeat_interleave(each, 0))

    def apply_to_real(self, images: Tensor, how: How) -> Tensor:
        """The same of real images ``[k, n, C, H, W]``, without gradients: ``[k * n, C, H, W]``."""
        with torch.no_grad():
            seen: Tensor = self._real(images.flatten(0, 1), how, images.shape[1])
            return seen
