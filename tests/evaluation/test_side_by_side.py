"""Networks in groups, as on a GPU: the same accuracies, and what is known is not trained again."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from distillset.coresets import select
from distillset.engine import Engine
from distillset.evaluation import Ledger, Protocol, evaluate
from distillset.nets import State
from distillset.training import Trainer, TrainingSet
from tests import toys

DATA = toys.toy_data()


def test_groups_give_what_networks_give_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    groups: list[int] = []
    really = Trainer.fit_together

    def fit_together(self: Trainer, sets: Sequence[TrainingSet]) -> list[State]:
        groups.append(len(sets))
        return really(self, sets)

    chosen = select(DATA, "random", 2)

    def accuracies(repeats: int, ledger: Ledger | None = None) -> tuple[float, ...]:
        row = evaluate(
            chosen,
            DATA,
            networks=(toys.NETWORK,),
            repeats=repeats,
            protocol=Protocol(epochs=4),
            beside=(),
            ledger=ledger,
            machine="cpu",
        )[0]
        assert row.n == repeats
        return row.accuracies

    alone, ledger = accuracies(6), Ledger(tmp_path)
    assert accuracies(2, ledger) == alone[:2]
    monkeypatch.setattr(Engine, "together", lambda engine, images: 3)
    monkeypatch.setattr(Trainer, "fit_together", fit_together)
    # A network may fall on the other side for an image or two: sums are rounded in another order.
    assert accuracies(6, ledger) == pytest.approx(alone, abs=0.04)
    assert groups == [1, 3]  # the third alone, beside two that were known
    assert accuracies(6, ledger) == pytest.approx(alone, abs=0.04)
    assert groups == [1, 3]
