"""Evaluations without their cost, and what they would have trained on."""

import dataclasses

import pytest
import torch
from torch import Tensor

from distillset.keys import Key
from distillset.nets import State
from distillset.training import Examples, Recipe, Trainer


@dataclasses.dataclass
class Fitted:
    """One call of `Trainer.fit`."""

    recipe: Recipe
    images: Tensor
    labels: Tensor
    key: Key


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[Fitted]:
    """All trainings, in order, without their cost."""
    calls: list[Fitted] = []
    real_fit = Trainer.fit

    def fit(self: Trainer, examples: Examples, labels: Tensor, key: Key) -> State:
        calls.append(Fitted(self.recipe, examples(torch.arange(len(labels))), labels, key))
        cheap = Trainer(self.engine, self.module, Recipe(epochs=0))
        return real_fit(cheap, examples, labels, key)

    monkeypatch.setattr(Trainer, "fit", fit)
    return calls


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def fit(self: Trainer, examples: Examples, labels: Tensor, key: Key) -> State:
        raise AssertionError("trained")

    monkeypatch.setattr(Trainer, "fit", fit)
