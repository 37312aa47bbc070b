"""The settings of a method, declared once each: validation, flags, help, documentation and contract tests follow.

>>> from distillset.methods import Method
>>> class Example(Method):
...     name = "example"
...     lr: float = setting(1.0, "learning rate of the images", above=0)
>>> [declared.line() for declared in settings_of(Example)]
['lr: learning rate of the images; must be a finite number above 0 (default 1.0)']
"""

import dataclasses
import math
import types
import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from distillset.arguments import number, truth, whole
from distillset.errors import InputError, nearest

KEY = "distillset.setting"
"""Under which the metadata of a dataclass field hold its declaration."""

AUTO = "auto"
"""What a command line says for None, and the value of a text that the method chooses for the data."""

KINDS: tuple[type, ...] = (bool, int, float, str)


def setting(
    default: Any,
    help: str,  # noqa: A002 (the word of argparse)
    *,
    above: float | None = None,
    least: float | None = None,
    below: float | None = None,
    most: float | None = None,
    choices: Sequence[str] = (),
    check: Callable[[Any], object] | None = None,
) -> Any:
    """Declare a setting of a method.

    ``lr: float = setting(1.0, "learning rate of the images", above=0)``.

    Its type is `int`, `float`, `str` or `bool`; with ``| None``, None means that `Method.resolve` chooses a value for
    the data, which users write as ``auto``. Numbers are finite.

    Args:
        default: its value where none is asked for.
        help: what it is, in a line for users.
        above, least: the number must be above, or at least.
        below, most: the number must be below, or at most.
        choices: the texts that are allowed.
        check: raises `InputError` for a value that is not allowed; it is not asked about None and ``auto``.
    """
    limits = {"above": above, "least": least, "below": below, "most": most}
    return field(default=default, metadata={KEY: Declared(help, **limits, choices=tuple(choices), check=check)})


@dataclass(frozen=True)
class Declared:
    """What `setting` says, before the class gives it a name and a type."""

    help: str
    above: float | None = None
    least: float | None = None
    below: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()
    check: Callable[[Any], object] | None = None


@dataclass(frozen=True)
class Setting:
    """A setting of a class of methods.

    Args:
        name: the field's.
        kind: `int`, `float`, `str` or `bool`.
        optional: whether it may be None, which is ``auto``.
        default: its default value.
        declared: the rest.
    """

    name: str
    kind: type
    optional: bool
    default: Any
    declared: Declared

    @property
    def auto(self) -> bool:
        """Whether the default is left to `Method.resolve`."""
        return self.unresolved(self.default)

    @property
    def hint(self) -> str:
        """Its type as in Python code."""
        return f"{self.kind.__name__} | None" if self.optional else self.kind.__name__

    def unresolved(self, value: Any) -> bool:
        """Whether ``value`` is one that `Method.resolve` has to replace."""
        return value is None or (self.kind is str and value == AUTO)

    @property
    def allowed(self) -> str:
        """The values that it may have, as the end of ``must be ...``; empty where its type says all."""
        declared = self.declared
        if declared.choices:
            return f"one of {', '.join(declared.choices)}"
        low = [] if declared.above is None else [f"above {declared.above:g}"]
        low += [] if declared.least is None else [f"at least {declared.least:g}"]
        high = [] if declared.below is None else [f"below {declared.below:g}"]
        high += [] if declared.most is None else [f"at most {declared.most:g}"]
        limits = " and ".join([*low, *high])
        if self.kind is float and not high:
            return f"a finite number {limits}".strip() if declared.least is None else f"a finite number, {limits}"
        return limits

    def value(self, value: Any) -> Any:
        """``value`` as a plain one of its type: whole numbers and numbers of NumPy, say, as Python's own.

        Raises:
            InputError: it is of another kind, or not allowed.
        """
        if value is None and self.optional:
            return None
        if self.kind is str:
            if not isinstance(value, str):
                raise InputError(self.name, value, "must be text")
        elif self.kind is bool:
            value = truth(self.name, value)
        else:
            value = whole(self.name, value) if self.kind is int else number(self.name, value)
            if not self._within(value):
                raise InputError(self.name, value, f"must be {self.allowed or 'a finite number'}")
        if self.declared.choices and value not in self.declared.choices:
            raise InputError(self.name, value, f"choose {self.allowed}")
        if self.declared.check is not None and not self.unresolved(value):
            try:
                self.declared.check(value)
            except InputError as error:
                raise InputError(self.name, value, error.allowed) from None
        return value

    def _within(self, value: float) -> bool:
        low, least, high, most = (self.declared.above, self.declared.least, self.declared.below, self.declared.most)
        return (
            (isinstance(value, int) or math.isfinite(value))  # the largest whole numbers are no floats
            and (low is None or value > low)
            and (least is None or value >= least)
            and (high is None or value < high)
            and (most is None or value <= most)
        )

    def read(self, text: str) -> Any:
        """The value that a command line says.

        Raises:
            ValueError: no text of its type.
        """
        if self.optional and text == AUTO:
            return None
        if self.kind is bool:
            if text.lower() not in ("true", "false"):
                raise ValueError(text)
            return text.lower() == "true"
        return self.kind(text)

    def line(self) -> str:
        """A line of documentation."""
        default = AUTO if self.default is None else repr(self.default) if self.default == "" else self.default
        limits = f"; must be {self.allowed}" if self.allowed else ""
        return f"{self.name}: {self.declared.help}{limits} (default {default})"

    def refused(self) -> Iterator[Any]:
        """Values that must be refused: just outside each limit, no number at all, and of another type."""
        declared = self.declared
        step = 1 if self.kind is int else 1e-3
        if self.kind is bool:
            yield from ("yes", 2, None)
            return
        if self.kind is str:
            yield from (3, 1.5, b"text", *(() if self.optional else (None,)))
            if declared.choices or declared.check is not None:
                yield "no such value"
            return
        yield from (edge for edge in (declared.above, declared.below) if edge is not None)
        yield from (declared.least - step,) if declared.least is not None else ()
        yield from (declared.most + step,) if declared.most is not None else ()
        yield from ("text", True, [1], *(() if self.optional else (None,)))
        yield from (1.5,) if self.kind is int else (math.nan, math.inf, -math.inf)


def settings_of(method: Any) -> tuple[Setting, ...]:
    """The settings of a method, or of a class of methods, in the order in which they are declared.

    Raises:
        InputError: a field without `setting`, or of a type that no flag can have.
    """
    kind = method if isinstance(method, type) else type(method)
    hints = typing.get_type_hints(kind)
    settings = []
    for one in dataclasses.fields(kind):
        declared = one.metadata.get(KEY)
        if declared is None:
            raise InputError.about(
                f"method {kind.__name__}",
                f"field {one.name} is not declared by setting(), as in {one.name}: float = setting(1.0, 'what it is')",
            )
        types_of = typing.get_args(hints[one.name]) if _is_union(hints[one.name]) else (hints[one.name],)
        plain = [option for option in types_of if option is not types.NoneType]
        if len(plain) != 1 or plain[0] not in KINDS:
            raise InputError.about(
                f"method {kind.__name__}",
                f"setting {one.name} is of type {hints[one.name]}; allowed are int, float, str and bool, each with "
                "| None where auto is allowed",
            )
        settings.append(Setting(one.name, plain[0], len(types_of) > 1, one.default, declared))
    return tuple(settings)


def _is_union(hint: Any) -> bool:
    return isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union


def read_setting(method: Any, text: str) -> tuple[str, Any]:
    """``batch_real=32`` as the name of a setting of ``method`` and a value of its type.

    Raises:
        InputError: no such setting, or no such value.
    """
    name, equals, value = text.partition("=")
    settings = {one.name: one for one in settings_of(method)}
    if not equals:
        raise InputError("changes", text, f"must be NAME=VALUE, such as {next(iter(settings), 'lr')}=1")
    if name not in settings:
        raise InputError(
            "changes",
            text,
            f"{method.name} has no setting {name}{nearest(name, settings)}; it has {', '.join(settings)}",
        )
    try:
        return name, settings[name].read(value)
    except ValueError:
        raise InputError("changes", text, f"{name} must be of type {settings[name].kind.__name__}") from None
