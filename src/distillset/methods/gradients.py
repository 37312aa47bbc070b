"""The gradient with respect to the pixels of a distance between gradients: second order, in bounded memory."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn
from torch.func import grad, grad_and_value

from distillset.engine import Engine, Loss, State, along, pulled_back
from distillset.methods.distance import DISTANCES, matched

WeightedBatch = tuple[Tensor, Tensor, Tensor]
"""Images ``[n, C, H, W]``, labels ``[n]`` and weights ``[n]`` whose weighted loss is differentiated."""


class GradientDistance:
    """``D(grad_theta loss(seen(S)), target)`` and its gradient with respect to the images S.

    Images that fit a micro-batch take one compiled function, a composition of `torch.func.grad`. More images go in two
    passes: first the gradient of the loss in micro-batches, then, with ``v = dD/dgradient``, the gradient of
    ``<v, grad_theta loss>`` with respect to each micro-batch of images; that is the same by the chain rule, as the loss
    is a sum over images, and it needs the memory of one micro-batch.

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
        self.matched = matched(network, distance)
        self.engine, self._loss, self._distance, self._seen = engine, loss, DISTANCES[distance], seen
        self._first = engine.gradient(loss)
        self._at_once = engine.pixel_gradient(seen, self._between, second=True)
        self._product = engine.split(self._directed, second=True)

    def target(self, state: State, batch: WeightedBatch, full: int) -> State:
        """The gradient of the loss of real images, usually ``full`` many, of the parameters that are compared."""
        images, labels, weights = batch
        return self._first(state, self.matched, (images, labels), weights, full)

    def __call__(
        self, state: State, images: Tensor, how: Sequence[Any], labels: Tensor, weights: Tensor, target: State
    ) -> tuple[Tensor, Tensor]:
        """The distance, and its gradient in ``images``; labels and weights are those of what is seen of them."""
        if len(labels) > self.engine.micro_batch:
            return self._large(state, images, how, labels, weights, target)
        return self._at_once(images, how, (state, labels, weights, target))

    def _gradient(self, state: State, images: Tensor, labels: Tensor, weights: Tensor) -> State:
        parameters = {name: state[name] for name in self.matched}
        others = {name: value for name, value in state.items() if name not in parameters}
        found: State = grad(lambda own: self._loss({**others, **own}, images, labels, weights))(parameters)
        return found

    def _between(self, images: Tensor, state: State, labels: Tensor, weights: Tensor, target: State) -> Tensor:
        return self._distance(self._gradient(state, images, labels, weights), target)

    def _directed(
        self, state: State, direction: State, images: Tensor, labels: Tensor, weights: Tensor
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        product = along(lambda images: self._gradient(state, images, labels, weights))
        return (), (grad(product, argnums=1)(direction, images),)

    def _large(
        self, state: State, images: Tensor, how: Sequence[Any], labels: Tensor, weights: Tensor, target: State
    ) -> tuple[Tensor, Tensor]:
        leaf = images.detach().requires_grad_()
        augmented = self._seen(leaf, *how)
        batch = augmented.detach(), labels, weights
        found = self.target(state, batch, len(labels))
        direction, value = grad_and_value(self._distance)(found, target)
        _, (gradient,) = self._product((state, direction), batch)
        return value, pulled_back(gradient, augmented, leaf)
