"""What every method is made of, and what the loop asks of it.

A step is a pure function of the learned tensors and of numbers. A method's matcher says it in parts: the network of an
episode, the random numbers of an update, and terms that each give a part of the loss and of its gradient; all of them
tensor operations over many classes at once. The engine decides how they run: class by class on a CPU, as one captured
launch on a GPU.
"""

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from distillset.data.real import RealSet
from distillset.data.sampler import Rows, Sampler
from distillset.data.spec import Spec
from distillset.engine import Embeddings, Engine, LossGradient, State, blocks, embeddings, pulled_back
from distillset.engine.features import BLOCKS, LAST_LAYER
from distillset.errors import InputError
from distillset.keys import Key, fold, words
from distillset.mesh import Mesh, Solo
from distillset.methods.images import Images
from distillset.nets import Fill, calibrated, drawn, mixes_images
from distillset.nets.batch_norm import IMAGES
from distillset.training import cross_entropy
from distillset.watch import Watcher

Leaves = Mapping[str, Tensor]
"""The current values of the learned tensors, by the names that `Matcher.leaves` gives them."""

Inputs = dict[str, Tensor]
"""What an update is given beside the learned tensors: the words of its random streams, and what only the host has."""


class Role(Enum):
    """What a learned tensor is to everybody but its method: the loop, the artifact and the report go by this alone."""

    PIXELS = "images"
    """The images ``float32 [classes*ipc, C, H, W]``, class by class; every method learns one tensor of this role."""
    LR = "lr"
    """The learning rate ``[1]`` that networks are to be trained with."""
    LABEL_LOGITS = "labels"
    """Soft labels ``[classes*ipc, classes]``, whose softmax the artifact has."""
    OTHER = "other"
    """Anything else: the artifact keeps it under the name that the method gave it."""


@dataclass(frozen=True)
class Leaf:
    """A learned tensor: where it starts, what it is, and the SGD that moves it.

    Args:
        start: its first value.
        lr: learning rate of its SGD.
        momentum: of its SGD.
        positive: whether it must stay above 0: the step ``d`` that SGD would take is applied as ``x * exp(d / x)``, the
            same to first order; at most a factor of e.
        average: decay of an exponential moving average over updates, which then is the result; 0 for none.
        role: what it is to the artifact.
    """

    start: Tensor
    lr: float
    momentum: float = 0.0
    positive: bool = False
    average: float = 0.0
    role: Role = Role.OTHER


@dataclass(frozen=True)
class Piece:
    """What a term gives: its share of the loss, and the gradient of the rows it covers of each leaf it touches."""

    loss: Tensor
    gradients: dict[str, tuple[slice, Tensor]]


@dataclass(frozen=True)
class Task:
    """What a method works on. Images of class ``c`` are the rows ``c*ipc`` to ``(c+1)*ipc`` of the leaf ``images``.

    The network is in evaluation mode. Its states come from `network_of`, which keeps the rule for batch norm.

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
    watcher: Watcher = field(default_factory=Watcher)
    mesh: Mesh = field(default_factory=Solo)

    def __post_init__(self) -> None:
        self.network.eval()  # no image's result depends on the others: see `calibrated`

    @property
    def spec(self) -> Spec:
        return self.real.spec

    @property
    def device(self) -> torch.device:
        return self.engine.device

    @cached_property
    def classes(self) -> Tensor:
        """The numbers of the classes, on the device."""
        return torch.arange(self.spec.classes, device=self.device)

    def rows(self, classes: slice) -> slice:
        """The rows of the leaf ``images`` that belong to a run of classes."""
        return slice(classes.start * self.ipc, classes.stop * self.ipc)

    def blocks(self, synthetic: int, real: int) -> list[slice]:
        """Runs of classes, each a term: the unit of work that ranks share.

        On a CPU so few classes that the images of one go through the network in one call, or one class: then any number
        of ranks finds work and computes the same bits. Of many classes at least a sixty-fourth, so that a step is not
        all overhead. On a GPU as many as one call takes.

        Args:
            synthetic: images that a class shows, tiles counted.
            real: real images of a class.
        """
        classes, most = self.spec.classes, self.engine.compute.micro_batch
        together = max(1, most // max(synthetic, real))
        if self.device.type == "cpu":
            together = max(together, min(classes // 64, most // synthetic))
        # Runs of one length where that takes few more of them: each length is a shape to compile.
        same = (n for n in range(min(together, classes), together * 2 // 3, -1) if classes % n == 0)
        return blocks(classes, 1, next(same, together))

    def portions(self, drawn: Rows, pixels: Tensor | None = None) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Real images, normalised, in portions of bounded memory (mostly one).

        Args:
            drawn: rows of some classes.
            pixels: their bytes ``[classes, n, C, H, W]``, where the host has read them already.

        Yields:
            (which of the classes, images ``[k, n, C, H, W]``, weights ``[k, n]``).
        """
        classes, n = drawn.rows.shape
        portion = self.engine.portion(self.spec.shape)
        for run in blocks(classes, n, portion):
            some = drawn.of(run)
            for start in range(0, some.rows.shape[1], portion):
                part = slice(start, start + portion)
                rows, weights = some.rows[:, part], some.weights[:, part]
                if pixels is None:
                    images = self.real.rows(rows.flatten(), self.device).unflatten(0, rows.shape)
                else:
                    images = self.real.normalise(pixels[run, : some.rows.shape[1]][:, part].flatten(0, 1))
                    images = images.unflatten(0, rows.shape)
                yield run, images, weights

    @cached_property
    def fill(self) -> Fill:
        return Fill(self.network, self.engine.uniform)

    def embed(
        self,
        network: State,
        images: Images | Tensor,
        layers: str | Sequence[str] = LAST_LAYER,
        full: int | None = None,
    ) -> Any:
        """What a network makes of images, differentiable in them: computed by the engine, in micro-batches.

        Args:
            network: its parameters.
            images: those of a block of classes, or a tensor ``[n, C, H, W]``.
            layers: ``last``, the features before the classifier; ``all``, the output of every block; or the path of a
                module, or several.
            full: of a tensor, how many images there usually are, so that fewer need no shape of their own.

        Returns:
            Features ``[k, n, d]`` (``[n, d]`` of a tensor); a tuple of them for ``all`` and for several paths.
        """
        key = layers if isinstance(layers, str) else tuple(layers)
        rows = self._embeddings.get(key)
        if rows is None:
            rows = self._embeddings[key] = Embeddings(self.engine, embeddings(self.network, layers))
        if isinstance(images, Tensor):
            found = rows(network, images, full)
        else:
            found = images.apply(lambda pixels, usual: rows(network, pixels, usual))
        return found[0] if isinstance(layers, str) and layers != BLOCKS else found

    def loss_gradient(self, network: State, images: Images) -> State:
        """The gradient in a network's parameters of its loss on images: of each class the mean cross entropy, added up.

        It is differentiable in the images, which takes second derivatives: see `Method.second_order`.
        """
        total: State = {}
        for pixels, labels, weights, usual in images.labelled():
            part = self._gradients(network, pixels, labels, weights, usual)
            total = {name: total[name] + own if total else own for name, own in part.items()}
        return total

    def pixel_gradient(self, loss: Callable[[Tensor], Tensor], images: Tensor) -> tuple[Tensor, Tensor]:
        """(``loss(images)``, its gradient in the images), for a loss of what the task hands out."""
        leaf = images.detach().requires_grad_()
        with torch.enable_grad():
            value = loss(leaf)
        if not value.requires_grad:
            raise InputError.about("loss", "it does not depend on the synthetic images, or was detached from them")
        return value.detach(), pulled_back(torch.ones_like(value), value, leaf)

    @cached_property
    def _gradients(self) -> LossGradient:
        trainable = [name for name, parameter in self.network.named_parameters() if parameter.requires_grad]
        return LossGradient(self.engine, cross_entropy(self.network), trainable)

    @cached_property
    def _embeddings(self) -> dict[str | tuple[str, ...], Embeddings]:
        """Functions that are compiled once a run, by the layers they give."""
        return {}

    @cached_property
    def _calibration(self) -> Sampler | None:
        return self.real.sampler(IMAGES, self.device) if mixes_images(self.network) else None

    def calibrated(self, state: State, stream: Tensor) -> State:
        """``state`` with the batch-norm statistics of 16 real images per class, drawn by a stream, not augmented."""
        if self._calibration is None:
            return state
        chosen = self._calibration(fold(stream, self.classes))
        rows = torch.cat([own[:count] for own, count in zip(chosen.rows, chosen.most, strict=True)])
        return calibrated(self.network, state, self.real.rows(rows, self.device))


class Matcher:
    """A method at work on a task: it holds the compiled functions, and whatever else is made once a run.

    An episode has ``turns`` updates, each of one term for every block of classes. `begin`, `draw` and `term` are pure
    functions in tensor operations, and read nothing back from the device.

    Attributes:
        turns: updates of an episode.
        updates: the work of an episode in units of its first update, to tell beforehand what a run will take.
        blocks: the parts of an update, which ranks share.
        streams: names of the random streams of an update.
        ahead: updates whose random numbers are drawn at once, where Python's part in it would cost more than drawing.
        limit: an update whose loss is above this, or not finite, is left out and counted, if there is `patience`.
        patience: so many of them in a row end the run; 0 where the first that is not finite does.
    """

    turns: int = 1
    updates: float = 1.0
    streams: tuple[str, ...] = ()
    ahead: int = 1
    limit: float = math.inf
    patience: int = 0
    blocks: Sequence[Any]

    def __init__(self, task: Task) -> None:
        self.task = task
        # Of its own: while steps are computed, the parameters of the task's network are theirs.
        self._drawn_anew = None if task.fill.pure else copy.deepcopy(task.network)

    def leaves(self, images: Tensor) -> dict[str, Leaf]:
        """The learned tensors, given the initial images."""
        raise NotImplementedError

    def inputs(self, step: int, key: Key) -> Inputs:
        """What the host gives an update: the words of its streams, and a state of a network that is drawn by layers of
        a user's own.
        """
        found: Inputs = dict(zip(self.streams, words([key(name) for name in self.streams]), strict=True))
        if "network" in self.streams and self._drawn_anew is not None:
            found |= {f"network.{name}": value for name, value in drawn(self._drawn_anew, key("network")).items()}
        return found

    def begin(self, inputs: Inputs) -> State:
        """The network of an episode: freshly drawn, its batch norm (if there is any) calibrated."""
        if self.task.fill.pure:
            state = self.task.fill(inputs["network"])
        else:
            state = {name[8:]: value for name, value in inputs.items() if name.startswith("network.")}
        return self.task.calibrated(state, inputs["calibrate"])

    def begins(self, inputs: Sequence[Inputs]) -> list[State]:
        """The networks of several episodes: what `begin` gives for each."""
        return [self.begin(update) for update in inputs]

    def draw(self, inputs: Inputs) -> Any:
        """The random numbers of an update, for all classes."""

    def draws(self, inputs: Sequence[Inputs]) -> list[Any]:
        """Those of several updates: what `draw` gives for each."""
        return [self.draw(update) for update in inputs]

    def term(self, leaves: Leaves, state: State, numbers: Any, block: Any) -> Piece:
        """Loss and gradients of a block. Terms of different classes own different rows."""
        raise NotImplementedError

    def between(self, leaves: Leaves, state: State, key: Key) -> State:
        """The network of the next update of the same episode."""
        return state

    def close(self) -> None:
        """The run is over."""

    def diagnosis(self, leaves: Leaves, step: int, key: Key) -> str:
        """What was tried last, and what to change, where patience has come to an end."""
        return ""
