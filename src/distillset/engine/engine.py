"""The one place that owns speed: compilation, precision, micro-batches and CUDA graphs. Methods never see them."""

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.func import grad_and_value

from distillset.engine.adjoint import pulled_back
from distillset.engine.captured import Launch
from distillset.engine.compile import compiled_apart
from distillset.engine.compute import Compute
from distillset.engine.kernels import random
from distillset.engine.micro_batches import MicroBatches
from distillset.keys import uniform
from distillset.watch import Watcher

TOGETHER = 10
"""Most trainings side by side."""
SMALL = 8
"""Trainings go side by side while all their batches together are this part of a micro-batch at most."""
PORTION = 2**24
"""Numbers of the real images that are drawn and augmented at once: 64 MB as floats, some times as much on the way."""

AHEAD, ROWS, PARAMETERS = 16, 2**12, 2**20
"""Most updates that are drawn for at once, and most rows and parameters of theirs."""

PixelGradient = Callable[[Tensor, Sequence[Any], Sequence[Any]], tuple[Tensor, Tensor]]


class Engine(MicroBatches):
    """Runs pure functions the way `Compute` says.

    On a CPU a step is computed class by class in micro-batches that fit the cache. On a GPU it is captured whole, as
    one CUDA graph.

    Args:
        compute: how.
        watcher: is notified of a micro-batch that had to be made smaller, and of what cannot be captured.
        defers: whether nothing is read from the device while steps go on, so that they can be captured; None says: on a
            GPU.
    """

    def __init__(
        self,
        compute: Compute,
        watcher: Watcher | None = None,
        defers: bool | None = None,
    ) -> None:
        super().__init__(compute, watcher)
        self.defers = self.device.type == "cuda" if defers is None else defers

    @cached_property
    def _pool(self) -> Any:
        """The memory that this engine's graphs share: one runs at a time."""
        return torch.cuda.graph_pool_handle() if self.device.type == "cuda" else None

    def launch(self, function: Callable[..., None], capture: bool = True) -> Launch:
        """``function``, which writes to what it holds, as one launch where the device has such a thing."""
        return Launch(function, self.device, capture and self.defers, self._pool, self.watcher)

    def draws(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function that draws random numbers, or does with numbers what needs no products of matrices.

        Compiled where a whole step is, so that hundreds of small operations are a few; on a CPU compiling would cost
        more than it saves.
        """
        return compiled_apart(function) if self.defers and self.compute.compile else function

    def uniform(self, words: Tensor, count: int) -> Tensor:
        """Of every stream ``[k, 2]`` its first ``count`` numbers in [0, 1): float32 ``[k, count]``."""
        if self.compute.kernels and words.device.type == "cpu":
            return random.uniform(words, count)
        return uniform(words, (count,))

    def ahead(self, rows: int, parameters: int) -> int:
        """Updates whose random numbers are worth drawing at once: on a CPU, where there are so few that Python would
        take longer than the arithmetic.

        Args:
            rows: real images of an update.
            parameters: of its network.
        """
        return 1 if self.defers else max(1, min(AHEAD, ROWS // max(rows, 1), PARAMETERS // max(parameters, 1)))

    def pixel_gradient(
        self, seen: Callable[..., Tensor], loss: Callable[..., Tensor], second: bool = False
    ) -> PixelGradient:
        """Value of ``loss(seen(images, *how), *what)`` and its gradient in ``images``.

        Args:
            seen: what a network sees of the images: tiles, augmentation.
            loss: a number.
            second: whether it takes second derivatives.

        Returns:
            A function ``(images, how, what) -> (value, gradient)``; ``images`` are left as they are.
        """
        if self.defers and self.compute.compile:  # on a GPU the augmentation is part of the same few kernels
            return self._fused(seen, loss, second)
        if second or self.compute.compile:
            inner = self.whole(grad_and_value(loss), second)
        else:
            plain = self.whole(loss)

            def inner(images: Tensor, *what: Any) -> tuple[Tensor, Tensor]:
                leaf = images.requires_grad_()
                value = plain(leaf, *what)
                return torch.autograd.grad(value, leaf)[0], value.detach()

        def apply(images: Tensor, how: Sequence[Any], what: Sequence[Any]) -> tuple[Tensor, Tensor]:
            leaf = images.detach().requires_grad_()
            augmented = seen(leaf, *how)
            asked, value = inner(augmented.detach(), *what)
            return value, pulled_back(asked, augmented, leaf)

        return apply

    def _fused(self, seen: Callable[..., Tensor], loss: Callable[..., Tensor], second: bool) -> PixelGradient:
        run = self.whole(
            lambda images, how, what: grad_and_value(lambda images: loss(seen(images, *how), *what))(images), second
        )

        def apply(images: Tensor, how: Sequence[Any], what: Sequence[Any]) -> tuple[Tensor, Tensor]:
            gradient, value = run(images.detach(), tuple(how), tuple(what))
            return value, gradient

        return apply

    def together(self, images: int) -> int:
        """Trainings on so many images a batch that are worth running side by side: those of few images, on a GPU."""
        return min(TOGETHER, max(1, self.micro_batch // SMALL // images)) if self.defers else 1

    def portion(self, shape: Sequence[int]) -> int:
        """Real images of ``shape`` that are drawn and augmented at once: so few that their floats stay small, but no
        fewer than one call takes.
        """
        return max(self.compute.micro_batch, PORTION // math.prod(shape))


__all__ = ["Engine"]
