"""Networks by name or of the user's own, used as pure functions of their state.

A network is an `nn.Module` with ``embed(images)`` and ``forward(images)``; its module is only the structure. The
numbers live in a `State`, made by `fresh` from a key and handed over at every call, so that a compiled function serves
every network.
"""

from dataclasses import dataclass

from torch import nn

from distillset.data.spec import Spec
from distillset.engine.networks import State
from distillset.errors import InputError, shown
from distillset.keys import Key
from distillset.nets import alexnet, convnet, lenet, mlp, own, resnet, vgg
from distillset.nets.batch_norm import calibrated, mixes_images
from distillset.nets.fill import Blank, Fill, drawn, draws, fresh, seeded
from distillset.nets.names import Family
from distillset.nets.own import Factory
from distillset.nets.pools import POOLS, pool

NETWORKS: dict[str, Family] = {
    "convnet": convnet.FAMILY,
    "mlp": mlp.FAMILY,
    "lenet": lenet.FAMILY,
    "alexnet": alexnet.FAMILY,
    "vgg11": vgg.FAMILY,
    "resnet18": resnet.FAMILY,
}
"""Families of networks; the names of each begin with its key."""

Source = str | nn.Module | Factory
"""A published name, ``timm/NAME``, ``module:function``, a module, or a function that makes one."""


@dataclass(frozen=True)
class Network:
    """A network that was asked for, on images of some spec.

    Args:
        title: as it was asked for; for what has no name, `name`.
        name: what identifies it in checkpoints, ledgers and random streams: the canonical spelling of a published name;
            for a user's own, its name with a hash of its structure.
        module: the structure. Its own parameters are zero, or a user's: see `fresh`.
    """

    title: str
    name: str
    module: nn.Module

    @property
    def published(self) -> bool:
        """Whether it is one of `NETWORKS`, and not a user's own."""
        return "#" not in self.name

    @classmethod
    def of(cls, source: Source, spec: Spec) -> "Network":
        """The network that ``source`` means.

        Raises:
            InputError: the name is not known, the images do not fit the network, or a user's own network is not usable.
        """
        if not isinstance(source, str | nn.Module) and not callable(source):
            raise InputError.about(
                f"network {shown(source)}",
                "must be a name, an nn.Module, or a function of channels, height, width and classes that makes one",
            )
        function: nn.Module | Factory | None = own.named(source) if isinstance(source, str) else source
        if function is None:
            family, fields = _parsed(str(source))
            with Blank():  # layers would draw their parameters from the global stream, the caller's
                module = family.make(spec, fields)
            for tensor in module.state_dict().values():
                tensor.zero_()
            return cls(str(source), family.canonical(fields), module)
        with seeded(Key(0)):
            title = source if isinstance(source, str) else getattr(source, "__qualname__", type(source).__name__)
            module = own.adopt(function, spec, title)
            own.check(module, lambda: fresh(module, Key(0)), spec, title)
        name = f"{title}#{own.fingerprint(module, function)}"
        return cls(title if isinstance(source, str) else name, name, module)


def canonical(name: str) -> str:
    """The one spelling of a published name (``convnetd4`` for ``ConvNetIND4``); any other name as it is."""
    for family in NETWORKS.values():
        fields = family.fields(name)
        if fields is not None:
            return family.canonical(fields)
    return name


def build(source: Source, spec: Spec) -> nn.Module:
    """The module of `Network.of`."""
    return Network.of(source, spec).module


def _parsed(name: str) -> tuple[Family, dict[str, object]]:
    for family in NETWORKS.values():
        fields = family.fields(name)
        if fields is not None:
            return family, fields
    near = [str(family) for key, family in NETWORKS.items() if name.lower().startswith(key)]
    raise InputError.about(
        f"network {name!r}",
        f"not known; choose {near[0] if near else ', '.join(NETWORKS)}, "
        "a variant such as ConvNetD4 or ResNet18BN, timm/NAME, or module:function",
    )


__all__ = [
    "NETWORKS",
    "POOLS",
    "Fill",
    "Network",
    "Source",
    "State",
    "build",
    "calibrated",
    "canonical",
    "drawn",
    "draws",
    "fresh",
    "mixes_images",
    "pool",
    "seeded",
]
