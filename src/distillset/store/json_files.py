"""JSON files: strict, and sealed with a checksum where they are to be trusted."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from distillset.errors import InputError
from distillset.store.files import write_text

SEAL = "seal"
"""A field of a JSON file: the SHA-256 of the others."""

DEEPEST = 64
"""Levels of lists and objects in a JSON file; the library itself writes ten at most."""

MOST_DIGITS = 300
"""Of a whole number in a JSON file: so many have a float near them."""

LARGEST_JSON = 2**28


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON atomically. NaN and infinity are refused (they are not JSON)."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_sealed(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object with a checksum of all its fields, which `read_json` verifies."""
    write_json(path, {**value, SEAL: _seal_of(value)})


def read_json(path: Path, sealed: bool = False) -> Any:
    """Read a JSON file. If it is sealed the seal is verified and left out.

    Args:
        path: the file.
        sealed: whether a file without a seal is refused; else it is taken as it is.

    Raises:
        InputError: the file is missing, unreadable, not JSON (see `parse`), or was changed after it was sealed.
    """
    try:
        if path.exists() and not path.is_file():
            raise InputError.about(path, "not readable as JSON (it is not a regular file)")
        if (size := path.stat().st_size) > LARGEST_JSON:
            raise InputError.about(path, f"{size:,} bytes; at most {LARGEST_JSON:,} of JSON are read")
        value = parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError.about(path, "no such file") from None
    except InputError:
        raise
    except (OSError, ValueError) as error:  # not UTF-8, not JSON
        raise InputError.about(path, f"not readable as JSON ({error})") from None
    if sealed and not (isinstance(value, dict) and SEAL in value):
        raise InputError.about(
            path, f"its field {SEAL} is missing; the file was not written by distillset, or was changed"
        )
    if isinstance(value, dict) and SEAL in value:
        seal = value.pop(SEAL)
        if seal != _seal_of(value):
            raise InputError.about(
                path,
                "its checksum does not match; the file is damaged or was changed "
                f"(without its field {SEAL} it is taken as it is)",
            )
    return value


def parse(text: str | bytes) -> Any:
    """JSON, strictly: every value can be written again, as JSON and as text.

    Raises:
        ValueError: it is not JSON, holds NaN, infinity or a number of a size that no float has, text that is not UTF-8
            (half a surrogate pair), or is nested deeper than `DEEPEST`.
    """
    try:
        value = json.loads(text, parse_constant=_no_number, parse_float=_finite, parse_int=_whole)
    except RecursionError:
        raise ValueError(f"nested deeper than {DEEPEST} levels") from None
    level = [value]
    for _ in range(DEEPEST):
        level = [part for outer in level for part in _parts(outer)]
        if not level:
            return value
    raise ValueError(f"nested deeper than {DEEPEST} levels")


def _parts(outer: Any) -> Iterable[Any]:
    """What a list or an object holds; text is checked on the way."""
    if isinstance(outer, str):
        outer.encode()
    if isinstance(outer, dict):
        for name in outer:
            name.encode()
        return list(outer.values())
    return outer if isinstance(outer, list) else ()


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def _finite(text: str) -> float:
    if (number := float(text)) in (float("inf"), -float("inf")):
        raise ValueError(f"{text[:40]} is larger than any number")
    return number


def _whole(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def _seal_of(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
