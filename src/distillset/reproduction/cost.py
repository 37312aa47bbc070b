"""What a row costs on any machine, in images forward through its network; a backward pass counts as two."""

from dataclasses import dataclass

import torch
from torch import Tensor

from distillset.data.spec import Spec
from distillset.evaluation import PROTOCOLS
from distillset.methods import METHODS
from distillset.nets import canonical
from distillset.presets import Preset
from distillset.training import Recipe

SIZES = {"mnist": 60_000, "fashion_mnist": 60_000, "svhn": 73_257, "tiny_imagenet": 100_000}
"""Training images, where they are not 50,000."""


@dataclass(frozen=True)
class Known:
    """What the cost of a row depends on of its data, without reading them: how many images, and of how many classes.

    Their size does not matter here: a method's cost is counted in images.
    """

    spec: Spec
    counts: Tensor

    @classmethod
    def of(cls, preset: Preset) -> "Known":
        """The data of a row, with as many images of each class."""
        names = tuple(f"class {c}" for c in range(preset.classes))
        spec = Spec(preset.data, 3, 32, 32, names, (0.0,) * 3, (1.0,) * 3)
        return cls(spec, torch.full((preset.classes,), SIZES.get(preset.data, 50_000) // preset.classes))

    def __len__(self) -> int:
        return SIZES.get(self.spec.name, 50_000)


def passes(preset: Preset, steps: int, networks: int) -> float:
    """Image passes of ``steps`` of a preset and of an evaluation on ``networks`` networks, as its method and its
    protocol say.

    The network that a selection sees with, trained once a data set, is not counted.
    """
    known = Known.of(preset)
    protocol = PROTOCOLS.get(preset.protocol)
    recipe = protocol.resolve(preset.method, known.spec, canonical(preset.network)).recipe if protocol else Recipe()
    tested = 3.0 * preset.ipc * preset.classes * (recipe.epochs + 1) * networks
    if preset.method not in METHODS:
        return tested
    method = METHODS[preset.method](**preset.settings).resolve(known.spec, preset.ipc)
    return method.images_before(known) + steps * method.images_per_step(known, preset.ipc) + tested
