"""Protocols: the frozen recipes of an evaluation. No accuracy is printed or stored without one."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from distillset.augment import DC_AUGMENTATIONS, NONE, Augmentation, default_strategy
from distillset.data.spec import Spec
from distillset.errors import InputError
from distillset.training import Recipe

WHOLE_UPDATES = 1000
WHOLE_EPOCHS = 20


@dataclass(frozen=True)
class Protocol:
    """How an accuracy is measured: that of networks trained by ``recipe``, on the test set, after the last epoch.

    Args:
        name: as printed and stored.
        recipe: how each network is trained. Its augmentation ``auto`` is the siamese strategy with parameters drawn per
            image; `resolve` replaces it.
        labels: ``hard`` or ``soft``.
        exceptions: name of a data set to the recipe that the paper used there instead.
        networks: canonical name of a network to the recipe that the paper trained it by instead, whatever the data.
        source: where the recipe comes from.
        learned_rate: whether a set with a learned rate is trained on at that; all others at the recipe's.
    """

    name: str
    recipe: Recipe = field(default_factory=Recipe)
    labels: str = "hard"
    source: str = ""
    exceptions: Mapping[str, Recipe] = field(default_factory=dict, repr=False)
    networks: Mapping[str, Recipe] = field(default_factory=dict, repr=False)
    learned_rate: bool = False

    def at(self, lr: float | None, soft: bool = False) -> "Protocol":
        """The protocol for a set with this learned rate, or none, and soft labels or hard ones."""
        protocol = replace(self, labels="soft") if soft else self
        if lr is None or not self.learned_rate:
            return protocol
        return replace(protocol, recipe=replace(self.recipe, rate=lr))

    def resolve(self, spec: Spec, network: str = "") -> "Protocol":
        """The protocol for this network (a canonical name) and data: an exception if there is one, its augmentation
        without the flip for digits.
        """
        exception = self.networks.get(network, self.exceptions.get(spec.name))
        if exception is not None:
            return replace(self, recipe=exception, exceptions={}, networks={})
        if self.recipe.augmentation != "auto":
            return self
        return replace(self, recipe=replace(self.recipe, augmentation=default_strategy(spec.flip)))

    def with_epochs(self, epochs: int | None) -> "Protocol":
        """The protocol with another number of epochs, and a name that says so."""
        if epochs is None or epochs == self.recipe.epochs:
            return self
        return replace(self, name=f"{self.name}-{epochs}-epochs", recipe=replace(self.recipe, epochs=epochs))

    def with_augmentation(self, strategy: str | None) -> "Protocol":
        """The protocol with another augmentation, named as in a `Recipe`, and a name that says so.

        Raises:
            InputError: an unknown operation.
        """
        if strategy is None or strategy == self.recipe.augmentation:
            return self
        if strategy not in DC_AUGMENTATIONS:
            Augmentation.parse(strategy)
        said = "without-augmentation" if strategy == NONE else strategy
        return replace(self, name=f"{self.name}-{said}", recipe=replace(self.recipe, augmentation=strategy))

    def __str__(self) -> str:
        r = self.recipe
        return (
            f"{self.name}: {r.epochs} epochs, SGD rate {r.rate:g} (x{r.decay:g} from half), momentum {r.momentum:g}, "
            f"weight decay {r.weight_decay:g}, batch {r.batch}, augmentation {r.augmentation}, {self.labels} labels"
        )


_DSA = Recipe(augmentation="auto")
_DC_MNIST = Recipe(augmentation="dc/crop_scale_rotate")
PROTOCOLS: dict[str, Protocol] = {
    "dc": Protocol(
        "dc",
        Recipe(epochs=300),
        source="Zhao et al., ICLR 2021: 300 epochs; on MNIST 1000 with crop, scale and rotation; ConvNetBN 1000 "
        "with crop and noise",
        exceptions={"mnist": _DC_MNIST},
        networks={"convnetbn": Recipe(augmentation="dc/crop_noise")},
    ),
    "dsa": Protocol("dsa", _DSA, source="Zhao and Bilen, ICML 2021: 1000 epochs with the differentiable augmentation"),
    "dm": Protocol("dm", _DSA, source="Zhao and Bilen, WACV 2023: 1000 epochs with the differentiable augmentation"),
    "mtt": Protocol(
        "mtt",
        _DSA,
        source="Cazenavette et al., CVPR 2022: 1000 epochs with the differentiable augmentation, at the learned rate",
        learned_rate=True,
    ),
}
AUTO = {"dc": "dc", "dsa": "dsa", "dm": "dm", "mtt": "mtt", "random": "dm"}
"""Method of an artifact to the protocol that ``auto`` chooses: the one its paper reports."""


def choose(name: str, method: str, spec: Spec, network: str = "") -> Protocol:
    """The protocol by name, or for ``auto`` the published one of the artifact's method.

    Args:
        name: of a protocol, or ``auto``.
        method: of the artifact.
        spec: of the data.
        network: canonical name of the network that is trained, which may have a recipe of its own.

    Raises:
        InputError: an unknown name.
    """
    if name != "auto" and name not in PROTOCOLS:
        raise InputError("protocol", name, f"choose auto, {', '.join(PROTOCOLS)}")
    return PROTOCOLS[AUTO.get(method, "dm") if name == "auto" else name].resolve(spec, network)


def whole(images: int, spec: Spec, batch: int = 256) -> Protocol:
    """The protocol of the whole real set: as for small sets, but with at least 20 epochs and 1,000 updates only."""
    epochs = max(WHOLE_EPOCHS, -(-WHOLE_UPDATES // -(-images // batch)))
    recipe = Recipe(epochs=epochs, batch=batch, augmentation="auto")
    return Protocol("whole", recipe, source="distillset").resolve(spec)
