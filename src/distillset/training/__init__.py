"""Training networks on tensors."""

from distillset.training.experts import ExpertTrainer, flat_loss, stateless, train_experts
from distillset.training.fit import Recipe, Trainer, cross_entropy
from distillset.training.sessions import Examples, Session, TrainingSet
from distillset.training.trajectories import ExpertSetting, Layout, Trajectories

__all__ = [
    "Examples",
    "ExpertSetting",
    "ExpertTrainer",
    "Layout",
    "Recipe",
    "Session",
    "Trainer",
    "TrainingSet",
    "Trajectories",
    "cross_entropy",
    "flat_loss",
    "stateless",
    "train_experts",
]
