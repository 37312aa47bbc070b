"""The card of an artifact as a stranger may have written it: one schema, checked whenever a card is read or written."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from distillset.data.spec import Spec
from distillset.errors import InputError, reason, shown

SCHEMA = 1
LARGEST = 2**53
"""No count is larger: up to here every whole number is one in any reader of JSON."""

Kind = tuple[Callable[[Any], bool], str]
"""Whether a value may stand in a field, and what may, in words."""


def is_whole(value: Any, least: int = 0) -> bool:
    """Whether ``value`` is a whole number, no truth value, of at least ``least``."""
    return type(value) is int and least <= value <= LARGEST


def is_number(value: Any, least: float = -float("inf")) -> bool:
    """Whether ``value`` is a finite number, no truth value, of at least ``least``."""
    if type(value) not in (int, float):
        return False
    try:
        return least <= value and abs(float(value)) < float("inf")
    except OverflowError:
        return False


def _all(kind: type, value: Any) -> bool:
    return isinstance(value, list) and all(type(part) is kind for part in value)


TEXT: Kind = (lambda value: isinstance(value, str), "text")
OBJECT: Kind = (lambda value: isinstance(value, dict), "a JSON object")
COUNT: Kind = (is_whole, "a whole number, 0 or more")
POSITIVE: Kind = (lambda value: is_whole(value, 1), "a whole number above 0")
SECONDS: Kind = (lambda value: is_number(value, 0), "a finite number, 0 or more")
TRUTH: Kind = (lambda value: isinstance(value, bool), "true or false")

FIELDS: dict[str, Kind] = {
    "schema": POSITIVE,
    "images": (
        lambda value: isinstance(value, list) and len(value) == 4 and all(is_whole(side, 1) for side in value),
        "four whole numbers above 0: images, channels, height, width",
    ),
    "ipc": POSITIVE,
    "spec": OBJECT,
    "whiten": (lambda value: value in ("none", "zca"), "none or zca"),
    "fingerprint": TEXT,
    "canvas": POSITIVE,
    "formation": POSITIVE,
    "learned": (
        lambda value: isinstance(value, dict) and all(_all(int, shape) for shape in value.values()),
        "a JSON object of shapes",
    ),
    "versions": (
        lambda value: isinstance(value, dict) and all(isinstance(part, str) for part in value.values()),
        "a JSON object of text",
    ),
    "created": TEXT,
    "method": TEXT,
    "settings": OBJECT,
    "steps": COUNT,
    "rates": (
        lambda value: isinstance(value, dict) and all(map(is_number, value.values())),
        "a JSON object of finite numbers",
    ),
    "hardware": OBJECT,
}
REQUIRED = ("schema", "spec", "images", "ipc", "whiten", "fingerprint")

DATA: dict[str, Kind] = {
    "source": TEXT,
    "fingerprint": TEXT,
    "images": COUNT,
    "test": TEXT,
    "classes": (lambda value: _all(str, value), "a list of text"),
    "class_indices": (lambda value: _all(int, value), "a list of whole numbers"),
    "resize": (
        lambda value: isinstance(value, list) and len(value) == 2 and all(is_whole(side, 1) for side in value),
        "two whole numbers, height and width",
    ),
    "resize_method": TEXT,
    "crop": TRUTH,
    "channels": COUNT,
}
REAL: dict[str, Kind] = {
    "rows": (
        lambda value: isinstance(value, list) and all(map(is_whole, value)),
        "a list of whole numbers, 0 or more",
    ),
    "files": (lambda value: _all(str, value), "a list of text"),
}
METRICS: dict[str, Kind] = {
    "loss": (is_number, "a finite number"),
    "seconds": SECONDS,
    "expert_seconds": SECONDS,
    "memory": COUNT,
    "skipped": COUNT,
}
NESTED = {"data": DATA, "metrics": METRICS, "real": REAL}
"""Objects of a card whose fields have kinds as well. Null counts as missing; fields not named here may be anything."""


def check_card(card: Any, where: object) -> dict[str, Any]:
    """A card whose fields are all of their kinds.

    Args:
        card: what was read, or is to be written.
        where: names the file in messages.

    Raises:
        InputError: a field is missing or of another kind, or a value that no file of JSON can hold.
    """
    if not isinstance(card, dict):
        raise InputError.about(where, "field schema is missing; expected a card made by distillset")
    for name in REQUIRED:
        if card.get(name) is None:
            raise InputError.about(where, f"field {name} is missing; expected a card made by distillset")
    check_fields(card, FIELDS, where)
    if card["schema"] > SCHEMA:
        raise InputError.about(where, f"schema {card['schema']} is newer than this version reads ({SCHEMA})")
    for name, fields in NESTED.items():
        inner = card.get(name)
        if inner is not None and not isinstance(inner, dict):
            raise InputError.about(where, f"{name} of the card is {shown(inner)}; it must be a JSON object")
        check_fields(inner or {}, fields, where, f"{name}.")
    check_plain(card, where)
    spec = Spec.from_json(card["spec"])
    chosen = (card.get("data") or {}).get("classes")
    if chosen is not None and chosen != list(spec.class_names):
        raise InputError.about(
            where, f"data.classes {shown(chosen)} are not the spec's {shown(list(spec.class_names))}"
        )
    return card


def check_plain(value: Any, where: object) -> None:
    """Whether ``value`` can stand in a file of JSON.

    Raises:
        InputError: it holds NaN or infinity, text that is not UTF-8, or something that is not JSON at all.
    """
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError.about(where, f"{reason(error)}; allowed are plain JSON values") from None


def check_fields(record: Mapping[str, Any], fields: Mapping[str, Kind], where: object, inside: str = "") -> None:
    """Whether the fields of a record that are there, and not null, are of their kinds.

    Args:
        record: the record.
        fields: their kinds.
        where: names the file in messages.
        inside: goes before the names of fields in messages.

    Raises:
        InputError: names the first that is not.
    """
    for name, (fits, allowed) in fields.items():
        if record.get(name) is not None and not fits(record[name]):
            raise InputError.about(where, f"{inside}{name} is {shown(record[name])}; it must be {allowed}")
