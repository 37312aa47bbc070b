"""Rows of an evaluation, stored with an artifact: each belongs to the set that it measured."""

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from distillset.data.card import COUNT, OBJECT, POSITIVE, SECONDS, TEXT, Kind, is_number
from distillset.errors import InputError, shown
from distillset.store import read_json

ACCURACY = "accuracy.json"
"""In an artifact's folder: what an evaluation measured of it."""

CLOSE = 1e-6


def _fraction(value: Any) -> bool:
    return is_number(value, 0) and value <= 1


FRACTION: Kind = (_fraction, "a fraction between 0 and 1")
FIELDS: dict[str, Kind] = {
    "artifact": TEXT,
    "network": TEXT,
    "protocol": TEXT,
    "mean": FRACTION,
    "std": FRACTION,
    "n": POSITIVE,
}
"""What a row has to have."""

MORE: dict[str, Kind] = {
    "fingerprint": TEXT,
    "labels": TEXT,
    "sets": COUNT,
    "networks": COUNT,
    "accuracies": (
        lambda value: isinstance(value, list) and all(map(_fraction, value)),
        "a list of fractions between 0 and 1",
    ),
    "seconds": SECONDS,
    "memory": COUNT,
    "bytes": COUNT,
    "recipe": OBJECT,
    "compute": OBJECT,
    "hardware": OBJECT,
    "chosen": TEXT,
    "step": COUNT,
    "diverged": COUNT,
}
"""What it may have as well; null counts as missing."""


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file, checked: kinds, ranges, and that mean and deviation are those of the accuracies.

    Raises:
        InputError: it is not a list of rows; the message names the row and the field.
    """
    return check_rows(read_json(path), path)


def check_rows(rows: Any, path: object) -> list[dict[str, Any]]:
    """`read_rows` for what was read already; ``path`` names its file.

    Raises:
        InputError: see `read_rows`.
    """
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError.about(path, "not a list of the rows of an evaluation, as JSON")
    for number, row in enumerate(rows, 1):
        for field, (fits, allowed) in (FIELDS | MORE).items():
            missing = row.get(field) is None and field in MORE
            if not missing and not fits(row.get(field)):
                fault = f"row {number}: field {field} is {shown(row.get(field))}"
                raise InputError.about(path, f"{fault}; it must be {allowed}")
        if (accuracies := row.get("accuracies")) is not None:
            _check_numbers(f"{path}: row {number}", row, accuracies)
    return rows


def _check_numbers(where: str, row: dict[str, Any], accuracies: Sequence[float]) -> None:
    true: dict[str, Callable[[], float]] = {
        "n": lambda: len(accuracies),
        "mean": lambda: statistics.fmean(accuracies),
        "std": lambda: statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0,
    }
    for field, compute in true.items():
        if abs(row[field] - (value := compute())) > CLOSE:
            raise InputError.about(where, f"field {field} is {row[field]}; its accuracies have {value:.6g}")


def stale(rows: Sequence[dict[str, Any]], fingerprint: str) -> str | None:
    """What to say of rows that measured another set than the one of ``fingerprint``; None where there are none."""
    others = [row for row in rows if row.get("fingerprint") != fingerprint]
    if not others:
        return None
    first = others[0].get("fingerprint")
    of = f"another set (fingerprint {first[:12]})" if first else "a set that they do not name"
    return f"{len(others)} of {len(rows)} rows measured {of}; evaluate this one again"
