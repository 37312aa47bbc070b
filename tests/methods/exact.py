"""A method beside its equation: real sets drawn in float64, and the terms of an update added up."""

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from distillset.augment import Table, augment
from distillset.data.real import RealSet
from distillset.engine import State
from distillset.keys import Key
from distillset.methods import Inputs, Matcher

KEY = Key(7)("step", 4)("update", 0)
"""Of the first update of a step."""


class Exact(RealSet):
    """A real set drawn in float64."""

    def normalise(self, pixels: Tensor) -> Tensor:
        return super().normalise(pixels).double()


def inputs_of(matcher: Matcher, key: Key = KEY, step: int = 4) -> Inputs:
    """What the host gives an update, where it is computed."""
    return {name: value.to(matcher.task.device) for name, value in matcher.inputs(step, key).items()}


def update_of(
    matcher: Matcher, leaves: Mapping[str, Tensor], key: Key = KEY, state: State | None = None, step: int = 4
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of an update, and its gradient in every leaf."""
    inputs = inputs_of(matcher, key, step)
    state = matcher.begin(inputs) if state is None else state
    numbers = matcher.draw(inputs)
    loss = torch.zeros((), dtype=leaves["images"].dtype)
    gradients = {name: torch.zeros_like(leaf) for name, leaf in leaves.items()}
    for block in matcher.blocks:
        piece = matcher.term(leaves, state, numbers, block)
        loss = loss + piece.loss
        for name, (rows, part) in piece.gradients.items():
            gradients[name][rows] += part
    return loss, gradients


def shown_to(matcher: Matcher, key: Key = KEY, step: int = 4) -> tuple[list[Tensor], list[Callable[[Tensor], Tensor]]]:
    """The real images that an update of a method of classes draws, and its augmentation, class by class."""
    shown = matcher.draw(inputs_of(matcher, key, step))
    drawn, how = shown.drawn, shown.how
    rows = [own[:count] for own, count in zip(drawn.rows, drawn.most, strict=True)]
    classes = range(len(rows))
    draws: list[Callable[[Tensor], Tensor]]
    if isinstance(how, Table):
        draws = [how[c].apply for c in classes]
    else:  # numbers alone, as on a GPU
        draws = [partial(augmented, numbers=how[c : c + 1]) for c in classes]
    return [matcher.task.real.rows(own) for own in rows], draws


def augmented(images: Tensor, numbers: Tensor) -> Tensor:
    return augment(images, numbers)
