"""A method of your own: images whose embeddings have the mean *and the spread* of the real ones, class by class.

    python examples/add_a_method.py

It is a frozen dataclass of hyper-parameters and a class that yields terms; the loop gives it checkpoints, resuming,
divergence checks and the artifact. To have it on the command line as well, put it into a file of
``src/distillset/methods`` and a line into the table there: its fields become flags, and the contract tests try it.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

import distillset as ds
from distillset.data.real import RealSet
from distillset.engine import embedding
from distillset.methods import Leaf, Leaves, Piece, Task, Term
from distillset.methods.base import pixel_gradient
from distillset.nets import State


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


class Matching:
    updates = 1.0

    def __init__(self, method: Moments, task: Task) -> None:
        self.method, self.task, self.embed = method, task, embedding(task.network)

    def leaves(self, images: Tensor) -> dict[str, Leaf]:
        return {"images": Leaf(images, self.method.lr, momentum=0.5)}

    def episode(self, leaves: Leaves, step: int, key: ds.Key) -> Iterator[Sequence[Term]]:
        state = self.task.fresh(key)
        yield [partial(self.term, leaves["images"], state, key, c) for c in range(self.task.spec.classes)]

    def term(self, images: Tensor, state: State, key: ds.Key, c: int) -> Piece:
        rows = self.task.rows(slice(c, c + 1))
        real = self.task.real.draw(c, self.method.batch_real, key("real", c), self.task.device)
        with torch.no_grad():
            target = self.moments(state, real)
        loss, gradient = pixel_gradient(
            images[rows], lambda same: same, lambda own: (self.moments(state, own) - target).square().sum()
        )
        return Piece(loss, {"images": (rows, gradient)})

    def moments(self, state: State, images: Tensor) -> Tensor:
        features = self.embed(state, images).float()
        spread = (features.var(0, correction=0) + 1e-6).sqrt()
        return torch.cat([features.mean(0), spread])


def main() -> list[float]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=100)
    options = parser.parse_args()
    data = ds.load("digits")
    accuracies = []
    for method in (Moments(), ds.DM()):
        synthetic = ds.distill(data, method, ipc=5, steps=options.steps)
        (row,) = ds.evaluate(synthetic, data, repeats=2, epochs=options.epochs, baseline=False)
        print(f"{method.name}: {row.mean:.1%}")
        accuracies.append(row.mean)
    return accuracies


if __name__ == "__main__":
    main()
