"""Evaluations without their cost, and what they would have trained on."""

import dataclasses
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from distillset.keys import Key
from distillset.nets import State
from distillset.training import Recipe, Trainer, TrainingSet


@dataclasses.dataclass
class Fitted:
    """One network trained by `Trainer.fit_together`."""

    recipe: Recipe
    images: Tensor
    labels: Tensor
    key: Key


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[Fitted]:
    """All trainings, in order, without their cost."""
    calls: list[Fitted] = []
    really = Trainer.fit_together

    def fit(self: Trainer, sets: Sequence[TrainingSet]) -> list[State]:
        calls.extend(
            Fitted(self.recipe, own.images(torch.arange(len(own.labels))), own.labels, own.key) for own in sets
        )
        return really(Trainer(self.engine, self.module, Recipe(epochs=0)), sets)

    monkeypatch.setattr(Trainer, "fit_together", fit)
    return calls


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def fit(self: Trainer, sets: Sequence[TrainingSet]) -> list[State]:
        raise AssertionError("trained")

    monkeypatch.setattr(Trainer, "fit_together", fit)
