from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for every test, and no data folder from outside."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("DISTILLSET_CACHE", str(folder))
    monkeypatch.delenv("DISTILLSET_DATA", raising=False)
    return folder
