"""Selections of real images, by name; each gives the same artifact as a distillation."""

from collections.abc import Callable

from torch import Tensor

from distillset.coresets.random import random
from distillset.data.real import RealSet
from distillset.data.sources import Data
from distillset.data.synthetic import SyntheticSet
from distillset.errors import InputError
from distillset.keys import Key

SELECTORS: dict[str, Callable[[RealSet, int, Key], Tensor]] = {"random": random}
"""Name to a function that gives the chosen rows, ``ipc`` a class, class by class."""


def select(data: Data | RealSet, selector: str, ipc: int, *, seed: int = 0) -> SyntheticSet:
    """Choose ``ipc`` real images a class.

    Raises:
        InputError: an unknown selector, or ipc below 1.
    """
    if selector not in SELECTORS:
        raise InputError(f"selector {selector!r}: choose one of {', '.join(SELECTORS)}")
    if ipc < 1:
        raise InputError(f"--ipc {ipc}: must be at least 1")
    if not isinstance(data, Data):
        data = Data(data, data, data.spec.name)
    real = data.train
    rows = SELECTORS[selector](real, ipc, Key(seed)("select", selector))
    card = {
        "method": selector,
        "settings": {"method": selector, "ipc": ipc, "seed": seed},
        "data": data.origin(),
    }
    return SyntheticSet(real.rows(rows), real.labels[rows].clone(), real.spec, card)


__all__ = ["SELECTORS", "select"]
