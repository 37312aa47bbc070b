"""Trajectories on disk: the parameters of experts, epoch by epoch, and what those experts are.

A folder holds the experts of one setting: ``experts.json`` says which, ``expert-000/epoch-00.safetensors`` holds the
parameters of the first one before its first epoch, as one vector. Each state is a file of its own, memory-mapped when
read and checked against its checksum, so that drawing a segment touches two states and nothing else.
"""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from distillset.augment import Augmentation
from distillset.errors import InputError
from distillset.nets import State
from distillset.store import read_json, read_tensors, write_sealed, write_tensors

SCHEMA = 1
CARD = "experts.json"


class Layout:
    """How the parameters of a network lie in one vector: names and shapes, in the module's order. Buffers stay out."""

    def __init__(self, module: nn.Module) -> None:
        self.shapes = {name: parameter.shape for name, parameter in module.named_parameters()}
        self._sizes = [shape.numel() for shape in self.shapes.values()]
        self.size = sum(self._sizes)

    def flatten(self, state: State) -> Tensor:
        """The parameters of ``state`` as a new vector ``[size]``."""
        return torch.cat([state[name].reshape(-1) for name in self.shapes])

    def unflatten(self, vector: Tensor) -> State:
        """Views of ``vector [size]`` by name."""
        parts = zip(self.shapes.items(), vector.split(self._sizes), strict=True)
        return {name: part.view(shape) for (name, shape), part in parts}

    def to_json(self) -> list[list[Any]]:
        return [[name, list(shape)] for name, shape in self.shapes.items()]


@dataclass(frozen=True)
class ExpertSetting:
    """What the experts of a folder have in common; with seed and number it determines each of them.

    Args:
        data: fingerprint of the training set.
        whiten: ``none`` or ``zca``.
        network: what identifies it: the canonical spelling of a published name.
        lr: rate of SGD, without momentum or weight decay, as published.
        batch: images of an update.
        augment: strategy of the differentiable augmentation, parameters drawn per image, or ``none``.
        sam: radius of sharpness-aware minimisation; 0 is plain SGD.
        seed: names the random streams.
    """

    data: str
    whiten: str
    network: str
    lr: float = 0.01
    batch: int = 256
    augment: str = "none"
    sam: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.lr < float("inf"):
            raise InputError("lr", self.lr, "the learning rate of experts must be a finite number above 0")
        if self.batch < 1:
            raise InputError("batch", self.batch, "the batch of experts must be at least 1")
        if not 0 <= self.sam < float("inf"):
            raise InputError("sam", self.sam, "must be a finite number, 0 or more")
        Augmentation.parse(self.augment)


class Trajectories:
    """A folder of experts.

    Args:
        folder: where they are.
        card: what ``experts.json`` says.
    """

    def __init__(self, folder: Path, card: dict[str, Any]) -> None:
        self.folder, self.card = folder, card

    @classmethod
    def open(cls, folder: Path) -> "Trajectories":
        """The experts in ``folder``.

        Raises:
            InputError: there are none.
        """
        if not (folder / CARD).is_file():
            raise InputError.about(folder, f"no {CARD}, so not a folder of experts (`train_experts()` makes one)")
        card = read_json(folder / CARD)
        kinds = {"schema": int, "setting": dict, "parameters": list, "compute": dict}
        for field, kind in kinds.items():
            if not isinstance(card, dict) or not isinstance(card.get(field), kind):
                raise InputError.about(
                    folder / CARD, f"field {field} is missing or of another kind; expected a card of experts"
                )
        if card["schema"] > SCHEMA:
            raise InputError.about(
                folder / CARD, f"schema {card['schema']} is newer than this version reads ({SCHEMA})"
            )
        return cls(folder, card)

    @classmethod
    def make(cls, folder: Path, setting: ExpertSetting, layout: Layout, compute: dict[str, Any]) -> "Trajectories":
        """The experts of ``setting`` in ``folder``: those that are there, or none yet under a new card, with what they
        are computed on.

        Raises:
            InputError: the folder holds experts of another setting, or something else.
        """
        if (folder / CARD).is_file():
            trajectories = cls.open(folder)
            trajectories.check(asdict(setting))
            trajectories.check_network(layout)
            return trajectories
        if folder.is_dir() and any(path.name != ".lock" for path in folder.iterdir()):
            raise InputError("out", folder, "holds other files and no experts; choose another folder")
        card = {"schema": SCHEMA, "setting": asdict(setting), "parameters": layout.to_json(), "compute": compute}
        write_sealed(folder / CARD, card)
        return cls(folder, card)

    def check(self, wanted: dict[str, Any]) -> None:
        """Whether the experts are of the setting that ``wanted`` names, some or all of its fields.

        Raises:
            InputError: names the first field that differs, and both values.
        """
        setting = self.card["setting"]
        for field, value in wanted.items():
            if setting.get(field) != value:
                raise InputError.about(
                    self.folder,
                    f"{field} {value!r} is needed, but these experts have {field} "
                    f"{setting.get(field)!r}; choose others, or another folder",
                )

    def check_network(self, layout: Layout) -> None:
        """Whether the parameters are those of a network.

        Raises:
            InputError: other names or shapes.
        """
        if self.card.get("parameters") != layout.to_json():
            raise InputError.about(self.folder, "parameters of these experts are not those of the network asked for")

    def path(self, expert: int, epoch: int) -> Path:
        """The file of a state."""
        return self.folder / f"expert-{expert:03d}" / f"epoch-{epoch:02d}.safetensors"

    def save(self, expert: int, epoch: int, vector: Tensor) -> None:
        """Write a state: the file is a copy, whatever happens to ``vector`` later."""
        write_tensors(self.path(expert, epoch), {"parameters": vector}, {"expert": expert, "epoch": epoch})

    def state(self, expert: int, epoch: int, device: torch.device | str = "cpu") -> Tensor:
        """The parameters of an expert after ``epoch`` epochs, ``float32 [P]``.

        Raises:
            InputError: the file is missing or damaged.
        """
        path = self.path(expert, epoch)
        try:
            tensors, meta = read_tensors(path)
        except InputError as error:
            raise InputError.about(
                error.field, f"{error.allowed}; delete it, and run the command that trained these experts again"
            ) from None
        if (meta.get("expert"), meta.get("epoch")) != (expert, epoch) or "parameters" not in tensors:
            raise InputError.about(path, "it is of another expert or epoch than its name says")
        vector = tensors["parameters"]
        size = sum(math.prod(shape) for _, shape in self.card.get("parameters", ()))
        if vector.shape != (size,) or vector.dtype != torch.float32:
            raise InputError.about(
                path, f"parameters are {vector.dtype} {list(vector.shape)}; float32 [{size}] is needed"
            )
        return vector.to(device)

    def last(self, expert: int) -> int:
        """The last epoch up to which every state is there; -1 if there is none."""
        epoch = -1
        while self.path(expert, epoch + 1).is_file():
            epoch += 1
        return epoch

    def count(self, epochs: int) -> int:
        """Experts, from the first on, that have every state up to ``epochs``."""
        number = 0
        while self.last(number) >= epochs:
            number += 1
        return number

    def bytes(self, experts: Iterable[int]) -> int:
        """Bytes on disk of some experts."""
        folders = [self.folder / f"expert-{expert:03d}" for expert in experts]
        return sum(file.stat().st_size for folder in folders if folder.is_dir() for file in folder.iterdir())
