"""The gradient with respect to the pixels of a distance between gradients: second order, in bounded memory."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import grad, grad_and_value

from distillset.engine import Engine, along
from distillset.engine.engine import Loss
from distillset.methods.distance import DISTANCES, matched
from distillset.nets import State

Shot = tuple[Tensor, Tensor, Tensor]
"""Images ``[n, C, H, W]``, labels ``[n]`` and weights ``[n]`` whose weighted loss is differentiated."""


class GradientDistance:
    """``D(grad_theta loss(S), target)`` and its gradient with respect to the images S.

    Runs of images that fit a micro-batch take one compiled function, a composition of `torch.func.grad`. More images go
    in two passes: first the gradient of the loss in micro-batches, then, with ``v = dD/dgradient``, the gradient of
    ``<v, grad_theta loss>`` with respect to each micro-batch of images; that is the same by the chain rule, as the loss
    is a sum over images, and it needs the memory of one micro-batch.

    Args:
        network: in evaluation mode its images do not mix, so that a loss is a sum over them.
        loss: ``loss(state, images, labels, weights)``.
        distance: a name of `DISTANCES`.
        engine: says what fits.
    """

    def __init__(self, network: nn.Module, loss: Loss, distance: str, engine: Engine) -> None:
        self.matched = matched(network, distance)
        self.engine, self._loss, self._distance = engine, loss, DISTANCES[distance]
        self._first = engine.gradients(loss)
        self._together = engine.replayed(engine.whole(self._block))
        self._product = engine.split(self._directed)

    def target(self, state: State, shot: Shot, full: int) -> State:
        """The gradient of the loss of real images, usually ``full`` many, of the parameters that are compared."""
        images, labels, weights = shot
        (found,) = self._first([state], self.matched, [(images, labels, weights)], full)
        return found

    def __call__(self, state: State, shots: Sequence[Shot], targets: Sequence[State]) -> tuple[Tensor, list[Tensor]]:
        """Sum of the distances of each shot to its target, and the gradient of every shot's images."""
        together = sum(len(images) for images, _, _ in shots)
        if together <= self.engine.micro_batch:
            found: tuple[Tensor, list[Tensor]] = self._together(together, state, shots, targets)
            return found
        results = [self._large(state, shot, target) for shot, target in zip(shots, targets, strict=True)]
        return torch.stack([value for value, _ in results]).sum(), [gradient for _, gradient in results]

    def _gradient(self, state: State, images: Tensor, labels: Tensor, weights: Tensor) -> State:
        parameters = {name: state[name] for name in self.matched}
        others = {name: value for name, value in state.items() if name not in parameters}
        found: State = grad(lambda own: self._loss({**others, **own}, images, labels, weights))(parameters)
        return found

    def _block(self, state: State, shots: Sequence[Shot], targets: Sequence[State]) -> tuple[Tensor, list[Tensor]]:
        def total(stacks: list[Tensor]) -> Tensor:
            parts = zip(stacks, shots, targets, strict=True)
            return torch.stack(
                [self._distance(self._gradient(state, images, *rest), target) for images, (_, *rest), target in parts]
            ).sum()

        gradients, value = grad_and_value(total)([images for images, _, _ in shots])
        return value, gradients

    def _directed(
        self, state: State, direction: State, images: Tensor, labels: Tensor, weights: Tensor
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        product = along(lambda images: self._gradient(state, images, labels, weights))
        return (), (grad(product, argnums=1)(direction, images),)

    def _large(self, state: State, shot: Shot, target: State) -> tuple[Tensor, Tensor]:
        found = self.target(state, shot, len(shot[0]))
        direction, value = grad_and_value(self._distance)(found, target)
        _, (gradient,) = self._product((state, direction), shot)
        return value, gradient
