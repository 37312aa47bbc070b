"""What is stored of the networks of an evaluation: a killed one is resumed, and artifacts share their baselines."""

import hashlib
import json
from os import PathLike
from pathlib import Path
from typing import Any

from distillset.arguments import path_of
from distillset.data.card import is_number
from distillset.data.synthetic import versions
from distillset.errors import InputError
from distillset.store import read_json, write_sealed


class Ledger:
    """Stores results of the networks that an evaluation trains.

    Args:
        folder: of their accuracies, so that nothing is trained twice: one small JSON file for each network, named by
            the hash of all that its accuracy depends on. None keeps none.
        save_networks: a folder for the networks themselves, one safetensors file each; all of them are then trained,
            also those whose accuracy is known. None keeps none.

    Raises:
        InputError: one of them is no path.
    """

    def __init__(self, folder: str | PathLike[str] | None, save_networks: str | PathLike[str] | None = None) -> None:
        self.folder = None if folder is None else path_of("ledger", folder)
        self.networks = None if save_networks is None else path_of("save_networks", save_networks)

    @classmethod
    def of(cls, ledger: Any) -> "Ledger":
        """``ledger`` as it is; a ledger of accuracies in this folder; or, for None, one that stores nothing.

        Raises:
            InputError: it is something else.
        """
        if isinstance(ledger, cls):
            return ledger
        if ledger is None or isinstance(ledger, str | PathLike):
            return cls(ledger)
        raise InputError("ledger", ledger, "must be a Ledger, the folder of one, or None")

    def find(self, entry: dict[str, Any]) -> dict[str, float] | None:
        """Accuracy (a fraction), seconds and, if it was measured, peak memory (bytes) of this training, if it is known.

        A damaged file counts as unknown, and so does one without its seal, one of another training, and one of numbers
        that no training can have.
        """
        path = self._path(entry)
        if path is None or self.networks or not path.is_file():
            return None
        try:
            record = read_json(path, sealed=True)
        except InputError:
            return None
        if any(record.get(name) != value for name, value in json.loads(json.dumps(entry)).items()):
            return None
        figures = {name: record[name] for name in ("accuracy", "seconds", "memory") if name in record}
        whole = {"accuracy", "seconds"} <= figures.keys() and all(is_number(value, 0) for value in figures.values())
        return {name: float(value) for name, value in figures.items()} if whole and figures["accuracy"] <= 1 else None

    def add(self, entry: dict[str, Any], figures: dict[str, float]) -> None:
        """Store the result of a training."""
        if path := self._path(entry):
            write_sealed(path, {**figures, **entry, "versions": versions()})

    def _path(self, entry: dict[str, Any]) -> Path | None:
        if self.folder is None:
            return None
        text = json.dumps({**entry, "versions": versions()}, sort_keys=True)
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"
