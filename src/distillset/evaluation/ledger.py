"""Accuracies that were measured once: a killed evaluation goes on, and artifacts share their baselines."""

import hashlib
import json
from pathlib import Path
from typing import Any

from distillset.data.card import is_number
from distillset.data.synthetic import versions
from distillset.errors import InputError
from distillset.store import read_json, write_sealed


class Ledger:
    """One small JSON file for each network trained, named by the hash of all that its accuracy depends on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, entry: dict[str, Any]) -> dict[str, float] | None:
        """Accuracy (a fraction), seconds and, if it was measured, peak memory (bytes) of this training, if it is known.

        A damaged file counts as unknown, and so does one without its seal, one of another training, and one of numbers
        that no training can have.
        """
        path = self._path(entry)
        if not path.is_file():
            return None
        try:
            record = read_json(path, sealed=True)
        except InputError:
            return None
        if any(record.get(name) != value for name, value in json.loads(json.dumps(entry)).items()):
            return None
        found = {name: record[name] for name in ("accuracy", "seconds", "memory") if name in record}
        whole = {"accuracy", "seconds"} <= found.keys() and all(is_number(value, 0) for value in found.values())
        return {name: float(value) for name, value in found.items()} if whole and found["accuracy"] <= 1 else None

    def add(self, entry: dict[str, Any], found: dict[str, float]) -> None:
        """Remember a training."""
        write_sealed(self._path(entry), {**found, **entry, "versions": versions()})

    def _path(self, entry: dict[str, Any]) -> Path:
        text = json.dumps({**entry, "versions": versions()}, sort_keys=True)
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"
