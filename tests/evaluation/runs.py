"""One small evaluation that many tests vary."""

from typing import Any

from distillset.coresets import select
from distillset.data.synthetic import SyntheticSet
from distillset.evaluation import Row, evaluate
from distillset.sources.load import Data
from tests import toys

DATA = toys.toy_data(noise=140)
SYNTHETIC = select(DATA, "random", 2, seed=3)
SIZE = 6


def run(synthetic: SyntheticSet = SYNTHETIC, data: Data = DATA, **changes: Any) -> list[Row]:
    arguments: dict[str, Any] = {
        "networks": (toys.NETWORK,),
        "repeats": 2,
        "epochs": 3,
        "machine": toys.EAGER,
        **changes,
    }
    return evaluate(synthetic, data, **arguments)
