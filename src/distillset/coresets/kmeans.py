"""K-means in embedding space: of each cluster of a class the real image nearest its centre (a baseline that DC-BENCH,
NeurIPS 2022, asks for).
"""

import warnings

import torch
from torch import Tensor

from distillset.keys import Key


def kmeans(features: Tensor, ipc: int, key: Key) -> Tensor:
    """The images nearest the centres of ``ipc`` clusters (scikit-learn's k-means), each image at most once.

    Args:
        features: embeddings of one class, ``float [n, d]``.
        ipc: how many to choose, at most n.
        key: names the first centres.

    Returns:
        Positions ``int64 [ipc]``, largest cluster first.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # Fewer different images than clusters: what is left is chosen among equals.
        warnings.simplefilter("ignore", ConvergenceWarning)
        clusters = KMeans(ipc, n_init=1, random_state=key.integer() % 2**32).fit(features.numpy())
    sizes = torch.bincount(torch.from_numpy(clusters.labels_).long(), minlength=ipc)
    centres = torch.from_numpy(clusters.cluster_centers_).to(features.dtype)
    chosen: list[int] = []
    centre = features.mean(0)
    centred, norms = features - centre, (features - centre).square().sum(1)
    for cluster in sizes.argsort(descending=True, stable=True).tolist():
        distances = norms - 2 * (centred @ (centres[cluster] - centre))
        distances[chosen] = torch.inf
        chosen.append(int(distances.argmin()))
    return torch.tensor(chosen)
