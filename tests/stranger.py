"""What a package of someone else may add, one thing of each kind. Nothing in this library knows it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

import distillset as ds
from distillset.augment import GRID, Operation
from distillset.coresets import Selector
from distillset.engine import State
from distillset.methods import Images, Task
from distillset.nets import Family, Number, Word
from distillset.presets import Accuracy, Preset
from distillset.sources.forms import Form
from distillset.sources.known import Known
from distillset.sources.raw_arrays import array_split
from distillset.sources.splits import Split
from distillset.testing.toys import pixels
from distillset.trackers import Tracker
from distillset.training import Recipe


def outermost(features: Tensor, ipc: int, key: ds.Key) -> Tensor:
    distances: Tensor = (features - features.mean(0)).norm(dim=1)
    return distances.topk(ipc).indices


PUBLISHED = Preset("outermost", "cifar10", 1, 10, 0, "brief", "Nobody, 2026", published=Accuracy(20.0, 1.0, "table 1"))
OUTERMOST = Selector(outermost, "features", presets=(PUBLISHED,))


class Flat(nn.Module):
    """One hidden layer."""

    def __init__(self, pixels: int, classes: int, width: int, activation: str) -> None:
        super().__init__()
        self.hidden, self.classifier = nn.Linear(pixels, width), nn.Linear(width, classes)
        self.activation = {"tanh": nn.Tanh, "sigmoid": nn.Sigmoid}[activation]()

    def embed(self, images: Tensor) -> Tensor:
        found: Tensor = self.activation(self.hidden(images.flatten(1)))
        return found

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.classifier(self.embed(images))
        return found


PARTS: dict[str, Word | Number] = {
    "width": Number("W", 8),
    "activation": Word({"AT": "tanh", "AS": "sigmoid"}, "tanh"),
}
FLAT = Family("Flat", PARTS, lambda spec, fields: Flat(int(np.prod(spec.shape)), spec.classes, **fields))


def _sample_slide(u: Sequence[Tensor], size: tuple[int, int]) -> tuple[Tensor, ...]:
    return ((u[0] * size[1]).floor(),)


def _slide(parameters: Sequence[Tensor], size: tuple[int, int]) -> dict[str, Tensor]:
    return {"column_shift": parameters[0]}


SLIDE = Operation(GRID, ("right",), _sample_slide, _slide)

BRIEF = ds.Protocol("brief", recipe=Recipe(epochs=2), source="two epochs")


def _splits(name: str) -> dict[str, Split]:
    train, test = pixels(), pixels((3, 3, 3), seed=1)
    names = ("a", "b", "c")
    return {
        "train": array_split(f"{name}, train", train[0].numpy(), train[1].numpy(), names),
        "test": array_split(f"{name}, test", test[0].numpy(), test[1].numpy(), names),
    }


PATTERNS = Known(flip=False, open=lambda: _splits("patterns"))


def _is_patterns(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() == ".patterns"


PATTERN_FILE = Form(_is_patterns, lambda path: _splits(str(path)), (".patterns",))


class Lines(Tracker):
    """A line per step in a file of the run's folder."""

    def step(self, step: int, steps: int, loss: float) -> None:
        with (self.out / "lines.txt").open("a") as file:
            file.write(f"{step} {loss}\n")


class Means(ds.Method):
    """Synthetic pixels whose mean is that of the real ones, class by class."""

    name = "means"
    steps = 3
    protocol = "brief"
    second_order = False
    presets = (Preset("means", "cifar10", 1, 10, 3, "brief", "Nobody, 2026", {"batch_real": 8}),)

    lr: float = ds.setting(0.5, "learning rate of the images", above=0)
    batch_real: int = ds.setting(16, "real images per class and step", least=1)
    often: bool = ds.setting(False, "whether to count twice")

    def loss(self, task: Task, network: State, synthetic: Images, real: Images) -> Tensor:
        distance = synthetic.mean(synthetic.pixels) - real.mean(real.pixels)
        return distance.square().sum() * (2 if self.often else 1)


ROWS: dict[str, tuple[str, str, Any]] = {
    "distillset.selectors": ("outermost", "OUTERMOST", OUTERMOST),
    "distillset.networks": ("flat", "FLAT", FLAT),
    "distillset.augmentations": ("slide", "SLIDE", SLIDE),
    "distillset.protocols": ("brief", "BRIEF", BRIEF),
    "distillset.datasets": ("patterns", "PATTERNS", PATTERNS),
    "distillset.sources": ("pattern-file", "PATTERN_FILE", PATTERN_FILE),
    "distillset.trackers": ("lines", "Lines", Lines),
    "distillset.methods": ("means", "Means", Means),
}
"""Group of entry points to a row's name, the object's name here, and the object."""
