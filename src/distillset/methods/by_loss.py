"""Steps of a method that says no more than the loss of a block of classes."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import Tensor

from distillset.engine import State
from distillset.methods.base import Leaf, Leaves, Piece, Role
from distillset.methods.class_by_class import ClassByClass, Shown
from distillset.methods.images import Images
from distillset.methods.siamese import How
from distillset.methods.task import Task

Loss = Callable[[Task, State, Images, Images], Tensor]
"""See `distillset.methods.Method.loss`."""


class LossMatcher(ClassByClass):
    """A loss at work on a task: every step a fresh network, and an update of the images of all classes.

    Args:
        loss: of a block of classes.
        leaf: learning rate and momentum of the images.
        task: what it works on.
        batch_real: real images per class.
        augment: the siamese strategy.
        formation: tiles across and down a synthetic image.
    """

    def __init__(
        self, loss: Loss, leaf: Mapping[str, Any], task: Task, batch_real: int, augment: str, formation: int
    ) -> None:
        super().__init__(task, batch_real, augment, formation)
        self._loss, self._leaf = loss, leaf

    def leaves(self, images: Tensor) -> dict[str, Leaf]:
        return {Role.PIXELS.value: Leaf(images, role=Role.PIXELS, **self._leaf)}

    def term(self, leaves: Leaves, state: State, numbers: Shown, block: slice) -> Piece:
        shown, rows, name = numbers.of(block), self.task.rows(block), Role.PIXELS.value
        classes = self.task.classes[block]
        drawn = shown.drawn
        real = Images(classes, drawn.weights, self.sampler.n, partial(self.real, shown))
        loss, gradient = self.task.pixel_gradient(partial(self._of, state, real, shown.how), leaves[name][rows])
        return Piece(loss, {name: (rows, gradient)})

    def _of(self, state: State, real: Images, how: How, images: Tensor) -> Tensor:
        seen = self.seen(images, how).unflatten(0, (len(real.classes), self.shown))
        return self._loss(self.task, state, Images.of(seen, real.classes), real)
