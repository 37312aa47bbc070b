"""What every method is made of, and what the loop asks of it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from distillset.data.real import RealSet
from distillset.data.spec import Spec
from distillset.engine import Engine, pulled_back
from distillset.keys import Key
from distillset.mesh import Mesh, Solo
from distillset.nets import State, calibrated, fresh, mixes_images
from distillset.nets.batch_norm import IMAGES
from distillset.training import Watching

Leaves = Mapping[str, Tensor]
"""The current values of the learned tensors; always with ``images [classes*ipc, C, H, W]``, class by class."""


@dataclass(frozen=True)
class Leaf:
    """A learned tensor: where it starts, and the SGD that moves it.

    Args:
        start: its first value.
        rate: learning rate of its SGD.
        momentum: of its SGD.
        positive: whether it must stay above 0: the step ``d`` that SGD would take is applied as ``x * exp(d / x)``, the
            same to first order; at most a factor of e.
        average: decay of an exponential moving average over updates, which then is the result; 0 for none.
    """

    start: Tensor
    rate: float
    momentum: float = 0.0
    positive: bool = False
    average: float = 0.0


@dataclass(frozen=True)
class Piece:
    """What a term found: its share of the loss, and the gradient of the rows it covers of each leaf it touches."""

    loss: Tensor
    gradients: dict[str, tuple[slice, Tensor]]


Term = Callable[[], Piece]
"""Losses and gradients of the terms of one update add up. Terms of different classes own different rows."""


@dataclass(frozen=True)
class Task:
    """What a method works on. Images of class ``c`` are the rows ``c*ipc`` to ``(c+1)*ipc`` of the leaf ``images``.

    The network is in evaluation mode. Its states come from `fresh`, which keeps the rule for batch norm.

    Args:
        real: the training set.
        ipc: images per class.
        network: the structure of the distilling network.
        engine: says how to compute.
        name: of the network.
        key: the run's, below which `prepare` draws.
        folder: where a method may keep what it makes for the run; None if nothing is kept.
        watcher: is told what making it takes, and may ask to stop.
        mesh: the ranks that share the run.
    """

    real: RealSet
    ipc: int
    network: nn.Module
    engine: Engine
    name: str = ""
    key: Key = field(default_factory=partial(Key, 0))
    folder: Path | None = None
    watcher: Watching | None = None
    mesh: Mesh = field(default_factory=Solo)

    def __post_init__(self) -> None:
        self.network.eval()  # no image's result depends on the others: see `calibrated`

    @property
    def spec(self) -> Spec:
        return self.real.spec

    @property
    def device(self) -> torch.device:
        return self.engine.device

    def rows(self, classes: slice) -> slice:
        """The rows of the leaf ``images`` that belong to a run of classes."""
        return slice(classes.start * self.ipc, classes.stop * self.ipc)

    def portions(self, label: int, count: int, key: Key) -> Iterator[Tensor]:
        """``count`` real images of a class as `RealSet.draw` gives them, in portions of bounded memory (mostly one)."""
        for rows in self.real.draw_rows(label, count, key).split(self.engine.portion(self.spec.shape)):
            yield self.real.rows(rows, self.device)

    def fresh(self, key: Key) -> State:
        """A newly drawn network, its batch norm (if there is any) calibrated."""
        return self.calibrated(fresh(self.network, key("network"), self.device), key("calibrate"))

    def calibrated(self, state: State, key: Key) -> State:
        """``state`` with the batch-norm statistics of 16 real images a class, drawn by ``key``, not augmented."""
        if not mixes_images(self.network):
            return state
        counts = self.real.counts.clamp(max=IMAGES).tolist()
        images = torch.cat([self.real.draw(c, count, key(c), self.device) for c, count in enumerate(counts)])
        return calibrated(self.network, state, images)


class Matcher(Protocol):
    """A method at work on a task: it holds the compiled functions, and whatever else is made once a run.

    ``updates`` is the work of an episode in units of its first update, to tell beforehand what a run will take.
    """

    updates: float

    def leaves(self, images: Tensor) -> dict[str, Leaf]:
        """The learned tensors, given the initial images."""

    def episode(self, leaves: Leaves, step: int, key: Key) -> Iterator[Sequence[Term]]:
        """One freshly drawn network. Each ``yield`` hands over terms and asks for one update of the leaves."""


@runtime_checkable
class Forgiving(Protocol):
    """A matcher that asks for steps to be skipped rather than for the run to end.

    An update whose loss is above ``limit``, or that is not finite, is left out and counted; ``patience`` of them in a
    row end the run with ``diagnosis``.
    """

    limit: float
    patience: int

    def diagnosis(self, leaves: Leaves) -> str:
        """What was tried last, and what to change."""


@runtime_checkable
class Prepares(Protocol):
    """A method that trains networks before its first step."""

    def images_before(self, real: RealSet) -> float:
        """Forward passes of one image that this is worth, counted as in `Method.images_per_step`."""


@runtime_checkable
class Whitens(Protocol):
    """A method whose published settings say whether images are whitened."""

    def whitening(self, spec: Spec, ipc: int) -> str:
        """``zca`` or ``none`` for this data."""


@runtime_checkable
class Textured(Protocol):
    """A method whose images may be canvases, see `distillset.augment.canvas`."""

    @property
    def canvas(self) -> int:
        """Images across and down one of its images."""


@runtime_checkable
class Formed(Protocol):
    """A method whose images may hold several to train on, see `distillset.augment.formation`."""

    @property
    def formation(self) -> int:
        """Tiles across and down one of its images."""


class Method(Protocol):
    """A frozen dataclass whose fields are hyper-parameters, command-line flags and checkpoint record at once.

    The class attributes ``name``, ``steps`` and ``init`` are the published name, number of steps and initialisation.
    """

    name: ClassVar[str]
    steps: ClassVar[int]
    init: ClassVar[str]

    def resolve(self, spec: Spec, ipc: int) -> "Method":
        """The method with every ``auto`` replaced by its value for this data and ipc."""

    def images_per_step(self, real: RealSet, ipc: int) -> float:
        """Forward passes of one image that a step is worth; a backward pass counts as two."""

    def prepare(self, task: Task) -> Matcher:
        """Make what the run needs."""


def canvas(method: Method) -> int:
    """Images across and down a synthetic one of ``method``: 1 unless it learns textures."""
    return method.canvas if isinstance(method, Textured) else 1


def formation(method: Method) -> int:
    """Tiles across and down a synthetic image of ``method``: 1 unless its images hold several."""
    return method.formation if isinstance(method, Formed) else 1


def pixel_gradient(
    images: Tensor, augment: Callable[[Tensor], Tensor], loss: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Value and gradient with respect to ``images`` of ``loss(augment(images))``; ``images`` is left as it is."""
    leaf = images.detach().requires_grad_()
    augmented = augment(leaf)
    # The compiler warns of arguments that are no leaves.
    seen = augmented.detach().requires_grad_()
    value = loss(seen)
    (asked,) = torch.autograd.grad(value, seen)
    return value.detach(), pulled_back(asked, augmented, leaf)
