"""Random selection: the baseline that every other selection and method is held against."""

import torch
from torch import Tensor

from distillset.keys import Key


def random(rows: Tensor, ipc: int, key: Key) -> Tensor:
    """``ipc`` of ``rows [n]`` drawn without replacement: positions ``int64 [ipc]``."""
    return torch.randperm(len(rows), generator=key.generator())[:ipc]
