"""Studies: what is asked of several sets or networks, answered with distillations and evaluations."""

from distillset.studies.compare import Comparison, Difference, compare

__all__ = ["Comparison", "Difference", "compare"]
