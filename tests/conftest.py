"""What every test shares: examples that are the same in every run, however slow the machine."""

from pathlib import Path

import pytest
from hypothesis import settings

from tests import toys
from tests.runs import distil

settings.register_profile("distillset", derandomize=True, deadline=None, database=None)
settings.load_profile("distillset")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Away from the user's cache and data."""
    monkeypatch.setenv("DISTILLSET_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.delenv("DISTILLSET_DATA", raising=False)


@pytest.fixture(scope="session")
def toy_npz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy set with a test split, as a file."""
    return toys.toy_file(tmp_path_factory.mktemp("toy") / "toy.npz")


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run from its start to its end."""
    out = tmp_path_factory.mktemp("runs") / "uninterrupted"
    distil(out)
    return out
