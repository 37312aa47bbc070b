"""Forgetting: the images that a network in training forgets most often (Toneva et al., ICLR 2019, section 3, as in the
DC paper, ICLR 2021, section 4.1).

Deviations: counted over the whole set after every pass, not in the batch an image is trained in. An image that is never
classified right is never forgotten, where Toneva et al. rank it first: in a few passes those are a tenth of CIFAR-10.
"""

import torch
from torch import Tensor

from distillset.keys import Key, permutation


def forgetting(events: Tensor, ipc: int, key: Key) -> Tensor:
    """The images of one class with the most forgetting events.

    Args:
        events: ``int64 [n]``, from `Forgotten`.
        ipc: how many to choose, at most n.
        key: names the order among equals.

    Returns:
        Positions ``int64 [ipc]``, most often forgotten first.
    """
    order = permutation(key.words(), len(events), len(events))
    return order[events[order].argsort(descending=True, stable=True)[:ipc]]


class Forgotten:
    """Counts forgetting events pass by pass: an image that was classified right after one pass and wrong after the
    next.
    """

    def __init__(self, count: int) -> None:
        self.events = torch.zeros(count, dtype=torch.int64)
        """Of each image so far, ``int64 [N]``."""
        self._before = torch.zeros(count, dtype=torch.bool)

    def add(self, right: Tensor) -> None:
        """The next pass: which images are classified right, ``bool [N]``."""
        self.events += self._before & ~right
        self._before = right
