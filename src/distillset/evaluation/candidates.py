"""Candidates of an evaluation: a set to train on, redrawn for every network or not, with its protocol."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from distillset.coresets import Expert, choose_rows
from distillset.data.real import RealSet
from distillset.data.synthetic import SyntheticSet
from distillset.evaluation.protocol import ResolvedProtocol, whole
from distillset.keys import Key
from distillset.store import checksum
from distillset.training import TrainingSet


@dataclass(frozen=True)
class Candidate:
    """A kind of set under evaluation.

    Args:
        artifact: what its row is called.
        protocol: how networks are trained on it.
        fingerprint: what the sets depend on, apart from the evaluation's seed.
        draw: the i-th set on a device, for a training under a key.
        size: number of images.
        bytes: what they take on disk.
        redrawn: whether every network has a set of its own.
    """

    artifact: str
    protocol: ResolvedProtocol
    fingerprint: str
    draw: Callable[[int, torch.device, Key], TrainingSet]
    size: int
    bytes: int
    redrawn: bool = False


def alike(real: RealSet, synthetic: SyntheticSet) -> RealSet:
    """``real`` normalised or whitened as the artifact is: the same for everything that is compared."""
    return real.normalised(synthetic.spec).whitened(synthetic.whitening)


def of_set(synthetic: SyntheticSet, artifact: str, protocol: ResolvedProtocol) -> Candidate:
    """An artifact, trained on with its own labels, hard or soft."""
    stored, seen = synthetic.images.nbytes + synthetic.labels.nbytes, synthetic.unpacked()
    images, labels, canvas = seen.images, seen.labels, seen.canvas
    labelled = replace(protocol, labels="hard").at(synthetic.lr, soft=labels.dim() > 1)

    def draw(i: int, device: torch.device, key: Key) -> TrainingSet:
        return TrainingSet.held(images.to(device), labels, key, canvas)

    return Candidate(artifact, labelled, synthetic.fingerprint(), draw, len(images), stored)


def of_random(
    real: RealSet, ipc: int, seed: int, protocol: ResolvedProtocol, taught: Expert | None = None
) -> Candidate:
    """Random real images, redrawn for every network; with the soft labels of an expert if there is one.

    The soft-label random row is the baseline that "A Label is Worth a Thousand Images in Dataset Distillation" (Qin et
    al., NeurIPS 2024) asks for beside any result with soft labels.
    """
    size = ipc * real.spec.classes
    count = size * torch.Size(real.spec.shape).numel()

    def draw(i: int, device: torch.device, key: Key) -> TrainingSet:
        rows = choose_rows("random", real, ipc, Key(seed)("baseline", i))
        images = real.rows(rows, device)
        return TrainingSet.held(images, taught.probabilities(images) if taught else real.labels[rows], key)

    fingerprint = f"{real.fingerprint()}-{ipc}"
    if taught is None:
        return Candidate("random", protocol, fingerprint, draw, size, 4 * count + 8 * size, redrawn=True)
    return Candidate(
        "soft-random",
        replace(protocol, labels="soft"),
        f"{fingerprint}-{checksum(taught.state)}",
        draw,
        size,
        4 * count + 4 * size * real.spec.classes,
        redrawn=True,
    )


def of_whole(real: RealSet, protocol: ResolvedProtocol | None = None) -> Candidate:
    """The whole real set, by default under its own protocol."""
    stored = real.images.nbytes + real.labels.nbytes
    protocol = protocol or whole(len(real), real.spec)

    def draw(i: int, device: torch.device, key: Key) -> TrainingSet:
        return TrainingSet(lambda rows: real.rows(rows, device), real.labels, key, real.resident(device))

    return Candidate("whole", protocol, real.fingerprint(), draw, len(real), stored)
