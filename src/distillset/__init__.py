"""distillset: learn a few synthetic images per class, so that a network trained on them alone tests almost as well.

>>> import distillset as ds
>>> data = ds.load("digits")  # doctest: +SKIP
>>> synthetic = ds.distill(data, ds.DM(), ipc=10, steps=100)  # doctest: +SKIP
>>> rows = ds.evaluate(synthetic, data)  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distillset.coresets import select
    from distillset.data.real import RealSet
    from distillset.data.spec import Spec
    from distillset.data.synthetic import SyntheticSet
    from distillset.distillation.distill import distill
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
    "distillset.distillation.distill": ("distill",),
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


def __getattr__(name: str) -> Any:
    home = next((module for module, names in _HOMES.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module 'distillset' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
