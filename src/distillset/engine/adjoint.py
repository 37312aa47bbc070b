"""First and second derivatives of a training loss in one flat vector of parameters, in micro-batches."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import grad, grad_and_value
from torch.utils._pytree import tree_leaves

from distillset.engine.micro_batches import MicroBatches

FlatLoss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""``(parameters [P], images [n, C, H, W], targets, weights [n]) -> sum_i weights[i] * loss_i``; targets are classes
``int64 [n]`` or probabilities ``float [n, classes]``.
"""


def along(gradient: Callable[..., Any]) -> Callable[..., Tensor]:
    """``(direction, *arguments) -> <direction, gradient(*arguments)>``, whose gradient in an argument is the product of
    ``direction`` with the Jacobian of ``gradient``.

    ``gradient`` gives a tensor, or several by name; a direction is alike.
    """

    def product(direction: Any, *arguments: Any) -> Tensor:
        pairs = zip(tree_leaves(gradient(*arguments)), tree_leaves(direction), strict=True)
        return torch.stack([(gradient_part * wanted).sum() for gradient_part, wanted in pairs]).sum()

    return product


def pulled_back(gradient: Tensor, result: Tensor, leaf: Tensor) -> Tensor:
    """The gradient in ``leaf``, of which ``result`` was made, from that in ``result``.

    As an argument of `torch.autograd.grad` the ``gradient`` would have it import SymPy.
    """
    (gradient_in_leaf,) = torch.autograd.grad((gradient * result).sum(), leaf)
    return gradient_in_leaf


class GradientAndVJP:
    """The gradient ``g`` of a loss in its parameters, and the products of a vector with the Jacobian of ``g``.

    Both are compositions of `torch.func.grad`, compiled whole; sums over micro-batches are exact unless the network
    mixes images.

    Args:
        engine: says how to compute.
        loss: the loss, a weighted sum over images.
        mixes: whether an image's loss depends on the others (batch norm in training); then all go in one call.
    """

    def __init__(self, engine: MicroBatches, loss: FlatLoss, mixes: bool = False) -> None:
        def first(parameters: Tensor, *rows: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
            gradient, value = grad_and_value(loss)(parameters, *rows)
            return (gradient, value), ()

        def second(wanted: tuple[int, ...]) -> Callable[..., tuple[tuple[Tensor, ...], tuple[Tensor, ...]]]:
            # The gradient itself is not asked for, so the compiler leaves out its products with the weights' gradients.
            taken = grad(along(grad(loss)), argnums=(1, *wanted))

            def products(direction: Tensor, *arguments: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
                by_parameters, *by_rows = taken(direction, *arguments)
                return (by_parameters,), tuple(by_rows)

            return products

        self._gradient = engine.split(first, mixes)
        self._product = engine.split(second((2,)), mixes, second=True)
        self._soft_product = engine.split(second((2, 3)), mixes, second=True)

    def gradient(
        self, parameters: Tensor, images: Tensor, targets: Tensor, weights: Tensor, full: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """(``g [P]``, the loss). ``full`` is the usual number of images, so that a short batch needs no other shape."""
        (gradient, value), _ = self._gradient((parameters,), (images, targets, weights), full)
        return gradient, value

    def product(
        self,
        parameters: Tensor,
        images: Tensor,
        targets: Tensor,
        weights: Tensor,
        direction: Tensor,
        full: int | None = None,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """The vector-Jacobian products of ``direction [P]`` with ``g`` as a function of the parameters, of the images
        and, if they are soft, of the targets.
        """
        run = self._soft_product if targets.is_floating_point() else self._product
        (by_parameters,), rows = run((direction, parameters), (images, targets, weights), full)
        return by_parameters, rows[0], rows[1] if len(rows) > 1 else None
