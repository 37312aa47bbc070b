"""Experts that the tests of trajectory matching share."""

import pytest

from distillset.nets import build
from distillset.training import train_experts
from distillset.watch import Watcher
from tests import toys
from tests.methods.small_mtt import REAL, SETTING


@pytest.fixture(scope="session")
def experts(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three experts of four epochs."""
    folder = tmp_path_factory.mktemp("experts") / "three"
    train_experts(toys.engine(), build(toys.NETWORK, REAL.spec), REAL, SETTING, folder, 3, 4, Watcher())
    return str(folder)
