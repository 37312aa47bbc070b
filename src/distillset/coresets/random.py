"""Random selection: the baseline that every other selection and method is held against."""

import torch
from torch import Tensor

from distillset.data.real import RealSet
from distillset.keys import Key


def random(real: RealSet, ipc: int, key: Key) -> Tensor:
    """``ipc`` rows a class drawn without replacement while the class lasts, class by class: ``int64 [classes*ipc]``."""
    return torch.cat([real.draw_rows(c, ipc, key(c)) for c in range(real.spec.classes)])
