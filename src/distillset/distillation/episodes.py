"""How the episodes of a run are computed: plainly, or as launches of captured updates."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from distillset.distillation.learned import Learned
from distillset.engine import State
from distillset.engine.read_ahead import ReadAhead
from distillset.keys import Key
from distillset.mesh import Mesh
from distillset.methods import Inputs, Matcher, Task

At = tuple[int, int]
"""The step of an update, and its turn in the episode."""
Drawn = tuple[State, Any]
"""A fresh network, of a first update, and the random numbers."""


class Episodes:
    """Computes episodes one after the other.

    An update is two functions: one that gives the loss and the gradients of this rank's terms, and one that moves the
    learned tensors, with the sum over ranks between them. A process alone launches both as one.

    Args:
        task, matcher, learned, mesh: of the run.
        key: the run's.
    """

    def __init__(self, task: Task, matcher: Matcher, learned: Learned, mesh: Mesh, key: Key) -> None:
        self.task, self.matcher, self.learned, self.mesh, self.key = task, matcher, learned, mesh, key
        self._state: State = {}
        self._loss = torch.zeros((), device=task.device)
        self._gradients: dict[str, Tensor] = {}
        """Loss and gradients of this rank, where others have theirs to add."""
        engine = task.engine
        self._updates: dict[bool, Callable[..., None]] = {first: self._update(first) for first in (True, False)}
        if engine.defers:
            self._updates = {first: engine.launch(update) for first, update in self._updates.items()}
        self._end = engine.launch(learned.end_episode)
        # A device that defers draws within its launch: the host hands it words, and what it read meanwhile.
        self._ahead = ReadAhead(self._inputs, task.device) if engine.defers else None
        self._drawn: dict[At, Drawn] = {}
        self.turn = 0
        """Of the last update; of a run that ended, where nothing is deferred, of the one that ended it."""

    def run(self, step: int, stops: Callable[[], bool] = lambda: False, last: int | None = None) -> bool:
        """Episode ``step``; False if it was cut off because ``stops`` said so, between two of its updates.

        Args:
            step: its number, which its random streams depend on.
            stops: is asked before every update but the first.
            last: the number of the last episode, so that nothing is read ahead beyond it.
        """
        matcher, defers = self.matcher, self.task.engine.defers
        for turn in range(matcher.turns):
            if turn:
                if stops():
                    return False
                key = self.key("step", step)("between", turn)
                self._hold(matcher.between(self.learned.leaves, self._state, key))
            self.turn = turn
            self._one(step, turn, last)
            if not defers and self.learned.lost():
                break
        self._end()
        return True

    def first_terms(self, step: int) -> float:
        """The loss of this rank's terms in the first update of an episode, without the update: it compiles and warms
        up.
        """
        loss, _ = self._terms(*self._draw(self._inputs((step, 0)), first=True))
        return float(loss)

    def not_finite(self, step: int) -> list[str]:
        """The learned tensors whose gradient was not finite in the update of episode ``step`` that ended the run.

        The update is computed again, as nothing has moved since; empty where it cannot be.
        """
        if self.task.engine.defers and self.matcher.turns > 1:  # which of them it was is not known
            return []
        state, numbers = self._draw(self._inputs((step, self.turn)), first=self.turn == 0)
        _, gradients = self._terms(self._state if self.turn else state, numbers)
        self.mesh.add(list(gradients.values()))
        return [name for name, gradient in gradients.items() if not bool(gradient.isfinite().all())]

    def _one(self, step: int, turn: int, last: int | None) -> None:
        at = step, turn
        inputs = (self._ahead.take(at, self._next(at, last)),) if self._ahead else self._take(at, last)
        self._updates[turn == 0](*inputs)
        if self.mesh.size > 1:
            self.mesh.add([self._loss, *self._gradients.values()])
            self.learned.advance(self._loss, dict(self._gradients))

    def _take(self, at: At, last: int | None) -> Drawn:
        """The numbers of an update; where they have not been drawn, those of some updates to come are drawn beside."""
        if at not in self._drawn:
            places: list[At] = [at]
            while len(places) < self.matcher.ahead and (following := self._next(places[-1], last)):
                places.append(following)
            inputs = {place: self._there(self._inputs(place)) for place in places}
            first = [place for place in places if place[1] == 0]
            fresh = self.matcher.begins([inputs[place] for place in first]) if first else []
            states = dict(zip(first, fresh, strict=True))
            drawn = self.matcher.draws(list(inputs.values()))
            self._drawn = {
                place: (states.get(place, {}), numbers) for place, numbers in zip(places, drawn, strict=True)
            }
        return self._drawn.pop(at)

    def _next(self, at: At, last: int | None) -> At | None:
        step, turn = at
        if turn + 1 < self.matcher.turns:
            return step, turn + 1
        return None if step == last else (step + 1, 0)

    def _inputs(self, at: At) -> Inputs:
        step, turn = at
        return self.matcher.inputs(step, self.key("step", step)("update", turn))

    def _there(self, inputs: Inputs) -> Inputs:
        return {name: value.to(self.task.device, non_blocking=True) for name, value in inputs.items()}

    def _update(self, first: bool) -> Callable[..., None]:
        """An update as one function; with other ranks, only what comes before their sum."""

        def update(*inputs: Any) -> None:
            state, numbers = self._draw(inputs[0], first) if self._ahead else inputs
            if not first:
                state = self._state
            elif self.matcher.turns > 1:
                self._hold(state)
            loss, gradients = self._terms(state, numbers)
            if self.mesh.size == 1:
                self.learned.advance(loss, gradients)
            elif self._gradients.keys() != gradients.keys():
                self._loss, self._gradients = loss, gradients
            else:
                torch._foreach_copy_([self._loss, *self._gradients.values()], [loss, *gradients.values()])

        return update

    def _hold(self, state: State) -> None:
        """Keep a state for the updates to come, where the last one was."""
        if not self.task.engine.defers or self._state.keys() != state.keys():
            self._state = dict(state)
            return
        for name, value in state.items():
            if self._state[name] is not value:
                self._state[name].copy_(value)

    def _draw(self, inputs: Inputs, first: bool) -> Drawn:
        inputs = self._there(inputs)
        return self.matcher.begin(inputs) if first else {}, self.matcher.draw(inputs)

    def _terms(self, state: State, numbers: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss and gradients of this rank's terms together; each is let go before the next."""
        leaves = self.learned.leaves
        gradients = {name: torch.zeros_like(leaf) for name, leaf in leaves.items()}
        loss = torch.zeros((), device=self.task.device)
        blocks: Sequence[Any] = self.mesh.share(self.matcher.blocks)
        for block in blocks:
            term = partial(self.matcher.term, leaves, state, numbers, block)
            piece = self.task.engine.adapting(term)
            loss = loss + piece.loss
            for name, (rows, gradient) in piece.gradients.items():
                gradients[name][rows] += gradient
        return loss, gradients
