"""Gradient matching straight from its equation, one class at a time, the graph of every gradient kept: slow and plain.

    sum over classes c of D( grad_theta L(A_c(S_c)), grad_theta L(A_c(T_c)) )

with L the mean cross entropy. Nothing is shared with the fast path but its inputs: the drawn real images, the
augmentations, the network's numbers.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from tests.oracles.dm_oracle import Augment
from tests.oracles.dm_oracle import network as embedding


def network(shape: tuple[int, int, int], width: int, depth: int, norm: str, state: Mapping[str, Tensor]) -> nn.Module:
    """The published ConvNet of `torch.nn`'s own layers, batch norm frozen."""
    features = embedding(shape, width, depth, norm, state)
    weight, bias = state["classifier.weight"], state["classifier.bias"]
    classifier = nn.Linear(weight.shape[1], weight.shape[0]).to(weight.dtype)
    classifier.load_state_dict({"weight": weight, "bias": bias})
    return nn.Sequential(features, classifier).eval()


def gradient(network: nn.Module, images: Tensor, label: int) -> list[Tensor]:
    """Of the mean cross entropy of images of one class, with its graph."""
    log_odds = torch.log_softmax(network(images), dim=1)
    loss = -log_odds[:, label].sum() / len(images)
    return list(torch.autograd.grad(loss, list(network.parameters()), create_graph=True))


def layerwise(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """1 - cos, output row by output row; biases and the scales and shifts of norms do not count.

    The distance of a row without gradient (of a dead unit) is 1, whatever the images.
    """
    total = torch.zeros(())
    for ours, theirs in zip(found, wanted, strict=True):
        if ours.dim() > 1:
            for a, b in zip(ours, theirs, strict=True):
                if not a.any():
                    total = total + 1
                    continue
                norms = (a**2).sum().sqrt() * (b**2).sum().sqrt()
                total = total + 1 - (a * b).sum() / (norms + 1e-6)
    return total


def cos(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """1 - cos of all gradients."""
    dot = sum(((a * b).sum() for a, b in zip(found, wanted, strict=True)), torch.zeros(()))
    norms = [sum(((a**2).sum() for a in side), torch.zeros(())).sqrt() for side in (found, wanted)]
    return 1 - dot / (norms[0] * norms[1] + 1e-6)


def mse(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """Squared distance of all gradients."""
    return sum((((a - b) ** 2).sum() for a, b in zip(found, wanted, strict=True)), torch.zeros(()))


DISTANCES = {"layerwise": layerwise, "cos": cos, "mse": mse}


def loss(
    network: nn.Module,
    real: Sequence[Tensor],
    synthetic: Sequence[Tensor],
    augment: Sequence[Augment],
    distance: str = "layerwise",
    match: str = "class",
) -> Tensor:
    """The equation: each entry of ``real`` and ``synthetic`` holds the images of one class."""
    classes = range(len(synthetic))
    found = [gradient(network, augment[c](synthetic[c]), c) for c in classes]
    wanted = [[part.detach() for part in gradient(network, augment[c](real[c]), c)] for c in classes]
    if match == "all":
        found, wanted = [_added(found)], [_added(wanted)]
    distances = [DISTANCES[distance](a, b) for a, b in zip(found, wanted, strict=True)]
    return torch.stack(distances).sum()


def _added(gradients: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    return [torch.stack(list(parts)).sum(0) for parts in zip(*gradients, strict=True)]
