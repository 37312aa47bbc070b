"""The published table run again: rows within a budget, a file a result, and tables made from the files alone."""

from distillset.reproduction.accuracies import measured
from distillset.reproduction.budget import Budget, duration
from distillset.reproduction.jobs import side_by_side
from distillset.reproduction.plan import Plan, choose
from distillset.reproduction.record import Results, name_of, pooled, result_of
from distillset.reproduction.run import Outcome, reproduce
from distillset.reproduction.tables import refreshed, speed

__all__ = [
    "Budget",
    "Outcome",
    "Plan",
    "Results",
    "choose",
    "duration",
    "measured",
    "name_of",
    "pooled",
    "refreshed",
    "reproduce",
    "result_of",
    "side_by_side",
    "speed",
]
