"""Distances between two gradients of a network, each a dict of tensors by parameter name."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from distillset.errors import InputError

EPS = 1e-6
"""Added to the product of norms, as in the authors' code: a row without gradient is at distance 1, not NaN."""

Gradients = Mapping[str, Tensor]


def layerwise(synthetic: Gradients, real: Gradients) -> Tensor:
    """``1 - cos`` of each output row, summed over rows and layers (DC, ICLR 2021, equation 10 and appendix A).

    A convolution ``[out, in, h, w]`` has rows of ``in * h * w`` numbers, a linear layer ``[out, in]`` of ``in``.
    """
    return torch.stack([_cosine(synthetic[name].flatten(1), real[name].flatten(1)).sum() for name in synthetic]).sum()


def cos(synthetic: Gradients, real: Gradients) -> Tensor:
    """``1 - cos`` of all numbers as one vector."""
    return _cosine(_vector(synthetic), _vector(real))


def mse(synthetic: Gradients, real: Gradients) -> Tensor:
    """Squared distance of all numbers as one vector (a sum, not a mean, as in the authors' code)."""
    return (_vector(synthetic) - _vector(real)).square().sum()


DISTANCES: dict[str, Callable[[Gradients, Gradients], Tensor]] = {"layerwise": layerwise, "cos": cos, "mse": mse}


def matched(network: nn.Module, distance: str) -> list[str]:
    """The parameters that a distance compares: for ``layerwise`` those of two and more dimensions, else all.

    Raises:
        InputError: there are none.
    """
    names = [name for name, parameter in network.named_parameters() if distance != "layerwise" or parameter.dim() > 1]
    if not names:
        raise InputError.about(
            f"network {type(network).__name__}",
            f"has no parameters that gradient matching with `distance={distance!r}` could compare; choose another "
            "network",
        )
    return names


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    norms = torch.linalg.vector_norm(a, dim=-1) * torch.linalg.vector_norm(b, dim=-1)
    distance: Tensor = 1 - (a * b).sum(-1) / (norms + EPS)
    return distance


def _vector(gradients: Gradients) -> Tensor:
    return torch.cat([gradient.flatten() for gradient in gradients.values()])
