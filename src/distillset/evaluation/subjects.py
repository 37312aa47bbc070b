"""What is put on trial: a set to train on, redrawn for every network or not, with the protocol it is trained by."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from distillset.augment import Crop
from distillset.coresets import Expert, choose_rows
from distillset.data.real import RealSet
from distillset.data.synthetic import SyntheticSet
from distillset.evaluation.protocol import Protocol, whole
from distillset.keys import Key
from distillset.store import checksum
from distillset.training import Examples


@dataclass(frozen=True)
class Subject:
    """A kind of set under evaluation.

    Args:
        artifact: what its row is called.
        protocol: how networks are trained on it.
        fingerprint: what the sets depend on, apart from the evaluation's seed.
        draw: the i-th set on a device, images by row and their labels.
        size: number of images.
        bytes: what they take on disk.
        redrawn: whether every network has a set of its own.
    """

    artifact: str
    protocol: Protocol
    fingerprint: str
    draw: Callable[[int, torch.device], tuple[Examples, Tensor]]
    size: int
    bytes: int
    redrawn: bool = False


def alike(real: RealSet, synthetic: SyntheticSet) -> RealSet:
    """``real`` normalised or whitened as the artifact is: the same for everything that is compared."""
    return real.normalised(synthetic.spec).whitened(synthetic.whitening)


def of_set(synthetic: SyntheticSet, artifact: str, protocol: Protocol) -> Subject:
    """An artifact, trained on with its own labels, hard or soft."""
    stored, seen = synthetic.images.nbytes + synthetic.labels.nbytes, synthetic.formed()
    images, labels, canvas = seen.images, seen.labels, seen.canvas
    labelled = replace(protocol, labels="hard").at(synthetic.lr, soft=labels.dim() > 1)
    height, width = synthetic.spec.shape[1:]

    def draw(i: int, device: torch.device) -> tuple[Examples, Tensor]:
        if canvas == 1:
            return _held(images.to(device)), labels
        return _cropped(images.to(device), (height, width), canvas, Key(0)("crops", i)), labels

    return Subject(artifact, labelled, synthetic.fingerprint(), draw, len(images), stored)


def of_random(real: RealSet, ipc: int, seed: int, protocol: Protocol, taught: Expert | None = None) -> Subject:
    """Random real images, redrawn for every network; with the soft labels of an expert if there is one.

    The soft-label random row is the baseline that "A Label is Worth a Thousand Images in Dataset Distillation" (Qin et
    al., NeurIPS 2024) asks for beside any result with soft labels.
    """
    size = ipc * real.spec.classes
    count = size * torch.Size(real.spec.shape).numel()

    def draw(i: int, device: torch.device) -> tuple[Examples, Tensor]:
        rows = choose_rows("random", real, ipc, Key(seed)("baseline", i))
        images = real.rows(rows, device)
        return _held(images), taught.probabilities(images) if taught else real.labels[rows]

    fingerprint = f"{real.fingerprint()}-{ipc}"
    if taught is None:
        return Subject("random", protocol, fingerprint, draw, size, 4 * count + 8 * size, redrawn=True)
    return Subject(
        "soft-random",
        replace(protocol, labels="soft"),
        f"{fingerprint}-{checksum(taught.state)}",
        draw,
        size,
        4 * count + 4 * size * real.spec.classes,
        redrawn=True,
    )


def of_whole(real: RealSet, protocol: Protocol | None = None) -> Subject:
    """The whole real set, by default under its own protocol."""
    stored = real.images.nbytes + real.labels.nbytes
    protocol = protocol or whole(len(real), real.spec)

    def draw(i: int, device: torch.device) -> tuple[Examples, Tensor]:
        return lambda rows: real.rows(rows, device), real.labels

    return Subject("whole", protocol, real.fingerprint(), draw, len(real), stored)


def _cropped(canvases: Tensor, size: tuple[int, int], canvas: int, key: Key) -> Examples:
    """Crops drawn anew at every call, the same for every training that calls as often."""
    calls = itertools.count()

    def examples(rows: Tensor) -> Tensor:
        return Crop.draw(key(next(calls)).words(), len(rows), size, canvas).apply(canvases[rows])

    return examples


def _held(images: Tensor) -> Examples:
    return lambda rows: images[rows]
