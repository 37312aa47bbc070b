"""Small sets with structure: every class has a pattern of its own beneath noise."""

from collections.abc import Sequence

import torch
from torch import Tensor

from distillset.data.real import RealSet
from distillset.data.spec import Spec
from distillset.sources.load import Data

NETWORK = "ConvNetD1W8"
"""A network that trains on them in no time."""


def pixels(
    counts: Sequence[int] = (12, 7, 5), shape: tuple[int, int, int] = (3, 8, 8), seed: int = 0, noise: int = 40
) -> tuple[Tensor, Tensor]:
    """Images ``uint8 [N, C, H, W]`` and labels ``int64 [N]``, in a mixed order; patterns are the same for any seed."""
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    patterns = torch.randint(0, 256, (len(counts), *shape), generator=torch.Generator().manual_seed(1234))
    generator = torch.Generator().manual_seed(seed)
    labels = labels[torch.randperm(len(labels), generator=generator)]
    drift = torch.randint(-noise, noise + 1, (len(labels), *shape), generator=generator)
    return (patterns[labels] + drift).clamp(0, 255).to(torch.uint8), labels


def toy(
    counts: Sequence[int] = (12, 7, 5), shape: tuple[int, int, int] = (3, 8, 8), seed: int = 0, noise: int = 40
) -> RealSet:
    """A training set of as many images of each class as ``counts`` says."""
    return RealSet.from_arrays(*pixels(counts, shape, seed, noise), name="toy")


def small() -> RealSet:
    """A training set with a class of one image, which is fewer than a method draws."""
    return toy((12, 3, 1))


def toy_data(counts: Sequence[int] = (12, 7, 5), noise: int = 40) -> Data:
    """A training set, and a test set of ten images per class normalised like it."""
    train = toy(counts, noise=noise)
    return Data(train, RealSet(*pixels([10] * len(counts), seed=1, noise=noise), train.spec), "toy")


def spec_of(channels: int, height: int, width: int, classes: int = 10) -> Spec:
    """The description of images of which there are none."""
    names = tuple(f"class {c}" for c in range(classes))
    return Spec("blank", channels, height, width, names, (0.5,) * channels, (0.25,) * channels)
