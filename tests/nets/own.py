"""Networks as users write them, for `test_own` and, by ``tests.nets.own:name``, for the command line."""

from typing import Any

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


class Attentive(nn.Module):
    """A small transformer with PyTorch's attention."""

    def __init__(self, channels: int, height: int, width: int, classes: int, size: int = 16) -> None:
        super().__init__()
        self.patches = nn.Conv2d(channels, size, 4, 4)
        self.qkv = nn.Linear(size, 3 * size)
        self.head = nn.Linear(size, classes)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        query, key, value = (part[:, None] for part in self.qkv(tokens).chunk(3, -1))
        mixed = F.scaled_dot_product_attention(query, key, value)[:, 0]
        logits: Tensor = self.head(mixed.mean(1))
        return logits


class Encoder(nn.Module):
    """PyTorch's own transformer layer, which takes a short cut in evaluation."""

    def __init__(self, channels: int, height: int, width: int, classes: int, size: int = 16) -> None:
        super().__init__()
        self.patches = nn.Conv2d(channels, size, 4, 4)
        self.layer = nn.TransformerEncoderLayer(size, 2, 32, dropout=0.0, batch_first=True)
        self.head = nn.Linear(size, classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.layer(self.patches(images).flatten(2).transpose(1, 2)).mean(1))
        return logits


class Auxiliary(Plain):
    """With a second head that only training asks for, as Inception has."""

    def __init__(self, channels: int, height: int, width: int, classes: int) -> None:
        super().__init__(channels, height, width, classes)
        self.second = nn.Linear(channels * height * width, classes)

    def forward(self, images: Tensor) -> Tensor:
        logits = super().forward(images)
        return (logits, self.second(images.flatten(1))) if self.training else logits  # type: ignore[return-value]


class Spare(Plain):
    """With a parameter that is never used."""

    def __init__(self, channels: int, height: int, width: int, classes: int) -> None:
        super().__init__(channels, height, width, classes)
        self.second = nn.Linear(channels * height * width, classes)


class _Once(torch.autograd.Function):
    @staticmethod
    def forward(images: Tensor) -> Tensor:
        return images.exp()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(output)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (output,) = ctx.saved_tensors
        product: Tensor = gradient * output
        return product


class Once(Plain):
    """With an operation that can be differentiated a single time, as fused kernels can."""

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = _Once.apply(0.1 * super().forward(images))  # type: ignore[no-untyped-call]
        return found
