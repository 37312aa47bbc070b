"""Contracts that can be tried from anyone's tests, with or without pytest: what a method, a network and a selector have
to keep.

Each raises an `AssertionError` of one line where something does not hold, and returns nothing.
"""

from distillset.testing.methods import check_method
from distillset.testing.networks import check_network
from distillset.testing.selectors import check_selector

__all__ = ["check_method", "check_network", "check_selector"]
