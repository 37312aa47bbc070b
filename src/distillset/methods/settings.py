"""The fields of a method as text: what a flag is read with."""

import dataclasses
import types
import typing
from typing import Any

from distillset.errors import InputError, nearest


def field_type(method: Any, name: str) -> Any:
    """The type that the text of a field is read with: the one that is not None."""
    kind = typing.get_type_hints(method)[name]
    if isinstance(kind, types.UnionType):
        kind = next(option for option in typing.get_args(kind) if option is not types.NoneType)
    return kind


def read_setting(method: Any, text: str) -> tuple[str, Any]:
    """``batch_real=32`` as the name of a field of ``method`` and a value of its type.

    Raises:
        InputError: no such field, or no such value.
    """
    name, equals, value = text.partition("=")
    names = [field.name for field in dataclasses.fields(method)]
    if not equals:
        raise InputError(f"--set {text}: must be NAME=VALUE, such as {names[0]}=1")
    if name not in names:
        raise InputError(
            f"--set {text}: {method.name} has no setting {name}{nearest(name, names)}; it has {', '.join(names)}"
        )
    kind = field_type(method, name)
    try:
        return name, kind(value)
    except ValueError:
        raise InputError(f"--set {text}: {name} must be of type {kind.__name__}") from None
