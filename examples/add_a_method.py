"""A method of your own in one file: match the features of every layer of a network, class by class.

    python examples/add_a_method.py

The method is the class below. The library does the rest: it draws networks and images, compiles, chooses precision and
micro-batches, captures steps on a GPU, shares them among ranks, keeps checkpoints and writes the artifact. The page
"Extending" explains each line, and how to have the method on the command line.
"""

import argparse

import torch
from torch import Tensor

import distillset as ds
from distillset.methods import AUGMENT, Images, Task, check_strategy
from distillset.testing import check_method


class Features(ds.Method):
    """Feature matching: synthetic images whose mean features are those of the real ones in every layer of a network."""

    name = "features"
    steps = 2000
    second_order = False

    lr: float = ds.setting(0.2, "learning rate of the images", above=0)
    momentum: float = ds.setting(0.5, "momentum of the images' SGD", least=0, below=1)
    batch_real: int = ds.setting(128, "real images per class and step", least=1)
    augment: str = ds.setting("auto", AUGMENT, check=check_strategy)
    depth_weight: float = ds.setting(1.0, "weight of a layer relative to the one before it", above=0)

    def loss(self, task: Task, network: dict[str, Tensor], synthetic: Images, real: Images) -> Tensor:
        """The squared distance of mean features, of each layer relative to their size in the real images."""
        layers = zip(task.embed(network, synthetic, "all"), task.embed(network, real, "all"), strict=True)
        distances = []
        for depth, (ours, theirs) in enumerate(layers):
            target = real.mean(theirs)
            distance = (synthetic.mean(ours) - target).square().sum(1) / target.square().sum(1).clamp(min=1e-8)
            distances.append(self.depth_weight**depth * distance.sum())
        return torch.stack(distances).sum()


def main() -> list[float]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--network", default="ConvNetD2", help="any network of the library, such as resnet18")
    options = parser.parse_args()
    check_method(Features(batch_real=4))
    data = ds.load("digits")
    accuracies = []
    methods: list[ds.Method] = [Features(), ds.DM()]
    for method in methods:
        synthetic = ds.distill(data, method, ipc=5, steps=options.steps, network=options.network)
        (row,) = ds.evaluate(synthetic, data, repeats=2, protocol=ds.Protocol(epochs=options.epochs), beside=())
        print(f"{method.name}: {row.mean:.1%}")
        accuracies.append(row.mean)
    return accuracies


if __name__ == "__main__":
    main()
