"""A method at work on a small set, for `distillset.testing.check_method`."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from distillset.data.real import RealSet
from distillset.data.sampler import Rows, Sampler
from distillset.engine import Compute, Engine
from distillset.keys import Key
from distillset.methods import Matcher, Method, Role, Task, resolved
from distillset.nets import build
from distillset.testing.expect import expect
from distillset.testing.toys import NETWORK, toy

IPC, CLASSES = 2, 3
KEY = Key(0)("step", 0)("update", 0)


class Case:
    """A method at work on a small set of three classes.

    Args:
        method: the method.
        micro_batch: most images in a call.
        network: that it distils with.
        defers: whether to compute as on a GPU.
        exact: whether to compute in float64.
        real: the set, of three classes; by default two of them are smaller than most batches.
    """

    def __init__(
        self,
        method: Method,
        micro_batch: int = 64,
        network: str = NETWORK,
        defers: bool = False,
        exact: bool = False,
        real: RealSet | None = None,
    ) -> None:
        real = toy() if real is None else real
        module = build(network, real.spec).to(torch.float64 if exact else torch.float32)
        engine = Engine(Compute("cpu", "fp32", False, torch.get_num_threads(), micro_batch), defers=defers)
        real = _Exact(real.images, real.labels, real.spec) if exact else real
        self.task = Task(real, IPC, module, engine, network)
        self.method = resolved(method, real.spec, IPC)
        self.matcher: Matcher = self.method.prepare(self.task)
        _, height, width = real.spec.shape
        side = method.canvas
        shape = (IPC * CLASSES, real.spec.channels, side * height, side * width)
        self.images = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        self.images = self.images if exact else self.images.float()
        self.leaves = self.matcher.leaves(self.images)
        self.pixels = next((name for name, leaf in self.leaves.items() if leaf.role is Role.PIXELS), "")

    def start(self) -> dict[str, Tensor]:
        """The first values of the learned tensors."""
        return {name: leaf.start.clone() for name, leaf in self.leaves.items()}

    def update(
        self, leaves: dict[str, Tensor], key: Key = KEY, step: int = 0, reverse: bool = False
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of the first update of an episode, and its gradient in every learned tensor."""
        with _disable_current_modes():  # what the host gives an update is no part of it
            inputs = self.matcher.inputs(step, key)
        state, numbers = self.matcher.begin(inputs), self.matcher.draw(inputs)
        loss = torch.zeros((), dtype=leaves[self.pixels].dtype)
        gradients = {name: torch.zeros_like(leaf) for name, leaf in leaves.items()}
        blocks: Any = list(self.matcher.blocks)
        for block in reversed(blocks) if reverse else blocks:
            piece = self.matcher.term(leaves, state, numbers, block)
            loss = loss + piece.loss
            for name, (rows, part) in piece.gradients.items():
                gradients[name][rows] += part
        return loss, gradients


def close(result: Tensor, wanted: Tensor, tolerance: float) -> bool:
    """Whether two tensors differ by less than a part of the larger one."""
    return float((result - wanted).norm()) <= tolerance * float(wanted.norm()) + 1e-7


class _Exact(RealSet):
    """A real set drawn in float64."""

    def normalise(self, pixels: Tensor) -> Tensor:
        return super().normalise(pixels).double()


class Refilled(RealSet):
    """A real set whose small classes are filled up with other images than the library takes."""

    @classmethod
    def of(cls, real: RealSet) -> "Refilled":
        """The same images."""
        return cls(real.images, real.labels, real.spec)

    def sampler(self, n: int, device: torch.device | str = "cpu") -> Sampler:
        return _Refilling(self.labels.argsort(stable=True), self.counts.tolist(), n, device)


class _Refilling(Sampler):
    """Its filler is the first image of the first class; that of the library comes from later ones."""

    def several(self, words: Tensor) -> list[Rows]:
        first = self._order[0]
        return [
            replace(drawn, rows=torch.where(drawn.weights > 0, drawn.rows, first)) for drawn in super().several(words)
        ]


class NothingRead(TorchDispatchMode):
    """Refuses what would wait for a GPU, or could not be captured."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        expect(
            "_local_scalar_dense" not in str(func), "an update reads a number from the device, as float(tensor) does"
        )
        expect("nonzero" not in str(func), "an update makes a tensor whose size depends on numbers, as a mask does")
        return func(*args, **(kwargs or {}))
