"""The one place that owns speed: compilation, precision and micro-batches. Methods and training never see them."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from types import FunctionType
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map
from torch.utils.flop_counter import flop_registry

from distillset.engine.captured import Captured, side_by_side
from distillset.engine.compute import Compute, Work
from distillset.engine.features import features
from distillset.engine.kernels.normed import in_use
from distillset.errors import InputError

State = dict[str, Tensor]
"""Parameters and buffers of a network by name."""
Rowwise = Callable[[State, Tensor], Tensor]
Loss = Callable[..., Tensor]
Split = Callable[..., tuple[list[Tensor], list[Tensor]]]
T = TypeVar("T")

SMALL = 8
"""A call is replayed up to this part of a micro-batch: 512 images of ConvNet, two batches of an evaluation."""
TOGETHER = 10
"""Most trainings side by side."""
LARGE = 3 * 1024 * 1024
"""Numbers of an image beyond which a pass over it is measured by shapes alone, for which PyTorch imports a lot."""
PORTION = 2**24
"""Numbers of the real images that are drawn and augmented at once: 64 MB as floats, some times as much on the way."""


def embedding(network: nn.Module) -> Rowwise:
    """The pure function ``(state, images [n, C, H, W]) -> features [n, d]``.

    Raises:
        InputError: `features` finds none.
    """
    module = features(network)
    return lambda state, images: functional_call(module, {f"network.{k}": v for k, v in state.items()}, (images,))


def logits(network: nn.Module) -> Rowwise:
    """The pure function ``(state, images [n, C, H, W]) -> logits [n, classes]``."""
    return lambda state, images: functional_call(network, state, (images,))


class _Flops(TorchDispatchMode):
    """Counts floating point operations by PyTorch's formulas. Its own `FlopCounterMode` does the same and imports the
    compiler, which takes as long as a short run.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.total += formula(*args, **(kwargs or {}), out_val=result)
        return result


def measure(network: nn.Module, shape: tuple[int, int, int], images: float, second: bool = False) -> Work:
    """The work of ``images`` forward passes of ``network``, from one pass over a blank image.

    ``second`` says whether second derivatives are taken. Those layers within a module whose output the kernels never
    write out are its attribute ``passing``.
    """
    widest, fewest, numbers = 1, 1, 0
    passing = {layer for module in network.modules() for layer in getattr(module, "passing", ())}

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        nonlocal widest, fewest, numbers
        if isinstance(output, Tensor):
            widest, numbers = max(widest, output.numel()), numbers + output.numel()
            if module not in passing:
                fewest = max(fewest, output.numel())

    hooks = [layer.register_forward_hook(note) for layer in network.modules() if not list(layer.children())]
    training = network.training
    try:
        with torch.no_grad(), _Flops() as flops:
            _look(network.eval(), shape)
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    return Work(flops.total * images, numbers * images, widest, fewest, max(numbers, 1), second)


def _look(network: nn.Module, shape: tuple[int, int, int]) -> None:
    """One pass over a blank image; of a large one without its numbers, which may not fit."""
    place = torch.device("meta" if math.prod(shape) > LARGE else "cpu")
    state = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    functional_call(network, {name: value.to(place) for name, value in state.items()}, torch.zeros(1, *shape).to(place))


def _own_code(function: Callable[..., Any]) -> Callable[..., Any]:
    """A copy of a closure with a code object of its own.

    The compiler counts recompilations by code object and falls back to eager after eight; all closures made at one
    place would share that count.
    """
    code = function.__code__.replace()
    return FunctionType(code, function.__globals__, function.__name__, function.__defaults__, function.__closure__)


class Engine:
    """Runs pure functions of network states the way `Compute` says.

    The functions it returns are compiled for the shapes they meet, compute in the chosen precision and return float32
    (float64 stays float64, so the same code is its own oracle on double inputs).

    Args:
        compute: how.
        announce: is told of a micro-batch that had to be made smaller.
    """

    def __init__(self, compute: Compute, announce: Callable[[str], object] = lambda line: None) -> None:
        self.compute, self._announce = compute, announce
        self.device = torch.device(compute.device)
        self.micro_batch = compute.micro_batch
        """The most images in one call: what was chosen, or less once the device has run out of memory."""

    def whole(self, function: Callable[..., Any], second: bool = False) -> Callable[..., Any]:
        """``function`` in one call: precision and compilation only. Differentiable.

        Arguments and results are tensors, or lists, tuples and dicts of them. ``second`` says that it takes second
        derivatives.
        """

        def exact(*arguments: Any) -> Any:
            bf16 = self.compute.precision == "bf16"
            # The weight cache of autocast would keep casts from an earlier call alive inside compiled functions.
            with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16, cache_enabled=False):
                result = function(*arguments)
            return tree_map(lambda found: found if found.dtype == torch.float64 else found.float(), result)

        if not self.compute.compile:
            return exact
        from distillset.engine.graphs import options

        fp32 = self.compute.precision == "fp32"
        results, apart = torch.float32 if fp32 else torch.bfloat16, second and fp32
        told = options(results, apart) if self.compute.kernels else options()
        compiled = torch.compile(_own_code(exact), dynamic=False, options=told)
        if not self.compute.kernels:
            return compiled

        def with_kernels(*arguments: Any) -> Any:
            with in_use(results, apart):
                return compiled(*arguments)

        return with_kernels

    def replayed(self, run: Callable[..., Any]) -> Callable[..., Any]:
        """``run``, which must be pure and take its gradients itself, as ``(images, *arguments)``, told of how many
        images a call is: on a GPU those of few are replayed (`distillset.engine.captured`).
        """
        if self.device.type == "cpu":
            return lambda images, *arguments: run(*arguments)
        graphs, most = Captured(run), self.compute.micro_batch // SMALL
        return lambda images, *arguments: (graphs if images <= most else run)(*arguments)

    def rowwise(self, function: Rowwise) -> Callable[..., Tensor]:
        """``function(state, images)`` row by row, without gradients, in micro-batches.

        Args:
            function: gives one result row an image, whatever the other images are.

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
        run = self.whole(loss)

        def apply(state: State, trainable: Sequence[str], rows: Sequence[Tensor], weights: Tensor, full: int) -> State:
            leaves = [state[name].detach().requires_grad_() for name in trainable]
            inputs = {**state, **dict(zip(trainable, leaves, strict=True))}

            def once() -> list[Tensor]:
                total: list[Tensor] | None = None
                for part in self._parts((*rows, weights), full, mixes):
                    # A user's own network may have parameters that are not used, whose gradient is zero.
                    found = torch.autograd.grad(run(inputs, *part), leaves, allow_unused=True, materialize_grads=True)
                    total = _added(total, found)
                assert total is not None, "no rows"
                return total

            return dict(zip(trainable, self.adapting(once, full), strict=True))

        return apply

    def gradients(self, loss: Loss, mixes: bool = False) -> Callable[..., list[State]]:
        """`gradient` of several states, each with rows of its own; on a GPU side by side where rows are few.

        Returns:
            A function ``(states, trainable, rows, full) -> gradients``: ``rows`` has those of each state, with their
            weights last.
        """
        if not self.replays(mixes):
            single = self.gradient(loss, mixes)
            return lambda states, trainable, rows, full: [
                single(state, trainable, own[:-1], own[-1], full) for state, own in zip(states, rows, strict=True)
            ]

        def slope(own: State, others: State, *rows: Tensor) -> State:
            found: State = grad(lambda own: loss({**others, **own}, *rows))(own)
            return found

        one = self.whole(slope)
        run = self.replayed(lambda calls: side_by_side([partial(one, *call) for call in calls]))

        def apply(
            states: Sequence[State], trainable: Sequence[str], rows: Sequence[Sequence[Tensor]], full: int
        ) -> list[State]:
            named = set(trainable)
            parted = [
                (
                    {name: state[name].detach() for name in trainable},
                    {name: value for name, value in state.items() if name not in named},
                )
                for state in states
            ]

            def once() -> list[State]:
                totals: list[list[Tensor] | None] = [None] * len(states)
                for parts in zip(*[self._parts(own, full, False) for own in rows], strict=True):
                    images = sum(len(part[0]) for part in parts)
                    found = run(images, [(*pair, *part) for pair, part in zip(parted, parts, strict=True)])
                    totals = [
                        _added(total, [slopes[name] for name in trainable])
                        for total, slopes in zip(totals, found, strict=True)
                    ]
                return [dict(zip(trainable, total or [], strict=True)) for total in totals]

            return self.adapting(once, full)

        return apply

    def replays(self, mixes: bool) -> bool:
        """Whether small calls are replayed: on a GPU, but not where batch norm writes statistics as it trains."""
        return self.device.type == "cuda" and not mixes

    def together(self, images: int) -> int:
        """Trainings on so many images a batch that are worth running side by side: those whose batches are replayed."""
        return min(TOGETHER, max(1, self.micro_batch // SMALL // images)) if self.device.type == "cuda" else 1

    def split(
        self,
        function: Callable[..., tuple[Sequence[Tensor], Sequence[Tensor]]],
        mixes: bool = False,
        second: bool = False,
    ) -> Split:
        """``function(*fixed, *rows)`` in micro-batches, without gradients but those it takes itself.

        Args:
            function: gives tensors that are sums over rows, and tensors of one row a row. Where a micro-batch is filled
                up, the rows are zero.
            mixes: whether an image's result depends on the others (batch norm in training); then all go in one call.
            second: as in `whole`.

        Returns:
            A function ``(fixed, rows, full=None) -> (sums, rows)``; ``full`` is the usual number of rows, from which
            the micro-batch is derived so that a short last batch needs no other shape.
        """
        run = self.replayed(self.whole(function, second))

        def apply(
            fixed: Sequence[Any], rows: Sequence[Tensor], full: int | None = None
        ) -> tuple[list[Tensor], list[Tensor]]:
            count = len(rows[0])

            def once() -> tuple[list[Tensor], list[Tensor]]:
                total: list[Tensor] | None = None
                kept: list[Sequence[Tensor]] = []
                with torch.no_grad():
                    for part in self._parts(rows, full or count, mixes):
                        sums, own = run(len(part[0]), *fixed, *part)
                        total = _added(total, sums)
                        kept.append(own)
                    return total or [], [torch.cat(parts)[:count] for parts in zip(*kept, strict=True)]

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
                        f"--device {self.device}: out of memory with a single image at a time; smaller images, batches "
                        "or networks need less"
                    ) from None
            # Not in the handler, where what failed still holds its tensors.
            self.micro_batch = max(1, min(self.micro_batch, images or self.micro_batch) // 2)
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            self._announce(f"out of memory: micro-batches of {self.micro_batch} from here on")

    def portion(self, shape: Sequence[int]) -> int:
        """Real images of ``shape`` that are drawn and augmented at once: so few that their floats stay small, but no
        fewer than one call takes.
        """
        return max(self.compute.micro_batch, PORTION // math.prod(shape))

    def block(self, rows: int, classes: int) -> int:
        """Images of the classes, ``rows`` each, that make a term: the unit of work that ranks share.

        On a CPU one class, so that any number of ranks finds work and computes the same bits; of many classes a
        sixty-fourth, so that a step is not all overhead. On a GPU as many as fit a micro-batch.
        """
        together = rows * max(1, classes // 64) if self.device.type == "cpu" else self.compute.micro_batch
        return min(together, max(rows, self.compute.micro_batch))

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


def _added(total: list[Tensor] | None, found: Sequence[Tensor]) -> list[Tensor]:
    """``total`` with ``found`` added in place."""
    if total is None:
        return list(found)
    if total:
        torch._foreach_add_(total, list(found))
    return total


def blocks(count: int, rows: int, limit: int) -> list[slice]:
    """Split ``count`` classes of ``rows`` images each into even runs of at most ``limit`` images, or of one class."""
    most = max(1, limit // max(rows, 1))
    parts = -(-count // most)
    edges = [round(part * count / parts) for part in range(parts + 1)]
    return [slice(a, b) for a, b in pairwise(edges)]


__all__ = ["Engine", "blocks", "embedding", "logits", "measure"]
