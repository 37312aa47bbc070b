"""Studies: what is asked of several sets or networks, answered with distillations and evaluations."""

from distillset.studies.compare import Comparison, Difference, compare
from distillset.studies.continual import Point, continual
from distillset.studies.nas import nas

__all__ = ["Comparison", "Difference", "Point", "compare", "continual", "nas"]
