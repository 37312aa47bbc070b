"""The ledger: what was measured is found again, and nothing else is."""

from pathlib import Path
from typing import Any

import pytest

from distillset.evaluation import Ledger, ledger

ENTRY: dict[str, Any] = {"set": "a", "recipe": {"epochs": 3, "rate": 0.01}, "seed": 0, "i": 1}
FOUND = {"accuracy": 0.5, "seconds": 2.0}


def test_found_again_by_whoever_asks(tmp_path: Path) -> None:
    assert Ledger(tmp_path / "deep").find(ENTRY) is None
    Ledger(tmp_path / "deep").add(ENTRY, FOUND)
    assert Ledger(tmp_path / "deep").find(dict(reversed(ENTRY.items()))) == FOUND


@pytest.mark.parametrize(
    "change", [{"set": "b"}, {"recipe": {"epochs": 4, "rate": 0.01}}, {"seed": 1}, {"i": 2}, {"more": None}]
)
def test_another_entry_is_not_it(tmp_path: Path, change: dict[str, Any]) -> None:
    book = Ledger(tmp_path)
    book.add(ENTRY, FOUND)
    assert book.find({**ENTRY, **change}) is None


def test_other_versions_are_measured_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = Ledger(tmp_path)
    book.add(ENTRY, FOUND)
    monkeypatch.setattr(ledger, "versions", lambda: {"distillset": "9", "torch": "9"})
    assert book.find(ENTRY) is None


@pytest.mark.parametrize("content", ["", "{", "[]", "3", "{}", '{"accuracy": "high", "seconds": 1}', '{"accuracy": 1}'])
def test_a_damaged_file_counts_as_unknown(tmp_path: Path, content: str) -> None:
    book = Ledger(tmp_path)
    book.add(ENTRY, FOUND)
    (path,) = tmp_path.iterdir()
    path.write_text(content)
    assert book.find(ENTRY) is None
    book.add(ENTRY, FOUND)
    assert book.find(ENTRY) == FOUND


def test_memory_is_kept_where_it_was_measured(tmp_path: Path) -> None:
    book = Ledger(tmp_path)
    book.add(ENTRY, {**FOUND, "memory": 5e8})
    assert book.find(ENTRY) == {**FOUND, "memory": 5e8}


def test_a_ledger_that_keeps_nothing(tmp_path: Path) -> None:
    book = Ledger(None)
    book.add(ENTRY, FOUND)
    assert book.find(ENTRY) is None
    assert not list(tmp_path.iterdir())


def test_where_networks_are_kept_no_accuracy_is_known(tmp_path: Path) -> None:
    Ledger(tmp_path).add(ENTRY, FOUND)
    assert Ledger(tmp_path).find(ENTRY) == FOUND
    assert Ledger(tmp_path, tmp_path / "networks").find(ENTRY) is None
