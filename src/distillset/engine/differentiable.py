"""Functions of images in micro-batches that can be differentiated in the images, in the memory of a micro-batch.

Images that fit one call of an engine that does not compile take PyTorch's graph. More of them, and those of compiled
functions, take two passes: the results first, in micro-batches; and when the gradient in the images is asked for, what
it asks of each image's results, again in micro-batches. By the chain rule that is the same.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.func import grad

from distillset.engine.adjoint import along
from distillset.engine.micro_batches import MicroBatches
from distillset.engine.networks import Loss, State

Several = Callable[[State, Tensor], Sequence[Tensor]]
"""``(state, images [n, C, H, W])`` to tensors of one row per image, whatever the other images are."""


class Embeddings:
    """Embeddings: a function of `Several` results, by an engine.

    Args:
        engine: says how to compute.
        function: the function.
    """

    def __init__(self, engine: MicroBatches, function: Several) -> None:
        def pulled(state: State, images: Tensor, *wanted: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
            product = along(lambda images: list(function(state, images)))
            return (), (grad(product, argnums=1)(list(wanted), images),)

        self._engine, self._plain = engine, engine.whole(function)
        self._rows = engine.split(lambda state, images: ((), function(state, images)))
        self._pulled = engine.split(pulled)

    def __call__(self, state: State, images: Tensor, full: int | None = None) -> tuple[Tensor, ...]:
        """The results. ``full`` is the usual number of images, so that a short batch needs no other shape."""
        if not _followed(images):
            return tuple(self._rows((state,), (images,), full)[1])
        if self._engine.in_one_call(len(images)):
            return tuple(self._plain(state, images))
        return _in_two_passes(
            lambda images: self._rows((state,), (images,), full)[1],
            lambda images, wanted: self._pulled((state,), (images, *wanted), full)[1][0],
            images,
        )


class LossGradient:
    """The gradient of a weighted sum of losses in the parameters, itself differentiable in the images.

    Args:
        engine: says how to compute.
        loss: ``loss(state, images, labels, weights)``.
        names: of the parameters.
    """

    def __init__(self, engine: MicroBatches, loss: Loss, names: Sequence[str]) -> None:
        self.names = list(names)
        self._engine, self._loss = engine, loss
        self._first = engine.gradient(loss)
        self._plain = engine.whole(self.of, second=True)
        self._product = engine.split(self._directed, second=True)

    def of(self, state: State, images: Tensor, labels: Tensor, weights: Tensor) -> State:
        """The gradient as a composition of `torch.func.grad`, for functions that are computed whole."""
        parameters = {name: state[name] for name in self.names}
        others = {name: value for name, value in state.items() if name not in parameters}
        gradients: State = grad(lambda trained: self._loss({**others, **trained}, images, labels, weights))(parameters)
        return gradients

    def __call__(self, state: State, images: Tensor, labels: Tensor, weights: Tensor, full: int | None = None) -> State:
        """The gradient by name, of images ``[n, C, H, W]``; ``full`` as in `Embeddings`."""
        full = full or len(images)
        if not _followed(images):
            return self._first(state, self.names, (images, labels), weights, full)
        if self._engine.in_one_call(len(images)):
            gradients: State = self._plain(state, images, labels, weights)
            return gradients

        def product(images: Tensor, direction: Sequence[Tensor]) -> Tensor:
            named = dict(zip(self.names, direction, strict=True))
            return self._product((state, named), (images, labels, weights), full)[1][0]

        def first(images: Tensor) -> list[Tensor]:
            return list(self._first(state, self.names, (images, labels), weights, full).values())

        return dict(zip(self.names, _in_two_passes(first, product, images), strict=True))

    def _directed(
        self, state: State, direction: State, images: Tensor, labels: Tensor, weights: Tensor
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        product = along(lambda images: self.of(state, images, labels, weights))
        return (), (grad(product, argnums=1)(direction, images),)


Results = Callable[[Tensor], Sequence[Tensor]]
Pulled = Callable[[Tensor, Sequence[Tensor]], Tensor]


def _in_two_passes(results: Results, pulled: Pulled, images: Tensor) -> tuple[Tensor, ...]:
    """``results(images)``, whose gradient in the images is ``pulled(images, gradients in the results)``."""
    outputs: tuple[Tensor, ...] = _Twice.apply(results, pulled, images)  # type: ignore[no-untyped-call]
    return outputs


class _Twice(torch.autograd.Function):
    """Results of images, and their gradient in the images computed anew when it is asked for."""

    @staticmethod
    def forward(ctx: Any, results: Results, pulled: Pulled, images: Tensor) -> Any:
        ctx.pulled = pulled
        ctx.save_for_backward(images)
        with torch.enable_grad():  # gradients in parameters are taken within
            return tuple(results(images.detach()))

    @staticmethod
    def backward(ctx: Any, *wanted: Tensor) -> Any:
        (images,) = ctx.saved_tensors
        return None, None, ctx.pulled(images.detach(), wanted)


def _followed(images: Tensor) -> bool:
    """Whether somebody will ask for a gradient in the images."""
    return torch.is_grad_enabled() and images.requires_grad
