"""The learned tensors, the SGD that moves them, and the account of what every update did; all of it on the device.

An update whose loss or gradient is not finite ends the run, or is left out and counted where the method has patience;
one after which a pixel is beyond `LARGEST` ends it too. From there on nothing moves any more, so that the host may look
now and then and still finds the state of the last whole episode.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from distillset.data.synthetic import LEARNED
from distillset.errors import InputError
from distillset.methods import Leaf, Role

LARGEST = 1e4
"""A pixel of more standard deviations is lost. Norm layers hide it: the loss stays finite, the gradient vanishes."""

KEPT = 1024
"""Losses of episodes that are kept until they are read."""

FINE, NOT_FINITE, TOO_LARGE, OUT_OF_PATIENCE = range(4)
"""What became of a run."""


@dataclass(frozen=True)
class Account:
    """Losses and outcomes of the episodes since the last reading.

    Args:
        losses: mean loss of each whole one; NaN or infinity where it was not finite.
        skipped: updates left out up to the end of each, over the whole run.
        outcome: `FINE`, or why the run ends in the episode after them.
        loss: of the last update.
        largest: magnitude in the learned tensors after the last update.
        skipped_now: updates left out so far.
        in_a_row: updates left out since one was not.
    """

    losses: list[float]
    skipped: list[int]
    outcome: int
    loss: float
    largest: float
    skipped_now: int
    in_a_row: int


class Learned:
    """The learned tensors of a run, which stay where they are while they change.

    Args:
        leaves: as the method gives them.
        limit, patience: see `distillset.methods.Matcher`.
        defers: whether nothing is read from the device: then an update that is left out is computed all the same, and
            changes nothing.
    """

    def __init__(self, leaves: Mapping[str, Leaf], limit: float, patience: int, defers: bool = False) -> None:
        _check_roles(leaves)
        self.leaves = {name: leaf.start.detach().clone() for name, leaf in leaves.items()}
        # Without their starts: large sets are not held twice.
        self.how = {name: replace(leaf, start=leaf.start.new_empty(0)) for name, leaf in leaves.items()}
        self.limit, self.patience, self.defers = limit, patience, defers
        self.momenta = {name: torch.zeros_like(self.leaves[name]) for name, leaf in leaves.items() if leaf.momentum}
        self.averages = {name: self.leaves[name].clone() for name, leaf in leaves.items() if leaf.average}
        device = next(iter(self.leaves.values())).device
        self._losses = torch.zeros(KEPT, dtype=torch.float64, device=device)
        self._counts = torch.zeros(KEPT, dtype=torch.int64, device=device)
        self._numbers = torch.zeros(5, dtype=torch.int64, device=device)
        self._position, self._outcome, self._skipped, self._in_a_row, self._updates = self._numbers
        self._figures = torch.zeros(3, dtype=torch.float64, device=device)
        self._sum, self._loss, self._largest = self._figures
        self._whole: dict[str, Tensor] = {}

    def result(self) -> dict[str, Tensor]:
        """The learned tensors as the artifact has them, by its names: averaged where an average is kept, labels as
        probabilities, and what is nothing to anybody but its method as ``learned.NAME``.
        """
        tensors: dict[str, Tensor] = {}
        for name, how in self.how.items():
            leaf = self.averages.get(name, self.leaves[name])
            if how.role is Role.OTHER:
                tensors[f"{LEARNED}{name}"] = leaf
            else:
                tensors[how.role.value] = leaf.softmax(1) if how.role is Role.LABEL_LOGITS else leaf
        return tensors

    def state(self) -> dict[str, Tensor]:
        """The leaves, their averages and momentum buffers, by the names that checkpoints have."""
        tensors = {f"leaf.{name}": leaf for name, leaf in self.leaves.items()}
        tensors |= {f"average.{name}": average for name, average in self.averages.items()}
        return tensors | {f"momentum.{name}": buffer for name, buffer in self.momenta.items()}

    def keep_whole(self) -> None:
        """From now on keep a copy of the state after every whole episode: `whole`."""
        self._whole = {name: tensor.clone() for name, tensor in self.state().items()}

    def whole(self) -> dict[str, Tensor]:
        """The state after the last whole episode."""
        return self._whole or self.state()

    def forget(self) -> None:
        """Let go of all tensors."""
        for tensors in (self.leaves, self.momenta, self.averages, self._whole):
            tensors.clear()

    def count_from(self, skipped: int, in_a_row: int) -> None:
        """Continue from these counts."""
        self._numbers.zero_()
        self._skipped.fill_(skipped)
        self._in_a_row.fill_(in_a_row)

    def advance(self, loss: Tensor, gradients: dict[str, Tensor]) -> None:
        """One update: SGD on every leaf; positive ones move in proportion. Then the averages.

        The gradients are taken out of their dictionary: the next ones need the memory.
        """
        alive = self._outcome == FINE
        fine = _largest([loss, *gradients.values()]) < math.inf
        if self.patience:
            fine = fine & (loss <= self.limit)
            self._in_a_row.copy_(torch.where(alive, (self._in_a_row + 1) * ~fine, self._in_a_row))
            self._skipped.add_(alive & ~fine)
            lost = (self._in_a_row >= self.patience) * OUT_OF_PATIENCE
        else:
            lost = ~fine * NOT_FINITE
        self._outcome.copy_(torch.where(alive, lost, self._outcome))
        self._loss.copy_(torch.where(alive, loss.double(), self._loss))
        self._sum.add_(loss.double())
        self._updates.add_(1)
        moves = alive & fine
        if self.defers:
            self._move(gradients, moves)
        elif bool(moves):
            self._move(gradients, None)
        else:
            return
        largest = self._most()
        self._largest.copy_(torch.where(moves, largest.double(), self._largest))
        self._outcome.copy_(torch.where(moves & (largest > LARGEST), TOO_LARGE, self._outcome))

    def end_episode(self) -> None:
        """An episode is whole, unless its updates say otherwise: note its loss, and keep its state."""
        alive = self._outcome == FINE
        at = (self._position % KEPT)[None]
        self._losses.index_copy_(0, at, (self._sum / self._updates)[None])
        self._counts.index_copy_(0, at, self._skipped[None])
        self._position.add_(alive)
        self._sum.zero_()
        self._updates.zero_()
        if not self.defers and self.lost():
            return
        now = self.state() if self._whole else {}
        for name, whole in self._whole.items():
            whole.copy_(torch.where(alive, now[name], whole) if self.defers else now[name])

    def lost(self) -> bool:
        """Whether the run has ended."""
        return int(self._outcome) != FINE

    def read(self) -> Account:
        """What happened since the last reading. The one place that waits for the device.

        At most `KEPT` episodes may lie between two readings.
        """
        position, outcome, skipped_now, in_a_row, _ = self._numbers.tolist()
        losses, skipped = self._losses[:position].tolist(), self._counts[:position].tolist()
        self._position.zero_()
        _, loss, largest = self._figures.tolist()
        return Account(losses, skipped, outcome, loss, largest, skipped_now, in_a_row)

    def _most(self) -> Tensor:
        """The largest magnitude in the learned tensors; of those that are nothing to anybody but their method, whether
        they are finite.
        """
        roles = {name: how.role for name, how in self.how.items()}
        bounded = [leaf for name, leaf in self.leaves.items() if roles[name] is not Role.OTHER]
        others = [leaf for name, leaf in self.leaves.items() if roles[name] is Role.OTHER]
        largest = _largest(bounded)
        if not others:
            return largest
        return torch.where(_largest(others) < math.inf, largest, math.inf)

    def _move(self, gradients: dict[str, Tensor], moves: Tensor | None) -> None:
        """SGD, where ``moves`` (a truth value; None is true) says so."""
        for name, how in self.how.items():
            leaf, gradient = self.leaves[name], gradients.pop(name)
            if how.momentum:
                buffer = self.momenta[name]
                if moves is None:
                    gradient = buffer.mul_(how.momentum).add_(gradient)
                else:
                    gradient = buffer.copy_(torch.where(moves, buffer * how.momentum + gradient, buffer))
            if moves is None and not how.positive:
                leaf.add_(gradient, alpha=-how.lr)
            else:
                moved = torch.add(leaf, gradient, alpha=-how.lr)
                if how.positive:
                    moved = leaf * ((moved - leaf) / leaf).clamp(-1, 1).exp()
                leaf.copy_(moved if moves is None else torch.where(moves, moved, leaf))
            if how.average:
                average = self.averages[name]
                if moves is None:
                    average.lerp_(leaf, 1 - how.average)
                else:
                    average.copy_(torch.where(moves, torch.lerp(average, leaf, 1 - how.average), average))


def _check_roles(leaves: Mapping[str, Leaf]) -> None:
    """Whether there is one tensor of images, and at most one of every other role.

    Raises:
        InputError: there is not.
    """
    for role in set(Role) - {Role.OTHER}:
        names = [name for name, leaf in leaves.items() if leaf.role is role]
        if len(names) > 1 or (role is Role.PIXELS and not names):
            what = "one" if role is Role.PIXELS else "at most one"
            raise InputError.about(
                f"learned tensors {', '.join(leaves) or 'none'}",
                f"{what} of them must have the role {role.name}; {', '.join(names) or 'none'} has it",
            )


def _largest(tensors: Iterable[Tensor]) -> Tensor:
    """The largest magnitude; NaN and infinity count as infinite. Nothing as large as a tensor is made on the way."""
    ends = torch.stack([end.float() for tensor in tensors for end in torch.aminmax(tensor.detach())])
    return ends.abs().nan_to_num(math.inf, math.inf, math.inf).max()
