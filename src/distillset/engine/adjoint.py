"""First and second derivatives of a training loss in one flat vector of parameters, in micro-batches."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import grad, grad_and_value

from distillset.engine.engine import Engine

FlatLoss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""``(parameters [P], images [n, C, H, W], targets, weights [n]) -> sum_i weights[i] * loss_i``; targets are classes
``int64 [n]`` or probabilities ``float [n, classes]``.
"""


class Slopes:
    """The gradient ``g`` of a loss in its parameters, and the products of a vector with the Jacobian of ``g``.

    Both are compositions of `torch.func.grad`, compiled whole; sums over micro-batches are exact unless the network
    mixes images.

    Args:
        engine: says how to compute.
        loss: the loss, a weighted sum over images.
        mixes: whether an image's loss depends on the others (batch norm in training); then all go in one call.
    """

    def __init__(self, engine: Engine, loss: FlatLoss, mixes: bool = False) -> None:
        self._engine, self._mixes = engine, mixes
        self._gradient = engine.whole(grad_and_value(loss))

        def along(parameters: Tensor, images: Tensor, targets: Tensor, weights: Tensor, direction: Tensor) -> Tensor:
            # Forward mode in place of this reverse one saves a ninth (measured: 56 for 62 ms), but is wrong in PyTorch
            # 2.13 for second derivatives of batch norm.
            slope: Tensor = grad(loss)(parameters, images, targets, weights)
            return (slope * direction).sum()

        self._product = engine.whole(grad_and_value(along, argnums=(0, 1)))
        self._soft_product = engine.whole(grad_and_value(along, argnums=(0, 1, 2)))

    def gradient(
        self, parameters: Tensor, images: Tensor, targets: Tensor, weights: Tensor, full: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """(``g [P]``, the loss). ``full`` is the usual number of images, so that a short batch needs no other shape."""
        total, value = torch.zeros_like(parameters), parameters.new_zeros(())
        with torch.no_grad():
            for part in self._parts(images, targets, weights, full):
                slope, loss = self._gradient(parameters, *part)
                total += slope
                value += loss
        return total, value

    def product(
        self,
        parameters: Tensor,
        images: Tensor,
        targets: Tensor,
        weights: Tensor,
        direction: Tensor,
        full: int | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """``direction . g``, and its gradient in the parameters, the images and, if they are soft, the targets.

        The gradients are vector-Jacobian products of ``g`` with ``direction [P]``.
        """
        soft = targets.is_floating_point()
        run = self._soft_product if soft else self._product
        value, by_parameters = parameters.new_zeros(()), torch.zeros_like(parameters)
        by_images, by_targets = [], []
        with torch.no_grad():
            for part in self._parts(images, targets, weights, full):
                slopes, found = run(parameters, *part, direction)
                value += found
                by_parameters += slopes[0]
                by_images.append(slopes[1])
                by_targets += slopes[2:]
        count = len(images)
        return value, by_parameters, torch.cat(by_images)[:count], torch.cat(by_targets)[:count] if soft else None

    def _parts(
        self, images: Tensor, targets: Tensor, weights: Tensor, full: int | None
    ) -> list[tuple[Tensor, Tensor, Tensor]]:
        size = len(images) if self._mixes else self._engine._even(full or len(images))
        pad = self._engine._padded
        parts = zip(images.split(size), targets.split(size), weights.split(size), strict=True)
        return [(pad(a, size), pad(b, size), pad(c, size)) for a, b, c in parts]
