"""K-center: images that leave no other image of their class far away (Wolf 2011; Sener and Savarese, ICLR 2018,
algorithm 1, as in the DC paper, ICLR 2021, section 4.1).
"""

import torch
from torch import Tensor

from distillset.keys import Key


def k_center(features: Tensor, ipc: int, key: Key) -> Tensor:
    """Greedy: the image nearest the class mean, then each time the one farthest from all that are chosen::

        p_1 = argmin_x || phi(x) - mu ||,    p_k = argmax_x min_{j<k} || phi(x) - phi(p_j) ||

    Args:
        features: embeddings of one class, ``float [n, d]``.
        ipc: how many to choose, at most n.
        key: not drawn from.

    Returns:
        Positions ``int64 [ipc]`` in the order of choice; of equals the first.
    """
    centred = features - features.mean(0, dtype=torch.float64).to(features.dtype)
    norms = centred.square().sum(1)
    chosen, nearest = [int(norms.argmin())], torch.full_like(norms, torch.inf)
    for _ in range(ipc - 1):
        latest = chosen[-1]
        # Squared distances to the latest one only: a row of the n x n matrix at a time.
        nearest = torch.minimum(nearest, norms - 2 * (centred @ centred[latest]) + norms[latest])
        nearest[latest] = -torch.inf
        chosen.append(int(nearest.argmax()))
    return torch.tensor(chosen)
