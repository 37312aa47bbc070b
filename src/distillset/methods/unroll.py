"""Training unrolled, and differentiated by its exact adjoint: memory does not grow with the steps.

A student takes N steps of SGD on synthetic batches, ``p_{i+1} = p_i - r g_i`` with ``g_i`` the gradient of its loss at
``p_i`` on the augmented images ``x_i``, and is measured against a target: ``L = ||p_N - q||^2 / ||p_0 - q||^2``. With
``a_N = 2 (p_N - q) / ||p_0 - q||^2``, going backwards::

    dL/dx_i = -r (dg_i/dx_i)^T a_{i+1}
    dL/dr  += -a_{i+1} . g_i
    a_i     = a_{i+1} - r (dg_i/dp_i)^T a_{i+1}

This is the gradient of the full graph, from the parameter vectors alone: each step is run again when its turn comes,
under the augmentation it had, which is a value. The ``g_i`` are not computed again: ``-r g_i`` is what the step added.

TESLA (Cui et al., ICML 2023), also of constant memory, leaves out how the images of one step change the gradients of
later ones; nothing is left out here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from distillset.augment import Crop, Table
from distillset.engine import GradientAndVJP, pulled_back


@dataclass(frozen=True)
class Batch:
    """The synthetic images of one step: their rows (int64 [n]), how they are augmented, and cropped if at all."""

    rows: Tensor
    table: Table
    crop: Crop | None = None

    def seen(self, images: Tensor) -> Tensor:
        """What the student sees of its images ``[n, C, H, W]``; differentiable."""
        return self.table.apply(images if self.crop is None else self.crop.apply(images))


@dataclass(frozen=True)
class Unrolled:
    """The loss, and its gradients in the images ``[N, C, H, W]``, the rate ``[1]`` and, if they are soft, the labels.

    Args:
        loss: 0 is a perfect match, 1 no better than the student's start.
        images: gradient in all synthetic images.
        rate: gradient in the learning rate.
        labels: gradient in the label probabilities ``[N, classes]``, or None.
        vectors: parameter vectors that were held at once.
    """

    loss: Tensor
    images: Tensor
    rate: Tensor
    labels: Tensor | None
    vectors: int


def unroll(
    gradient_and_vjp: GradientAndVJP,
    images: Tensor,
    labels: Tensor,
    rate: Tensor,
    start: Tensor,
    target: Tensor,
    batches: Sequence[Batch],
    limit: float | None = None,
) -> Unrolled:
    """Train a student from ``start`` and compare it with ``target``, both ``[P]``.

    Args:
        gradient_and_vjp: the student's gradients.
        images: ``[N, C, H, W]``; left as they are.
        labels: ``int64 [N]`` or probabilities ``[N, classes]``.
        rate: learning rate, ``[1]``, above 0.
        start: the student's first parameters.
        target: the expert's later ones.
        batches: one per step, where the images are.
        limit: above this loss, or where it is not finite, the way back is spared: the gradients are zero. None reads
            nothing from the device and always goes back.
    """
    soft = labels.is_floating_point()
    full = max(len(batch.rows) for batch in batches)

    def inputs(batch: Batch) -> tuple[Tensor, Tensor]:
        leaf = images.detach()[batch.rows].requires_grad_()
        return leaf, batch.seen(leaf)

    def weights(batch: Batch) -> Tensor:
        return images.new_full((len(batch.rows),), 1 / len(batch.rows))

    states = [start]
    for batch in batches:
        with torch.no_grad():
            augmented = batch.seen(images[batch.rows])
        gradient, _ = gradient_and_vjp.gradient(states[-1], augmented, labels[batch.rows], weights(batch), full)
        states.append(states[-1] - rate * gradient)
    vectors, distance = len(states), (start - target).square().sum()
    after = states.pop()
    gap = after - target
    loss = gap.square().sum() / distance
    by_images, by_rate = torch.zeros_like(images), torch.zeros_like(rate)
    by_labels = torch.zeros_like(labels) if soft else None
    if limit is not None and not float(loss) <= limit:
        return Unrolled(loss, by_images, by_rate, by_labels, vectors)
    adjoint = gap * (2 / distance)
    for batch in reversed(batches):
        leaf, augmented = inputs(batch)
        before = states.pop()
        by_state, by_augmented, by_targets = gradient_and_vjp.product(
            before, augmented.detach(), labels[batch.rows], weights(batch), adjoint, full
        )
        by_images.index_add_(0, batch.rows, pulled_back(by_augmented, augmented, leaf) * -rate)
        if by_labels is not None and by_targets is not None:
            by_labels.index_add_(0, batch.rows, by_targets * -rate)
        by_rate += (adjoint * (after - before)).sum() / rate
        adjoint, after = adjoint - rate * by_state, before
    return Unrolled(loss, by_images, by_rate, by_labels, vectors)
