"""The gradient with respect to the pixels of a distance between gradients: second order, in bounded memory."""

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

    Images that fit a micro-batch take one compiled function, a composition of `torch.func.grad`. More images go in two
    passes: first the gradient of the loss in micro-batches, then, with ``v = dD/dgradient``, the gradient of
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
        self._at_once = engine.replayed(engine.whole(self._small, second=True))
        self._product = engine.split(self._directed, second=True)

    def target(self, state: State, shot: Shot, full: int) -> State:
        """The gradient of the loss of real images, usually ``full`` many, of the parameters that are compared."""
        images, labels, weights = shot
        (found,) = self._first([state], self.matched, [(images, labels, weights)], full)
        return found

    def __call__(self, state: State, shot: Shot, target: State) -> tuple[Tensor, Tensor]:
        """The distance, and its gradient in the images of the shot."""
        if len(shot[0]) > self.engine.micro_batch:
            return self._large(state, shot, target)
        found: tuple[Tensor, Tensor] = self._at_once(len(shot[0]), state, shot, target)
        return found

    def _gradient(self, state: State, images: Tensor, labels: Tensor, weights: Tensor) -> State:
        parameters = {name: state[name] for name in self.matched}
        others = {name: value for name, value in state.items() if name not in parameters}
        found: State = grad(lambda own: self._loss({**others, **own}, images, labels, weights))(parameters)
        return found

    def _small(self, state: State, shot: Shot, target: State) -> tuple[Tensor, Tensor]:
        images, *rest = shot
        gradient, value = grad_and_value(lambda images: self._distance(self._gradient(state, images, *rest), target))(
            images
        )
        return value, gradient

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
