"""Herding: images whose mean embedding follows that of their class (Welling, ICML 2009; as a coreset in iCaRL, CVPR
2017, algorithm 4, and in the DC paper, ICLR 2021, section 4.1).
"""

import torch
from torch import Tensor

from distillset.keys import Key


def herding(features: Tensor, ipc: int, key: Key) -> Tensor:
    """Each next image brings the mean of the chosen ones *closest* to the class mean::

        p_k = argmin over x not chosen of || mu - (phi(x) + sum_{j<k} phi(p_j)) / k ||

    Args:
        features: embeddings of one class, ``float [n, d]``.
        ipc: how many to choose, at most n.
        key: not drawn from.

    Returns:
        Positions ``int64 [ipc]`` in the order of choice; of equals the first.
    """
    # About the mean, || phi(x) + sum ||^2 is || phi(x) ||^2 + 2 phi(x).sum up to a constant: one product a choice, and
    # no difference of large numbers.
    centred = features - features.mean(0, dtype=torch.float64).to(features.dtype)
    cost, total, chosen = centred.square().sum(1), torch.zeros_like(centred[0]), []
    for _ in range(ipc):
        chosen.append(int(torch.addmv(cost, centred, total, alpha=2).argmin()))
        total = total + centred[chosen[-1]]
        cost[chosen[-1]] = torch.inf
    return torch.tensor(chosen)
