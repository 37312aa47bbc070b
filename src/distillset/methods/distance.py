"""Distances between two gradients of a network, each a dict of tensors by parameter name."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from distillset.errors import InputError

EPS = 1e-6
"""Added to the product of norms, as in the authors' code: a row without gradient is at distance 1, not NaN."""

Gradients = Mapping[str, Tensor]


def layerwise(found: Gradients, wanted: Gradients) -> Tensor:
    """``1 - cos`` of each output row, summed over rows and layers (DC, ICLR 2021, equation 10 and appendix A).

    A convolution ``[out, in, h, w]`` has rows of ``in * h * w`` numbers, a linear layer ``[out, in]`` of ``in``.
    """
    return torch.stack([_cosine(found[name].flatten(1), wanted[name].flatten(1)).sum() for name in found]).sum()


def cos(found: Gradients, wanted: Gradients) -> Tensor:
    """``1 - cos`` of all numbers as one vector."""
    return _cosine(_vector(found), _vector(wanted))


def mse(found: Gradients, wanted: Gradients) -> Tensor:
    """Squared distance of all numbers as one vector (a sum, not a mean, as in the authors' code)."""
    return (_vector(found) - _vector(wanted)).square().sum()


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


def _cosine(found: Tensor, wanted: Tensor) -> Tensor:
    norms = torch.linalg.vector_norm(found, dim=-1) * torch.linalg.vector_norm(wanted, dim=-1)
    distance: Tensor = 1 - (found * wanted).sum(-1) / (norms + EPS)
    return distance


def _vector(gradients: Gradients) -> Tensor:
    return torch.cat([gradient.flatten() for gradient in gradients.values()])
