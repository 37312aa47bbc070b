"""The gradient with respect to the pixels of a distance between gradients: second order, in bounded memory."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from distillset.engine import Engine, Loss, LossGradient, State, pulled_back
from distillset.methods.distance import DISTANCES, matched

WeightedBatch = tuple[Tensor, Tensor, Tensor]
"""Images ``[n, C, H, W]``, labels ``[n]`` and weights ``[n]`` whose weighted loss is differentiated."""


class GradientDistance:
    """``D(grad_theta loss(seen(S)), target)`` and its gradient with respect to the images S.

    Images that fit a micro-batch take one compiled function, a composition of `torch.func.grad`. More images go in two
    passes (`distillset.engine.differentiable`): first the gradient of the loss in micro-batches, then, with
    ``v = dD/dgradient``, the gradient of ``<v, grad_theta loss>`` with respect to each micro-batch of images.

    Args:
        network: in evaluation mode its images do not mix, so that a loss is a sum over them.
        loss: ``loss(state, images, labels, weights)``.
        distance: a name of `DISTANCES`.
        engine: says what fits.
        seen: ``seen(images, *how)``: what the network sees of S.
    """

    def __init__(
        self, network: nn.Module, loss: Loss, distance: str, engine: Engine, seen: Callable[..., Tensor]
    ) -> None:
        self.engine, self._distance, self._seen = engine, DISTANCES[distance], seen
        self._gradient = LossGradient(engine, loss, matched(network, distance))
        self._at_once = engine.pixel_gradient(seen, self._between, second=True)

    def target(self, state: State, batch: WeightedBatch, full: int) -> State:
        """The gradient of the loss of real images, usually ``full`` many, of the parameters that are compared."""
        images, labels, weights = batch
        return self._gradient(state, images, labels, weights, full)

    def __call__(
        self, state: State, images: Tensor, how: Sequence[Any], labels: Tensor, weights: Tensor, target: State
    ) -> tuple[Tensor, Tensor]:
        """The distance, and its gradient in ``images``; labels and weights are those of what is seen of them."""
        if len(labels) > self.engine.micro_batch:
            return self._large(state, images, how, labels, weights, target)
        return self._at_once(images, how, (state, labels, weights, target))

    def _between(self, images: Tensor, state: State, labels: Tensor, weights: Tensor, target: State) -> Tensor:
        return self._distance(self._gradient.of(state, images, labels, weights), target)

    def _large(
        self, state: State, images: Tensor, how: Sequence[Any], labels: Tensor, weights: Tensor, target: State
    ) -> tuple[Tensor, Tensor]:
        leaf = images.detach().requires_grad_()
        with torch.enable_grad():
            gradients = self._gradient(state, self._seen(leaf, *how), labels, weights)
            value = self._distance(gradients, target)
        return value.detach(), pulled_back(torch.ones_like(value), value, leaf)
