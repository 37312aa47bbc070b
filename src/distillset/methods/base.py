"""What every method is made of, and what the loop asks of it.

A step is a pure function of the learned tensors and of numbers. A method's matcher says it in parts: the network of an
episode, the random numbers of an update, and terms that each give a part of the loss and of its gradient; all of them
tensor operations over many classes at once. The engine decides how they run: class by class on a CPU, as one captured
launch on a GPU.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from torch import Tensor

from distillset.engine import State
from distillset.keys import Key, words
from distillset.methods.task import Task
from distillset.nets import drawn

Leaves = Mapping[str, Tensor]
"""The current values of the learned tensors, by the names that `Matcher.leaves` gives them."""

Inputs = dict[str, Tensor]
"""What an update is given beside the learned tensors: the words of its random streams, and what only the host has."""


class Role(Enum):
    """The role of a learned tensor, from which the loop, the artifact and the report know what to do with it."""

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
    """The result of a term: its share of the loss, and the gradient of the rows it covers of each leaf it touches."""

    loss: Tensor
    gradients: dict[str, tuple[slice, Tensor]]


class Matcher:
    """A method at work on a task: it holds the compiled functions, and whatever else is made once per run.

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
        inputs: Inputs = dict(zip(self.streams, words([key(name) for name in self.streams]), strict=True))
        if "network" in self.streams and self._drawn_anew is not None:
            inputs |= {f"network.{name}": value for name, value in drawn(self._drawn_anew, key("network")).items()}
        return inputs

    def begin(self, inputs: Inputs) -> State:
        """The network of an episode: freshly drawn, its batch norm (if there is any) calibrated."""
        if self.task.fill.pure:
            return self.task.draw_network(inputs["network"], inputs["calibrate"])
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
        """Called at the end of a run."""

    def diagnosis(self, leaves: Leaves, step: int, key: Key) -> str:
        """For a run that diverged: what was tried last, and what to change."""
        return ""
