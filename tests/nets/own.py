"""Networks as users write them, for `test_own` and, by ``tests.nets.own:name``, for the command line."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Plain(nn.Module):
    """Without embed; its last linear layer is not the last one that it declares."""

    def __init__(self, channels: int, height: int, width: int, classes: int, hidden: int = 5) -> None:
        super().__init__()
        self.head = nn.Linear(hidden, classes)
        self.conv = nn.Conv2d(channels, 4, 3, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.body = nn.Linear(4 * height * width, hidden)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.act(self.conv(images)).flatten(1)
        logits: Tensor = self.head(torch.tanh(self.body(maps)))
        return logits


class Drawn(nn.Module):
    """With a parameter that only its own code draws, a table that is not saved, and dropout."""

    def __init__(self, channels: int, height: int, width: int, classes: int) -> None:
        super().__init__()
        self.shift: Tensor
        self.scale = nn.Parameter(torch.randn(channels, 1, 1) * 0.1 + 1)
        self.register_buffer("shift", torch.linspace(0, 1, width), persistent=False)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(channels * height * width, classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.drop((images * self.scale + self.shift).flatten(1)))
        return logits


class Convolutional(nn.Module):
    """Without a linear layer."""

    def __init__(self, channels: int, height: int, width: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, classes, 3)

    def forward(self, images: Tensor) -> Tensor:
        maps: Tensor = self.conv(images)
        return maps.mean((2, 3))


class Normed(nn.Module):
    """With batch norm and an embedding of its own."""

    def __init__(self, channels: int, height: int, width: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, classes)

    def embed(self, images: Tensor) -> Tensor:
        return F.silu(self.norm(self.conv(images))).mean((2, 3))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.embed(images))
        return logits


def small(channels: int, height: int, width: int, classes: int) -> nn.Module:
    return Plain(channels, height, width, classes, hidden=3)


def number(channels: int, height: int, width: int, classes: int) -> int:
    return 3


def broken(channels: int, height: int, width: int, classes: int) -> nn.Module:
    raise RuntimeError("out of\nluck")


def too_many(channels: int, height: int, width: int, classes: int) -> nn.Module:
    return Plain(channels, height, width, classes + 1)


def wrong_size(channels: int, height: int, width: int, classes: int) -> nn.Module:
    return Plain(channels, height + 1, width, classes)


def unruly(channels: int, height: int, width: int, classes: int) -> nn.Module:
    """Drawn from a stream of its own."""
    module = Plain(channels, height, width, classes)
    nn.init.uniform_(module.head.weight, generator=STREAM)
    return module


STREAM = torch.Generator().manual_seed(0)


def statistics(channels: int, height: int, width: int, classes: int) -> nn.Module:
    return nn.Sequential(
        nn.BatchNorm2d(channels, track_running_stats=False), nn.Flatten(), nn.Linear(channels * height * width, classes)
    )


class Mixing(Plain):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images - images.mean(0))


class Pair(Plain):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images), images  # type: ignore[return-value]


class FlatEmbed(Plain):
    def embed(self, images: Tensor) -> Tensor:
        return images.sum((1, 2, 3))


class NoEmbed(Plain):
    def embed(self, images: Tensor) -> None:
        pass


MODULE = Plain(3, 8, 8, 3)
