"""A distilled set as a stand-in: choose a learning rate and a momentum on a few images, then train on everything once.

    python examples/hyperparameter_search.py

Every candidate trains on the distilled set and is judged on a validation set taken from the training data; the test
set is looked at once, at the end. How good a stand-in is: the rank correlation of both columns, where the whole set is
tried too (``--check``).
"""

import argparse
import itertools
import time

import torch
from scipy.stats import spearmanr
from torch import nn

import distillset as ds

RATES, MOMENTA = (0.001, 0.01, 0.1), (0.0, 0.9)


def main() -> tuple[float, float]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--updates", type=int, default=200)
    parser.add_argument("--check", action="store_true", help="also train on the whole set with every candidate")
    options = parser.parse_args()

    data = ds.load("digits")
    rest, validation = data.train.split(0.2, ds.Key(0)("validation"))
    synthetic = ds.distill(rest, ds.DM(), ipc=10, steps=options.steps)
    whole = rest.spec.normalise(rest.images), rest.labels
    small = synthetic.images, synthetic.labels

    start, cheap, dear = time.monotonic(), {}, {}
    for rate, momentum in itertools.product(RATES, MOMENTA):
        cheap[rate, momentum] = accuracy(train(*small, rate, momentum, options.updates), validation)
    print(f"{len(cheap)} candidates on {len(synthetic)} images: {time.monotonic() - start:.1f} s")
    best = max(cheap, key=lambda candidate: cheap[candidate])
    if options.check:
        for (rate, momentum), found in cheap.items():
            dear[rate, momentum] = accuracy(train(*whole, rate, momentum, options.updates), validation)
            print(f"rate {rate}, momentum {momentum}: {found:.1%}, {dear[rate, momentum]:.1%} on the whole set")
        correlation = spearmanr([*cheap.values()], [*dear.values()]).statistic
        print(f"rank correlation {correlation:.2f}")

    final = accuracy(train(*whole, *best, options.updates), data.test)
    print(f"rate {best[0]}, momentum {best[1]}; then on all {len(rest)} training images: {final:.1%} of the test set")
    return best


def train(images: torch.Tensor, labels: torch.Tensor, rate: float, momentum: float, updates: int) -> nn.Module:
    """A small network after ``updates`` batches of 64; the same start and the same order for every candidate."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Flatten(), nn.Linear(images[0].numel(), 128), nn.ReLU(), nn.Linear(128, 10))
    generator = torch.Generator().manual_seed(0)
    optimiser = torch.optim.SGD(network.parameters(), lr=rate, momentum=momentum)
    for _ in range(updates):
        rows = torch.randint(len(images), (64,), generator=generator)
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(images[rows]), labels[rows]).backward()
        optimiser.step()
    return network


@torch.no_grad()
def accuracy(network: nn.Module, real: ds.RealSet) -> float:
    right = network(real.spec.normalise(real.images)).argmax(1) == real.labels
    return float(right.float().mean())


if __name__ == "__main__":
    main()
