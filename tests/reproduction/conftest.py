"""A table of small rows on a toy set, found as a shard of a known name."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from distillset.data.real import RealSet
from distillset.evaluation import PROTOCOLS, Protocol
from distillset.presets import PRESETS, Accuracy, Ours, Preset
from distillset.sources.load import Data
from distillset.training import Recipe
from tests import toys
from tools.shard import write_shards

STEPS = 6


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grey toy set under a known name."""
    folder = tmp_path_factory.mktemp("shards")
    train = RealSet.from_arrays(*toys.pixels(shape=(1, 8, 8)), name="mnist")
    test = RealSet(*toys.pixels([10, 10, 10], (1, 8, 8), seed=1), train.spec)
    write_shards(Data(train, test, "mnist"), "mnist", folder)
    return folder


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Preset]]:
    """Rows that take a moment, in place of the published ones."""
    before = dict(PRESETS)
    small = {"batch_real": 6, "lr": 1.0, "momentum": 0.5, "augment": "none"}
    ours = Ours(2, "none", {"lr": 2.0})
    few = Protocol("dm", recipe=Recipe(epochs=4, augmentation="none"), source="four epochs")
    monkeypatch.setitem(PROTOCOLS.built_in, "dm", few)
    paper = Accuracy(99.9, 0.01, "a table")
    rows = [
        Preset("dm", "mnist", 2, 3, STEPS, "dm", "a paper", small, paper, ours, toys.NETWORK),
        Preset("dm", "mnist", 1, 3, STEPS, "dm", "a paper", small, None, None, toys.NETWORK),
        Preset("dm", "nowhere", 1, 3, STEPS, "dm", "a paper", small, paper, None, toys.NETWORK),
        Preset("random", "mnist", 1, 3, 0, "dm", "a paper", {}, Accuracy(5.0, 1.0, "a table"), None, toys.NETWORK),
    ]
    PRESETS.clear()
    PRESETS.update({row.name: row for row in rows})
    yield PRESETS
    PRESETS.clear()
    PRESETS.update(before)
