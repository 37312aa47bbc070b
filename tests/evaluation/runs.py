"""One small evaluation that many tests vary."""

from typing import Any

from distillset.coresets import select
from distillset.data.synthetic import SyntheticSet
from distillset.evaluation import Protocol, Row, evaluate
from distillset.sources.load import Data
from tests import toys

DATA = toys.toy_data(noise=140)
SYNTHETIC = select(DATA, "random", 2, seed=3)
SIZE = 6


def run(
    synthetic: SyntheticSet = SYNTHETIC,
    data: Data = DATA,
    *,
    protocol: str = "auto",
    epochs: int | None = 3,
    augment: str | None = None,
    labels: str = "own",
    **changes: Any,
) -> list[Row]:
    """An evaluation of which single arguments, or fields of its protocol, are changed."""
    how = Protocol(protocol, epochs, augment, labels)
    arguments: dict[str, Any] = {"networks": (toys.NETWORK,), "repeats": 2, "machine": toys.EAGER, **changes}
    return evaluate(synthetic, data, protocol=how, **arguments)
