"""Training networks on tensors."""

from distillset.training.experts import ExpertTrainer, Watching, flat_loss, stateless, train_experts
from distillset.training.fit import Examples, Recipe, Trainer, cross_entropy
from distillset.training.trajectories import ExpertSetting, Layout, Trajectories

__all__ = [
    "Examples",
    "ExpertSetting",
    "ExpertTrainer",
    "Layout",
    "Recipe",
    "Trainer",
    "Trajectories",
    "Watching",
    "cross_entropy",
    "flat_loss",
    "stateless",
    "train_experts",
]
