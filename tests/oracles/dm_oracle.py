"""DM's loss straight from its equation, and a plain network to embed with: slow, one class at a time, any precision.

    sum over classes c of || mean_i phi(A_c(T_c,i)) - mean_j phi(A_c(S_c,j)) ||^2

Nothing is shared with the fast path but its inputs: the drawn real images, the augmentations, the network's numbers.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

Augment = Callable[[Tensor], Tensor]


def network(shape: tuple[int, int, int], width: int, depth: int, norm: str, state: Mapping[str, Tensor]) -> nn.Module:
    """phi: the published ConvNet up to its classifier, of `torch.nn`'s own layers."""
    layers: list[nn.Module] = []
    channels = shape[0]
    for block in range(depth):
        padding = 3 if block == 0 and shape == (1, 28, 28) else 1
        layers.append(nn.Conv2d(channels, width, kernel_size=3, padding=padding))
        layers.append(nn.GroupNorm(width, width) if norm == "instance" else nn.BatchNorm2d(width))
        layers.append(nn.ReLU())
        layers.append(nn.AvgPool2d(kernel_size=2, stride=2))
        channels = width
    features = nn.Sequential(*layers).to(next(iter(state.values())).dtype)
    mine = {name.removeprefix("features."): value for name, value in state.items() if name.startswith("features.")}
    features.load_state_dict(mine)
    return nn.Sequential(features, nn.Flatten())


def loss(phi: nn.Module, real: Sequence[Tensor], synthetic: Sequence[Tensor], augment: Sequence[Augment]) -> Tensor:
    """The equation, class by class: each entry of ``real`` and ``synthetic`` holds the images of one class."""
    total = torch.zeros((), dtype=synthetic[0].dtype)
    for c in range(len(synthetic)):
        real_mean = torch.zeros(())
        for image in augment[c](real[c]):
            real_mean = real_mean + phi(image[None])[0].detach() / len(real[c])
        synthetic_mean = torch.zeros(())
        for image in augment[c](synthetic[c]):
            synthetic_mean = synthetic_mean + phi(image[None])[0] / len(synthetic[c])
        total = total + ((real_mean - synthetic_mean) ** 2).sum()
    return total


def calibrate(phi: nn.Module, real: Tensor) -> None:
    """The rule for batch norm: statistics of all these real images, layer by layer, frozen from here on."""
    for layer in phi.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None  # the average of all batches so far: of this one
    with torch.no_grad():
        phi.train()(real)
    phi.eval()
