"""Micro-batches: calls of as many images as fit, whose results are put together again."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.func import grad

from distillset.engine.compile import compiled
from distillset.engine.compute import Compute
from distillset.engine.networks import Loss, Rowwise, State
from distillset.errors import InputError
from distillset.watch import Watcher

Split = Callable[..., tuple[list[Tensor], list[Tensor]]]
T = TypeVar("T")


class MicroBatches:
    """Runs pure functions of network states in micro-batches, the way `Compute` says.

    Args:
        compute: how.
        watcher: is notified of a micro-batch that had to be made smaller.
    """

    def __init__(self, compute: Compute, watcher: Watcher | None = None) -> None:
        self.compute, self.watcher = compute, watcher or Watcher()
        self.device = torch.device(compute.device)
        self.micro_batch = compute.micro_batch
        """The most images in one call: what was chosen, or less once the device has run out of memory."""

    def in_one_call(self, images: int) -> bool:
        """Whether so many images take one call, of a function whose graph PyTorch can keep: one not compiled."""
        return images <= self.micro_batch and not self.compute.compile

    def whole(self, function: Callable[..., Any], second: bool = False) -> Callable[..., Any]:
        """``function`` in one call: see `distillset.engine.compile.compiled`."""
        return compiled(function, self.compute, second)

    def rowwise(self, function: Rowwise) -> Callable[..., Tensor]:
        """``function(state, images)`` row by row, without gradients, in micro-batches.

        Args:
            function: gives one result row per image, whatever the other images are.

        Returns:
            A function ``(state, images, full=None) -> rows``; ``full`` as in `split`.
        """
        run = self.split(lambda state, images: ((), (function(state, images),)))

        def apply(state: State, images: Tensor, full: int | None = None) -> Tensor:
            _, (rows,) = run((state,), (images,), full)
            return rows

        return apply

    def gradient(self, loss: Loss, mixes: bool = False) -> Callable[..., State]:
        """The gradient of a sum over rows with respect to the parameters of a state, in micro-batches.

        Args:
            loss: ``loss(state, *rows, weights)`` gives ``sum_i weights[i] * loss_i``; rows are tensors ``[n, ...]``.
            mixes: as in `split`.

        Returns:
            A function ``(state, trainable, rows, weights, full) -> gradients`` for the names in ``trainable``; ``full``
            as in `split`.
        """
        by_autograd = mixes or self.device.type == "cpu"  # batch norm writes its statistics as it trains
        run = self.whole(loss if by_autograd else _gradient_of(loss))

        def apply(state: State, trainable: Sequence[str], rows: Sequence[Tensor], weights: Tensor, full: int) -> State:
            parameters = {name: state[name].detach() for name in trainable}
            if by_autograd:
                parameters = {name: value.requires_grad_() for name, value in parameters.items()}
            others = {name: value for name, value in state.items() if name not in parameters}

            def once() -> list[Tensor]:
                total: list[Tensor] | None = None
                for part in self._parts((*rows, weights), full, mixes):
                    if by_autograd:
                        value = run({**others, **parameters}, *part)
                        # A user's own network may have parameters that are not used, whose gradient is zero.
                        leaves = list(parameters.values())
                        gradients = list(torch.autograd.grad(value, leaves, allow_unused=True, materialize_grads=True))
                    else:
                        gradients = list(run(parameters, others, *part).values())
                    total = _added(total, gradients)
                assert total is not None, "no rows"
                return total

            return dict(zip(trainable, self.adapting(once, full), strict=True))

        return apply

    def split(
        self,
        function: Callable[..., tuple[Sequence[Tensor], Sequence[Tensor]]],
        mixes: bool = False,
        second: bool = False,
    ) -> Split:
        """``function(*fixed, *rows)`` in micro-batches, without gradients but those it takes itself.

        Args:
            function: gives tensors that are sums over rows, and tensors with one row for each row given. Where a
                micro-batch is filled up, the rows are zero.
            mixes: whether an image's result depends on the others (batch norm in training); then all go in one call.
            second: whether it takes second derivatives.

        Returns:
            A function ``(fixed, rows, full=None) -> (sums, rows)``; ``full`` is the usual number of rows, from which
            the micro-batch is derived so that a short last batch needs no other shape.
        """
        run = self.whole(function, second)

        def apply(
            fixed: Sequence[Any], rows: Sequence[Tensor], full: int | None = None
        ) -> tuple[list[Tensor], list[Tensor]]:
            count = len(rows[0])

            def once() -> tuple[list[Tensor], list[Tensor]]:
                total: list[Tensor] | None = None
                results: list[Sequence[Tensor]] = []
                with torch.no_grad():
                    for part in self._parts(rows, full or count, mixes):
                        sums, by_row = run(*fixed, *part)
                        total = _added(total, sums)
                        results.append(by_row)
                    if len(results) == 1 and len(rows[0]) == count:
                        return total or [], [part[:count] for part in results[0]]
                    return total or [], [torch.cat(parts)[:count] for parts in zip(*results, strict=True)]

            return self.adapting(once, full or count)

        return apply

    def adapting(self, call: Callable[[], T], images: int | None = None) -> T:
        """``call()``, and where the device runs out of memory again with half the micro-batch, from there on.

        Args:
            call: computes with as many images at a time as `micro_batch` says, and may be begun anew.
            images: how many it is about, where that is known.

        Raises:
            InputError: even a single image at a time is too much.
        """
        while True:
            try:
                return call()
            except torch.OutOfMemoryError:
                if self.micro_batch == 1:
                    raise InputError(
                        "device",
                        str(self.device),
                        "out of memory with a single image at a time; smaller images, batches or networks need less",
                    ) from None
            # Not in the handler, where what failed still holds its tensors.
            self.micro_batch = max(1, min(self.micro_batch, images or self.micro_batch) // 2)
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            self.watcher.note(f"out of memory: micro-batches of {self.micro_batch} from here on")

    def _parts(self, rows: Sequence[Tensor], full: int, mixes: bool) -> Iterator[list[Tensor]]:
        count = len(rows[0])
        size = count if mixes else self._even(full)
        for start in range(0, count, size):
            yield [self._padded(tensor[start : start + size], size) for tensor in rows]

    def _even(self, count: int) -> int:
        """The micro-batch for ``count`` rows: even parts, so that little of the last one is padding."""
        parts = -(-count // self.micro_batch)
        return -(-count // parts)

    def _padded(self, rows: Tensor, size: int) -> Tensor:
        """Rows up to ``size``, zeros behind (cut off later, or of weight zero). Only compiled functions need them."""
        short = size - len(rows)
        if short <= 0 or not self.compute.compile:
            return rows
        return torch.cat([rows, rows.new_zeros(short, *rows.shape[1:])])


def _gradient_of(loss: Loss) -> Callable[..., State]:
    def gradient(parameters: State, others: State, *rows: Tensor) -> State:
        gradients: State = grad(lambda parameters: loss({**others, **parameters}, *rows))(parameters)
        return gradients

    return gradient


def _added(total: list[Tensor] | None, part: Sequence[Tensor]) -> list[Tensor]:
    """``total`` with ``part`` added in place."""
    if total is None:
        return list(part)
    if total:
        torch._foreach_add_(total, list(part))
    return total


def blocks(count: int, rows: int, limit: int) -> list[slice]:
    """Split ``count`` classes of ``rows`` images each into even runs of at most ``limit`` images, or of one class."""
    most = max(1, limit // max(rows, 1))
    parts = -(-count // most)
    edges = [round(part * count / parts) for part in range(parts + 1)]
    return [slice(a, b) for a, b in pairwise(edges)]
