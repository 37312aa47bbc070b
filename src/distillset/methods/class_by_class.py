"""What methods share that set real and synthetic images of the same class side by side: DM, DC and DSA."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from distillset.augment import unpacked
from distillset.data.sampler import Rows, Sampler
from distillset.engine import State
from distillset.keys import Key, fold
from distillset.methods.base import Inputs, Matcher
from distillset.methods.siamese import How
from distillset.methods.task import Task

PIXELS = "pixels"
READ_AHEAD = 2**31
"""Most bytes of real images that are read for an update while the device works on the one before."""


@dataclass(frozen=True)
class Shown:
    """What an update draws for some classes.

    Args:
        drawn: rows of real images.
        how: the augmentation of each class.
        pixels: bytes ``[classes, n, C, H, W]`` of the real images, where the host has read them already.
    """

    drawn: Rows
    how: How
    pixels: Tensor | None = None

    def of(self, classes: slice) -> "Shown":
        """That of a run of classes."""
        return Shown(self.drawn.of(classes), self.how[classes], None if self.pixels is None else self.pixels[classes])


class ClassByClass(Matcher):
    """A method whose updates draw real images and a siamese augmentation of every class.

    Args:
        task: what it works on.
        batch_real: real images per class.
        augment: the strategy.
        formation: tiles across and down a synthetic image.
    """

    streams = ("network", "calibrate", "real", "augment")

    def __init__(self, task: Task, batch_real: int, augment: str, formation: int) -> None:
        super().__init__(task)
        self.formation = formation
        self.shown = task.ipc * formation**2
        """Synthetic images that a class shows, tiles counted."""
        self.siamese = task.siamese(augment)
        self.sampler = task.sampler(batch_real)
        self.blocks = task.blocks(self.shown, self.sampler.n)
        self._draw = task.engine.draws(self._drawn)
        self.ahead = task.engine.ahead(task.spec.classes * self.sampler.n, task.fill.numbers)
        self._reader: Sampler | None = None
        needed = task.spec.classes * self.sampler.n * task.real.images[0].nbytes
        if task.engine.defers and not task.real.resident(task.device) and needed <= READ_AHEAD:
            self._reader = task.real.sampler(batch_real)

    def inputs(self, step: int, key: Key) -> Inputs:
        """With the bytes of the real images, of a set that is too large for the device."""
        inputs = super().inputs(step, key)
        if self._reader is not None:
            rows = self._reader(fold(inputs["real"], torch.arange(self.task.spec.classes))).rows
            inputs[PIXELS] = self.task.real.pixels(rows.flatten(), torch.device("cpu")).unflatten(0, rows.shape)
        return inputs

    def begins(self, inputs: Sequence[Inputs]) -> list[State]:
        if not self.task.fill.pure:
            return super().begins(inputs)
        states = self.task.fill.several(torch.stack([update["network"] for update in inputs]))
        return [self.task.calibrated(state, update["calibrate"]) for state, update in zip(states, inputs, strict=True)]

    def draw(self, inputs: Inputs) -> Shown:
        return self.draws([inputs])[0]

    def draws(self, inputs: Sequence[Inputs]) -> list[Shown]:
        words = [torch.stack([update[name] for update in inputs]) for name in ("real", "augment")]
        drawn = self._draw(torch.stack(words))
        return [Shown(rows, how, update.get(PIXELS)) for (rows, how), update in zip(drawn, inputs, strict=True)]

    def _drawn(self, words: Tensor) -> list[tuple[Rows, How]]:
        """What streams ``[2, updates, 2]`` give: rows and augmentations of every update."""
        real, augment = fold(words[:, :, None], self.task.classes)
        table = self.siamese.draw(augment.flatten(0, 1))
        every = range(0, len(table), self.task.spec.classes)
        how = [table[first : first + self.task.spec.classes] for first in every]
        return list(zip(self.sampler.several(real), how, strict=True))

    def real(self, shown: Shown) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Augmented real images in portions: (classes, images ``[k, n, C, H, W]``, weights ``[k, n]``)."""
        for run, images, weights in self.task.portions(shown.drawn, shown.pixels):
            seen = self.siamese.apply_to_real(images, shown.how[run])
            yield run, seen.unflatten(0, weights.shape), weights.to(seen.dtype)

    def seen(self, images: Tensor, how: How) -> Tensor:
        """What the network sees of synthetic images: their tiles, augmented as their class is. Differentiable."""
        return self.siamese.apply(unpacked(images, self.formation), how, self.shown)
