"""Networks by name or of the user's own, used as pure functions of their state.

A network is an `nn.Module` with ``embed(images)`` and ``forward(images)``; its module is only the structure. The
numbers live in a `State`, made by `fresh` from a key and handed over at every call, so that a compiled function serves
every network.
"""

from dataclasses import dataclass
from typing import Any

from torch import nn

from distillset.data.spec import Spec
from distillset.engine.networks import State
from distillset.errors import InputError, shown
from distillset.keys import Key
from distillset.nets import alexnet, convnet, lenet, mlp, own, resnet, vgg
from distillset.nets.batch_norm import calibrated, mixes_images
from distillset.nets.fill import Blank, Fill, drawn, draws, fresh, seeded
from distillset.nets.names import Family, Number, Word
from distillset.nets.own import Factory
from distillset.nets.pools import POOLS, pool
from distillset.tables import PluginTable


def check_family(name: str, family: Any) -> str | None:
    """What is wrong with a family of another package, to be called ``name``; None where nothing is."""
    if not isinstance(family, Family):
        return "needed is a distillset.nets.Family"
    if family.name.lower() != name:
        return f"needed is the name {family.name.lower()!r}: the family's own in small letters"
    if len(name) == 1 or name == "all":
        return "this name means a pool of networks; another is needed"
    taken = [known for known, ours in NETWORKS.built_in.items() if ours.fields(name) is not None]
    return f"this name means a network of {taken[0]}; another is needed" if taken else None


NETWORKS: PluginTable[Family] = PluginTable(
    "network",
    "distillset.networks",
    {
        "convnet": convnet.FAMILY,
        "mlp": mlp.FAMILY,
        "lenet": lenet.FAMILY,
        "alexnet": alexnet.FAMILY,
        "vgg11": vgg.FAMILY,
        "resnet18": resnet.FAMILY,
    },
    check_family,
)
"""Families of networks; the names of each begin with its key."""

Source = str | nn.Module | Factory
"""A published name, ``timm/NAME``, ``module:function``, a module, or a function that makes one."""


@dataclass(frozen=True)
class Network:
    """A network for images of a spec.

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
        """Whether it is one of this library's `NETWORKS`, and neither a user's own nor of another package."""
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
        if function is not None:
            title = source if isinstance(source, str) else getattr(source, "__qualname__", type(source).__name__)
            module = _adopted(function, spec, title)
            name = f"{title}#{own.fingerprint(module, function)}"
            return cls(title if isinstance(source, str) else name, name, module)
        title = str(source)
        if (meant := _parsed(title)) is None:
            raise _unknown(title)
        key, fields = meant
        family = NETWORKS[key]
        if NETWORKS.package(key) is not None:
            module = _adopted(lambda *sizes: family.make(spec, fields), spec, title)
            return cls(title, f"{family.canonical(fields)}#{own.fingerprint(module, family.make)}", module)
        with Blank():  # layers would draw their parameters from the global stream, the caller's
            module = family.make(spec, fields)
        for tensor in module.state_dict().values():
            tensor.zero_()
        return cls(title, family.canonical(fields), module)


def canonical(name: str) -> str:
    """The one spelling of a published name (``convnetd4`` for ``ConvNetIND4``); any other name as it is."""
    meant = _parsed(name)
    return name if meant is None else NETWORKS[meant[0]].canonical(meant[1])


def is_foreign(name: str) -> bool:
    """Whether a name stands for anyone's own network: ``module:function``, ``timm/NAME``, one of another package."""
    meant = None if own.is_foreign(name) else _parsed(name)
    return own.is_foreign(name) or (meant is not None and meant[0] not in NETWORKS.built_in)


def build(source: Source, spec: Spec) -> nn.Module:
    """The module of `Network.of`."""
    return Network.of(source, spec).module


def _parsed(name: str) -> tuple[str, dict[str, Any]] | None:
    """The family's key and the fields that a name stands for; None where no family has it."""
    # Of several families that it may begin with, ours first, then the longest: a broken package hides no other's names.
    for key in sorted(NETWORKS, key=lambda key: (key not in NETWORKS.built_in, -len(key))):
        if name.lower().startswith(key) and (fields := NETWORKS[key].fields(name)) is not None:
            return key, fields
    return None


def _unknown(name: str) -> InputError:
    near = [str(NETWORKS[key]) for key in NETWORKS if name.lower().startswith(key)]
    return InputError.about(
        f"network {name!r}",
        f"not known; choose {near[0] if near else ', '.join(NETWORKS)}, "
        "a variant such as ConvNetD4 or ResNet18BN, timm/NAME, or module:function",
    )


def _adopted(function: nn.Module | Factory, spec: Spec, title: str) -> nn.Module:
    """A module of a user, after it was tried."""
    with seeded(Key(0)):
        module = own.adopt(function, spec, title)
        own.check(module, lambda: fresh(module, Key(0)), spec, title)
    return module


__all__ = [
    "NETWORKS",
    "POOLS",
    "Family",
    "Fill",
    "Network",
    "Number",
    "Source",
    "State",
    "Word",
    "build",
    "calibrated",
    "canonical",
    "drawn",
    "draws",
    "fresh",
    "is_foreign",
    "mixes_images",
    "pool",
    "seeded",
]
