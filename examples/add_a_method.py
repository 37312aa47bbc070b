"""A method of your own: images whose embeddings have the mean *and the spread* of the real ones, class by class.

    python examples/add_a_method.py

It is a frozen dataclass of hyper-parameters and a class that says an update: what is learned, the random numbers, and
the loss and gradient of a block of classes. The engine compiles it, chooses the precision, and on a GPU captures whole
steps; the loop gives it checkpoints, resuming, divergence checks and the artifact. To have it on the command line as
well, put it into a file of ``src/distillset/methods`` and a line into the table there: its fields become flags, and the
contract tests try it.
"""

import argparse
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

import distillset as ds
from distillset.data.real import RealSet
from distillset.data.sampler import Rows
from distillset.engine import State, embedding
from distillset.keys import fold
from distillset.methods import Inputs, Leaf, Leaves, Matcher, Piece, Task


@dataclass(frozen=True)
class Moments:
    """Match the mean and the standard deviation of embeddings under freshly drawn networks."""

    name: ClassVar[str] = "moments"
    steps: ClassVar[int] = 200
    init: ClassVar[str] = "real"

    lr: float = 1.0
    batch_real: int = 64

    def resolve(self, spec: ds.Spec, ipc: int) -> "Moments":
        return self

    def images_per_step(self, real: RealSet, ipc: int) -> float:
        return (self.batch_real + 3.0 * ipc) * real.spec.classes

    def prepare(self, task: Task) -> "Matching":
        return Matching(self, task)


class Matching(Matcher):
    streams = ("network", "calibrate", "real")  # the first two are those of a fresh network

    def __init__(self, method: Moments, task: Task) -> None:
        super().__init__(task)
        self.method, self.plain = method, embedding(task.network)
        self.sampler = task.real.sampler(method.batch_real, task.device)
        self.blocks = task.blocks(task.ipc, self.sampler.n)
        self.embed = task.engine.rowwise(self.plain)
        self.gradient = task.engine.pixel_gradient(lambda images: images, self.distance)

    def leaves(self, images: Tensor) -> dict[str, Leaf]:
        return {"images": Leaf(images, self.method.lr, momentum=0.5)}

    def draw(self, inputs: Inputs) -> Rows:
        return self.sampler(fold(inputs["real"], self.task.classes))

    def term(self, leaves: Leaves, state: State, numbers: Rows, block: slice) -> Piece:
        rows, real = self.task.rows(block), self.task.portions(numbers.of(block))
        seen = [(self.embed(state, images.flatten(0, 1)).unflatten(0, w.shape), w) for _, images, w in real]
        targets = torch.cat([moments(*own) for own in seen])
        loss, gradient = self.gradient(leaves["images"][rows], (), (state, targets))
        return Piece(loss, {"images": (rows, gradient)})

    def distance(self, images: Tensor, state: State, targets: Tensor) -> Tensor:
        own = self.plain(state, images).unflatten(0, (len(targets), -1))
        return (moments(own, 1 / torch.ones_like(own[..., 0]).sum(1, True)) - targets).square().sum()


def moments(features: Tensor, weights: Tensor) -> Tensor:
    """Mean and standard deviation of features ``[classes, n, d]``, image by image weighted: ``[classes, 2 d]``."""
    weights = weights.to(features)[..., None]
    mean = (features * weights).sum(1, True)
    spread = (((features - mean).square() * weights).sum(1) + 1e-6).sqrt()
    return torch.cat([mean[:, 0], spread], 1)


def main() -> list[float]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=100)
    options = parser.parse_args()
    data = ds.load("digits")
    accuracies = []
    methods: tuple[Moments | ds.DM, ...] = (Moments(), ds.DM())
    for method in methods:
        synthetic = ds.distill(data, method, ipc=5, steps=options.steps)
        (row,) = ds.evaluate(synthetic, data, repeats=2, protocol=ds.Protocol(epochs=options.epochs), beside=())
        print(f"{method.name}: {row.mean:.1%}")
        accuracies.append(row.mean)
    return accuracies


if __name__ == "__main__":
    main()
