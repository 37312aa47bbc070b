"""Trajectory matching straight from its equation: the whole unrolled training is one graph, in float64.

    L = || p_N - q_{t+M} ||^2 / || q_t - q_{t+M} ||^2,   p_0 = q_t,   p_{i+1} = p_i - r grad_p CE(f(p_i, A_i(x_i)), y_i)

Nothing is shared with the fast path but its inputs. The network is written with functions of `torch.nn.functional`.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

Step = tuple[Tensor, Callable[[Tensor], Tensor]]
"""The rows of a student's batch, and its augmentation."""


def convnet(vector: Tensor, images: Tensor, width: int, depth: int, classes: int, norm: str = "instance") -> Tensor:
    """Logits of the published ConvNet, its parameters read off ``vector`` in the order of the layers."""
    at, x = 0, images

    def take(*shape: int) -> Tensor:
        nonlocal at
        size = int(torch.tensor(shape).prod())
        part = vector[at : at + size].reshape(shape)
        at += size
        return part

    for block in range(depth):
        padding = 3 if block == 0 and images.shape[1:] == (1, 28, 28) else 1
        x = F.conv2d(x, take(width, x.shape[1], 3, 3), take(width), padding=padding)
        if norm == "instance":
            x = F.group_norm(x, width, take(width), take(width))
        elif norm == "batch":
            x = F.batch_norm(x, None, None, take(width), take(width), training=True)
        x = F.avg_pool2d(F.relu(x), 2)
    x = x.flatten(1)
    logits = F.linear(x, take(classes, x.shape[1]), take(classes))
    assert at == len(vector)
    return logits


def slope(network: Callable[[Tensor, Tensor], Tensor], parameters: Tensor, images: Tensor, labels: Tensor) -> Tensor:
    """The gradient of the cross entropy in the parameters, with its graph."""
    error = F.cross_entropy(network(parameters, images), labels)
    (gradient,) = torch.autograd.grad(error, parameters, create_graph=True)
    return gradient


def distance(reached: Tensor, start: Tensor, target: Tensor) -> Tensor:
    """How far from the target, beside the start."""
    result: Tensor = (reached - target).square().sum() / (start - target).square().sum()
    return result


def loss(
    network: Callable[[Tensor, Tensor], Tensor],
    images: Tensor,
    labels: Tensor,
    rate: Tensor,
    start: Tensor,
    target: Tensor,
    steps: Sequence[Step],
) -> Tensor:
    """The loss, differentiable in images, labels and rate."""
    parameters = start.detach().requires_grad_()
    for rows, augment in steps:
        parameters = parameters - rate * slope(network, parameters, augment(images[rows]), labels[rows])
    return distance(parameters, start, target)


def truncated(
    network: Callable[[Tensor, Tensor], Tensor],
    images: Tensor,
    labels: Tensor,
    rate: Tensor,
    start: Tensor,
    target: Tensor,
    steps: Sequence[Step],
) -> Tensor:
    """The same value, differentiated as TESLA does: what a step's images do to later gradients is left out."""
    parameters, moved = start.detach(), torch.zeros_like(start)
    for rows, augment in steps:
        gradient = slope(network, parameters.requires_grad_(), augment(images[rows]), labels[rows])
        moved = moved + gradient
        parameters = (parameters - rate * gradient).detach()
    return distance(start - rate * moved, start, target)


def minibatch_training(
    network: Callable[[Tensor, Tensor], Tensor], vector: Tensor, batches: Sequence[tuple[Tensor, Tensor]], rate: float
) -> Tensor:
    """Plain SGD over (images, labels): an expert's epoch."""
    for images, labels in batches:
        parameters = vector.detach().requires_grad_()
        vector = parameters - rate * slope(network, parameters, images, labels)
    return vector.detach()
