"""The fields of a method as text: what a flag is read with."""

import dataclasses
import types
import typing
from typing import Any

from distillset.arguments import number, whole
from distillset.errors import InputError, nearest, shown


def field_type(method: Any, name: str) -> Any:
    """The type that the text of a field is read with: the one that is not None."""
    kind = typing.get_type_hints(method if isinstance(method, type) else type(method))[name]
    if isinstance(kind, types.UnionType):
        kind = next(option for option in typing.get_args(kind) if option is not types.NoneType)
    return kind


def coerce(method: Any) -> None:
    """Bring the fields of a new method to their types: whole numbers and numbers of NumPy, say, to Python's own.

    Raises:
        InputError: a field is of another kind.
    """
    hints = typing.get_type_hints(type(method))
    for field in dataclasses.fields(method):
        value, flag = getattr(method, field.name), "--" + field.name.replace("_", "-")
        if value is None and types.NoneType in typing.get_args(hints[field.name]):
            continue
        kind = field_type(method, field.name)
        if kind is int:
            object.__setattr__(method, field.name, whole(flag, value))
        elif kind is float:
            object.__setattr__(method, field.name, number(flag, value))
        elif kind is str and not isinstance(value, str):
            raise InputError(f"{flag} {shown(value)}: must be text")


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
