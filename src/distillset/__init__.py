"""distillset: learn a few synthetic images a class, so that a network trained on them alone tests almost as well.

>>> import distillset as ds
>>> data = ds.load("digits")  # doctest: +SKIP
>>> synthetic = ds.distill(data, ds.DM(), ipc=10, steps=100)  # doctest: +SKIP
>>> rows = ds.evaluate(synthetic, data)  # doctest: +SKIP
"""

from distillset.coresets import select
from distillset.data.real import RealSet
from distillset.data.sources import Data, load
from distillset.data.spec import Spec
from distillset.data.synthetic import SyntheticSet
from distillset.distill import distill
from distillset.errors import DistillsetError, DivergedError, InputError, InterruptedRun
from distillset.evaluation import Protocol, Row, evaluate
from distillset.keys import Key
from distillset.loop import Watcher
from distillset.methods import DC, DM, DSA, MTT

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
    "Protocol",
    "RealSet",
    "Row",
    "Spec",
    "SyntheticSet",
    "Watcher",
    "distill",
    "evaluate",
    "load",
    "select",
]
