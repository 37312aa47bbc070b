"""Selectors straight from their definitions, in float64, with every distance computed anew."""

from torch import Tensor


def herding(features: Tensor, ipc: int) -> list[int]:
    """Each next image: of all means that could come next, the one closest to the class mean."""
    features = features.double()
    mean = features.mean(0)
    chosen: list[int] = []
    for _ in range(ipc):
        left = [i for i in range(len(features)) if i not in chosen]
        distances = [float((features[[*chosen, i]].mean(0) - mean).norm()) for i in left]
        chosen.append(left[distances.index(min(distances))])
    return chosen


def k_center(features: Tensor, ipc: int) -> list[int]:
    """From the image nearest the mean, each next one is farthest from its nearest chosen one: by the n x n matrix."""
    features = features.double()
    distances = (features[:, None] - features[None]).norm(dim=2)
    chosen = [int((features - features.mean(0)).norm(dim=1).argmin())]
    while len(chosen) < ipc:
        left = [i for i in range(len(features)) if i not in chosen]
        nearest = [float(distances[i, chosen].min()) for i in left]
        chosen.append(left[nearest.index(max(nearest))])
    return chosen


def forgetting_events(history: Tensor) -> list[int]:
    """Of each image in ``history [passes, n]``: how often it is right in one pass and wrong in the next."""
    passes, count = history.shape
    return [sum(bool(history[t, i]) and not bool(history[t + 1, i]) for t in range(passes - 1)) for i in range(count)]
