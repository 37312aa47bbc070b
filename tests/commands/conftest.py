"""Commands run in a place of their own, away from the user's cache."""

from pathlib import Path

import pytest

from tests import toys


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISTILLSET_CACHE", str(tmp_path_factory.getbasetemp() / "cache-of-commands"))
    monkeypatch.delenv("DISTILLSET_DATA", raising=False)


@pytest.fixture(scope="session")
def toy_npz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy set with a test split, as a file."""
    return toys.toy_file(tmp_path_factory.mktemp("toy") / "toy.npz")
