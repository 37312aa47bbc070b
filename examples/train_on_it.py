"""Distil the digits, save the set, and train a network on it in plain PyTorch: nothing of distillset in the loop.

python examples/train_on_it.py --out runs/digits
"""

import argparse
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader

import distillset as ds


def main() -> float:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/train-on-it"))
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=100)
    options = parser.parse_args()

    data = ds.load("digits")
    ds.distill(data, ds.DM(batch_real=64), ipc=10, steps=options.steps, out=options.out)

    # From here on any framework could go on: an artifact is images, labels and how the pixels were normalised.
    synthetic = ds.SyntheticSet.load(options.out)
    batches = DataLoader(synthetic.dataset(), batch_size=32, shuffle=True, generator=torch.Generator().manual_seed(0))
    network = nn.Sequential(nn.Flatten(), nn.LazyLinear(128), nn.ReLU(), nn.LazyLinear(synthetic.spec.classes))
    optimiser: torch.optim.Optimizer | None = None
    for _ in range(options.epochs):
        for images, labels in batches:
            loss = nn.functional.cross_entropy(network(images), labels)
            optimiser = optimiser or torch.optim.SGD(network.parameters(), lr=0.02, momentum=0.9)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    # The test images have to be normalised as the synthetic ones are.
    images = synthetic.spec.normalise(data.test.images)
    with torch.no_grad():
        right = network(images).argmax(1) == data.test.labels
    accuracy = float(right.float().mean())
    print(f"{len(synthetic)} synthetic images instead of {len(data.train)} real ones: {accuracy:.1%} of the test set")
    return accuracy


if __name__ == "__main__":
    main()
