"""Training networks on tensors."""

from distillset.training.fit import Examples, Recipe, Trainer, cross_entropy

__all__ = ["Examples", "Recipe", "Trainer", "cross_entropy"]
