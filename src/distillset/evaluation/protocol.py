"""Protocols: the frozen recipes of an evaluation. No accuracy is printed or stored without one."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from distillset.arguments import of_kind, text
from distillset.arguments import whole as whole_number
from distillset.augment import DC_AUGMENTATIONS, NONE, Augmentation, default_strategy
from distillset.data.spec import Spec
from distillset.errors import InputError
from distillset.methods import METHODS
from distillset.tables import PluginTable
from distillset.training import Recipe

WHOLE_UPDATES = 1000
WHOLE_EPOCHS = 20
LABELS = ("own", "hard")


@dataclass(frozen=True)
class Protocol:
    """How accuracy is measured: networks are trained on a set, and tested on the whole test set after the last epoch.

    Where a protocol is asked for, the name of a published one will do. A `Protocol` changes a part of it, and the name
    that is printed and stored says so: ``Protocol("dm", epochs=50)`` is ``dm-50-epochs``.

    Args:
        name: of a published protocol; ``auto`` is the one of the set's method. With a ``recipe``, a name of your own.
        epochs: in place of the recipe's, at least 0; None leaves them.
        augment: in place of the recipe's augmentation: a strategy such as ``color_crop_flip``, or ``none``; None leaves
            it.
        labels: what is trained on: ``own`` are the set's, hard or soft; ``hard`` is the most probable class of each
            image.
        recipe: how each network is trained; None is as published under ``name``. The augmentation ``auto`` in it is the
            siamese strategy with parameters drawn per image, without the flip for digits.
        source: where the recipe comes from.
        exceptions: name of a data set to the recipe that the paper used there instead.
        networks: canonical name of a network to the recipe that the paper trained it by instead, whatever the data.
        learned_rate: whether a set with a learned rate is trained on at that; all others at the recipe's.

    Raises:
        InputError: an unknown name without a recipe, or a value that is not allowed.
    """

    name: str = "auto"
    epochs: int | None = None
    augment: str | None = None
    labels: str = "own"
    recipe: Recipe | None = None
    source: str = ""
    exceptions: Mapping[str, Recipe] = field(default_factory=dict, repr=False)
    networks: Mapping[str, Recipe] = field(default_factory=dict, repr=False)
    learned_rate: bool = False

    def __post_init__(self) -> None:
        text("protocol", self.name)
        if self.recipe is not None:
            of_kind("recipe", self.recipe, Recipe, "a Recipe, or None")
            if self.name == "auto":
                raise InputError("protocol", "auto", "a recipe of your own needs a name of your own")
        elif self.name != "auto":
            object.__setattr__(self, "name", PROTOCOLS.resolve(self.name, also=["auto"]))
        if self.epochs is not None:
            object.__setattr__(self, "epochs", whole_number("epochs", self.epochs, 0))
        if self.augment is not None and text("augment", self.augment) not in DC_AUGMENTATIONS:
            Augmentation.parse(self.augment)
        if text("labels", self.labels) not in LABELS:
            raise InputError("labels", self.labels, f"choose {' or '.join(LABELS)}")

    @classmethod
    def of(cls, protocol: Any) -> "Protocol":
        """``protocol`` as it is, or the one of this name.

        Raises:
            InputError: neither a protocol nor the name of one, or a recipe of your own under the name of another.
        """
        if not isinstance(protocol, cls):
            return cls(text("protocol", protocol))
        plain = replace(protocol, epochs=None, augment=None, labels="own")
        if protocol.recipe is not None and protocol.name in PROTOCOLS and plain != PROTOCOLS[protocol.name]:
            raise InputError("protocol", protocol.name, "this name is taken; choose another")
        return protocol

    def of_method(self, method: str) -> "Protocol":
        """The protocol with ``auto`` replaced by the one that the paper of ``method`` reports."""
        if self.name != "auto" or self.recipe is not None:
            return self
        return replace(self, name=METHODS[method].protocol if method in METHODS else USUAL)

    def resolve(self, method: str, spec: Spec, network: str = "") -> "ResolvedProtocol":
        """What a network is trained by.

        Args:
            method: of the set, for ``auto``.
            spec: of the data.
            network: canonical name of the network, which may have a recipe of its own.
        """
        asked = self.of_method(method)
        row = PROTOCOLS[asked.name] if asked.recipe is None else asked
        recipe = row.networks.get(network) or row.exceptions.get(spec.name) or row.recipe
        assert recipe is not None, "a published protocol has a recipe"
        if recipe.augmentation == "auto":
            recipe = replace(recipe, augmentation=default_strategy(spec.flip))
        name = row.name
        if self.epochs is not None and self.epochs != recipe.epochs:
            name, recipe = f"{name}-{self.epochs}-epochs", replace(recipe, epochs=self.epochs)
        if self.augment is not None and self.augment != recipe.augmentation:
            said = "without-augmentation" if self.augment == NONE else self.augment
            name, recipe = f"{name}-{said}", replace(recipe, augmentation=self.augment)
        return ResolvedProtocol(name, recipe, learned_rate=row.learned_rate)

    def settings(self, spec: Spec) -> dict[str, Any]:
        """What defines the results of a study that trains by it."""
        resolved = self.resolve("", spec)
        changes = {"labels": self.labels} if self.labels != "own" else {}
        return {"protocol": resolved.name, **changes, **({"recipe": asdict(resolved.recipe)} if self.recipe else {})}


@dataclass(frozen=True)
class ResolvedProtocol:
    """The protocol of a row, with all values resolved.

    Args:
        name: as printed and stored.
        recipe: how each network is trained.
        labels: what it is trained on, ``hard`` or ``soft``.
        learned_rate: whether a set with a learned rate is trained on at that.
    """

    name: str
    recipe: Recipe
    labels: str = "hard"
    learned_rate: bool = False

    def at(self, lr: float | None, soft: bool = False) -> "ResolvedProtocol":
        """The protocol for a set with this learned rate, or none, and soft labels or hard ones."""
        protocol = replace(self, labels="soft") if soft else self
        if lr is None or not self.learned_rate:
            return protocol
        return replace(protocol, recipe=replace(self.recipe, rate=lr))

    def __str__(self) -> str:
        r = self.recipe
        return (
            f"{self.name}: {r.epochs} epochs, SGD rate {r.rate:g} (x{r.decay:g} from half), momentum {r.momentum:g}, "
            f"weight decay {r.weight_decay:g}, batch {r.batch}, augmentation {r.augmentation}, {self.labels} labels"
        )


_DSA = Recipe(augmentation="auto")
_DC_MNIST = Recipe(augmentation="dc/crop_scale_rotate")
_PUBLISHED = {
    "dc": Protocol(
        "dc",
        recipe=Recipe(epochs=300),
        source="Zhao et al., ICLR 2021: 300 epochs; on MNIST 1000 with crop, scale and rotation; ConvNetBN 1000 "
        "with crop and noise",
        exceptions={"mnist": _DC_MNIST},
        networks={"convnetbn": Recipe(augmentation="dc/crop_noise")},
    ),
    "dsa": Protocol(
        "dsa",
        recipe=_DSA,
        source="Zhao and Bilen, ICML 2021: 1000 epochs with the differentiable augmentation",
    ),
    "dm": Protocol(
        "dm",
        recipe=_DSA,
        source="Zhao and Bilen, WACV 2023: 1000 epochs with the differentiable augmentation",
    ),
    "mtt": Protocol(
        "mtt",
        recipe=_DSA,
        source="Cazenavette et al., CVPR 2022: 1000 epochs with the differentiable augmentation, at the learned rate",
        learned_rate=True,
    ),
}


def _check_row(name: str, row: Any) -> str | None:
    """What is wrong with a protocol of another package, to be called ``name``; None where nothing is."""
    if not isinstance(row, Protocol) or row.recipe is None:
        return "needed is a distillset.Protocol with a recipe"
    if name in ("auto", "whole"):
        return "this name has a meaning of its own; another is needed"
    if row.name != name:
        return f"needed is its own name, {row.name!r}"
    return None if (row.epochs, row.augment, row.labels) == (None, None, "own") else "its changes belong in its recipe"


PROTOCOLS: PluginTable[Protocol] = PluginTable("protocol", "distillset.protocols", _PUBLISHED, _check_row)
"""Rows with a recipe each."""
USUAL = "dm"
"""The protocol of selections, and of whatever names no other."""


def whole(images: int, spec: Spec, batch: int = 256) -> ResolvedProtocol:
    """The protocol of the whole real set: as for small sets, but with at least 20 epochs and 1,000 updates only."""
    epochs = max(WHOLE_EPOCHS, -(-WHOLE_UPDATES // -(-images // batch)))
    return ResolvedProtocol("whole", Recipe(epochs=epochs, batch=batch, augmentation=default_strategy(spec.flip)))
