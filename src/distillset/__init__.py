"""distillset: learn a few synthetic images per class, so that a network trained on them alone tests almost as well.

>>> import distillset as ds
>>> data = ds.load("digits")  # doctest: +SKIP
>>> synthetic = ds.distill(data, ds.DM(), ipc=10, steps=100)  # doctest: +SKIP
>>> rows = ds.evaluate(synthetic, data)  # doctest: +SKIP
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distillset.coresets import select
    from distillset.data.real import RealSet
    from distillset.data.spec import Spec
    from distillset.data.synthetic import SyntheticSet
    from distillset.distill import distill
    from distillset.distillation.record import Record
    from distillset.errors import DistillsetError, DivergedError, InputError, InterruptedRun
    from distillset.evaluation import Ledger, Protocol, Row, Snapshots, evaluate
    from distillset.keys import Key
    from distillset.machine import Machine
    from distillset.methods import DC, DM, DSA, MTT, Method, setting
    from distillset.sources.load import Data, load
    from distillset.watch import Watcher

_HOMES = {
    "distillset.coresets": ("select",),
    "distillset.data.real": ("RealSet",),
    "distillset.sources.load": ("Data", "load"),
    "distillset.data.spec": ("Spec",),
    "distillset.data.synthetic": ("SyntheticSet",),
    "distillset.distill": ("distill",),
    "distillset.distillation.record": ("Record",),
    "distillset.errors": ("DistillsetError", "DivergedError", "InputError", "InterruptedRun"),
    "distillset.evaluation": ("Ledger", "Protocol", "Row", "Snapshots", "evaluate"),
    "distillset.keys": ("Key",),
    "distillset.machine": ("Machine",),
    "distillset.watch": ("Watcher",),
    "distillset.methods": ("DC", "DM", "DSA", "MTT", "Method", "setting"),
}
"""Where the public names live. They are imported at their first use, so that help is printed without PyTorch."""

__all__ = [
    "DC",
    "DM",
    "DSA",
    "MTT",
    "Data",
    "DistillsetError",
    "DivergedError",
    "InputError",
    "InterruptedRun",
    "Key",
    "Ledger",
    "Machine",
    "Method",
    "Protocol",
    "RealSet",
    "Record",
    "Row",
    "Snapshots",
    "Spec",
    "SyntheticSet",
    "Watcher",
    "distill",
    "evaluate",
    "load",
    "select",
    "setting",
]


class _Package(ModuleType):
    """This package: its public names, imported at their first use."""

    def __getattr__(self, name: str) -> Any:
        home = next((module for module, names in _HOMES.items() if name in names), None)
        if home is None:
            raise AttributeError(f"module 'distillset' has no attribute {name!r}")
        value = getattr(import_module(home), name)
        setattr(self, name, value)
        return value

    def __setattr__(self, name: str, value: object) -> None:
        # Python's import binds a submodule to its name here, and `distillset.distill` is the function.
        if not (name == "distill" and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *__all__})


sys.modules[__name__].__class__ = _Package
