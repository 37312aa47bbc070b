"""The published table run again: rows within a budget, one file per result, next to what was published."""

from distillset.reproduction.budget import Budget, duration
from distillset.reproduction.jobs import side_by_side
from distillset.reproduction.plan import Plan, choose
from distillset.reproduction.record import Results, result_of
from distillset.reproduction.run import Outcome, reproduce

__all__ = [
    "Budget",
    "Outcome",
    "Plan",
    "Results",
    "choose",
    "duration",
    "reproduce",
    "result_of",
    "side_by_side",
]
