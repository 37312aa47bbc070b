"""What every test shares: examples that are the same in every run, however slow the machine."""

from pathlib import Path

import pytest
from hypothesis import settings

from tests.runs import distil

settings.register_profile("distillset", derandomize=True, deadline=None, database=None)
settings.load_profile("distillset")


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run from its start to its end."""
    out = tmp_path_factory.mktemp("runs") / "uninterrupted"
    distil(out)
    return out
