"""Training networks on tensors."""

from distillset.training.fit import Examples, Recipe, Trainer

__all__ = ["Examples", "Recipe", "Trainer"]
