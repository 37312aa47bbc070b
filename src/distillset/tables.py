"""Tables that other packages can extend: name to row, with the library's rows and those of installed packages.

A package adds a row by an entry point in its ``pyproject.toml``, and nothing of this library changes::

    [project.entry-points."distillset.selectors"]
    outermost = "my_package.selectors:OUTERMOST"

The names of such rows are read from the metadata of installed packages, without importing these; a row is imported when
it is asked for. What a package gets wrong costs its own row only.
"""

import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import EntryPoint, EntryPoints, distributions, entry_points
from typing import Any, Generic, TypeVar, cast

from distillset.errors import InputError, nearest, reason, shown

Row = TypeVar("Row")

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""Names that a package may give: none that is a path, or would be taken for a flag or a module."""

Check = Callable[[str, Any], str | None]
"""(name, row) to what is wrong with the row of a package, as the end of a sentence; None where nothing is."""


class PluginWarning(UserWarning):
    """A row of another package is left out; the message names the package, its entry point and the reason."""


def instance_of(kind: type) -> Check:
    """The check for tables whose rows are objects of ``kind``."""
    return lambda name, row: None if isinstance(row, kind) else f"needed is an object of {kind.__name__}"


def subclass_of(kind: type) -> Check:
    """The check for tables whose rows are classes derived from ``kind``."""
    return lambda name, row: (
        None if isinstance(row, type) and issubclass(row, kind) else f"needed is a class derived from {kind.__name__}"
    )


class PluginTable(Mapping[str, Row], Generic[Row]):
    """A read-only mapping of name to row: the rows that stand here, then those of other packages by name.

    Args:
        noun: what a row is called in messages, such as ``selector``.
        group: of the entry points, such as ``distillset.selectors``.
        built_in: the library's own rows.
        check: what a row of another package has to be: `instance_of`, `subclass_of`, or a function of its own.

    >>> table = PluginTable("colour", "distillset.doctest", {"dark-red": 1, "blue": 2}, instance_of(int))
    >>> table["blue"], list(table), table.resolve("Dark_Red")
    (2, ['dark-red', 'blue'], 'dark-red')
    """

    def __init__(self, noun: str, group: str, built_in: Mapping[str, Row], check: Check) -> None:
        self.noun, self.group, self.check = noun, group, check
        self.built_in = dict(built_in)
        self._rows: dict[EntryPoint, Row] = {}
        self._said: set[str] = set()
        self._listed: tuple[tuple[str, ...], dict[str, list[EntryPoint]]] = ((), {})

    def __iter__(self) -> Iterator[str]:
        return iter([*self.built_in, *self._plugins()])

    def __len__(self) -> int:
        return len(self.built_in) + len(self._plugins())

    def __contains__(self, name: object) -> bool:
        return name in self.built_in or name in self._plugins()

    def __getitem__(self, name: str) -> Row:
        """The row, imported if another package has it.

        Raises:
            KeyError: no such name; `resolve` says so in a line for users.
            InputError: the row of another package cannot be imported or is of the wrong kind, or two packages have it.
        """
        if name in self.built_in:
            return self.built_in[name]
        points = self._plugins()[name]
        if len(points) > 1:
            raise InputError.about(
                f"{self.noun} {name!r}",
                f"several packages have one: {', '.join(map(_described, points))}; uninstall all but one",
            )
        if points[0] not in self._rows:
            self._rows[points[0]] = self._load(name, points[0])
        return self._rows[points[0]]

    def resolve(self, name: object, also: Sequence[str] = ()) -> str:
        """The table's spelling of a name, whatever its capitals, dashes and underscores.

        Args:
            name: as a user wrote it.
            also: what else may stand in its place, for the message.

        Raises:
            InputError: no row has this name.
        """
        if isinstance(name, str):
            for known in self:
                if _plain(known) == _plain(name):
                    return known
        near = nearest(name.lower(), self) if isinstance(name, str) else ""
        raise InputError(self.noun, name, f"choose one of {', '.join([*also, *self])}{near}")

    def loaded(self) -> dict[str, Row]:
        """Every row that can be imported; of each of the others a `PluginWarning`."""
        return {name: row for name in self if (row := self.usable(name)) is not None}

    def usable(self, name: str) -> Row | None:
        """The row of a name; None, and a `PluginWarning`, where it cannot be imported or is of the wrong kind."""
        try:
            return self[name]
        except InputError as error:
            self._say(str(error))
            return None

    def fault(self, name: str) -> str | None:
        """Why the row of this name cannot be used, in a line; None where it can."""
        try:
            self[name]
        except InputError as error:
            return str(error)
        return None

    def complain(self, name: str, why: str) -> None:
        """Say once, in a `PluginWarning`, what is wrong with a row of another package."""
        self._say(f"{self.noun} {name!r} of {_described(self._plugins()[name][0])} {why}")

    def package(self, name: str) -> str | None:
        """The package that a row comes from, with its version; None for the library's own rows."""
        if name in self.built_in:
            return None
        return _package(self._plugins()[name][0])

    def _plugins(self) -> dict[str, list[EntryPoint]]:
        """Name to its entry points, of which there should be one; without those whose name the library has."""
        path = tuple(sys.path)
        if self._listed[0] != path:
            faults = []
            rows: dict[str, list[EntryPoint]] = {}
            ours = {_plain(name) for name in self.built_in}
            for point in _entry_points(self.group, path):
                if _plain(point.name) in ours:
                    faults.append((point, "distillset has one of this name; another name is needed"))
                elif not NAME.fullmatch(point.name):
                    faults.append((point, "a name has letters, digits, dots, dashes and underscores"))
                else:
                    rows.setdefault(point.name, []).append(point)
            self._listed = path, dict(sorted(rows.items()))
            for point, why in faults:
                self._say(f"{self.noun} {point.name!r} of {_described(point)} is left out: {why}")
        return self._listed[1]

    def _load(self, name: str, point: EntryPoint) -> Row:
        try:
            row = point.load()
        except (Exception, SystemExit) as error:  # whatever the package's code raises
            why = f"{type(error).__name__}: {reason(error)}"
            raise InputError.about(
                f"{self.noun} {name!r} of {_described(point)}", f"cannot be loaded; {why}"
            ) from error
        if (wrong := self.check(name, row)) is not None:
            raise InputError.about(f"{self.noun} {name!r} of {_described(point)}", f"is {shown(row)}; {wrong}")
        return cast(Row, row)

    def _say(self, line: str) -> None:
        if line not in self._said:  # once per process
            self._said.add(line)
            warnings.warn(line, PluginWarning, stacklevel=3)


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")


def _described(point: EntryPoint) -> str:
    return f"package {_package(point)} (entry point {point.name} = {point.value})"


def _package(point: EntryPoint) -> str:
    try:
        return "?" if point.dist is None else f"{point.dist.name} {point.dist.version}"
    except Exception:  # metadata that cannot be read
        return "?"


def _entry_points(group: str, path: tuple[str, ...]) -> list[EntryPoint]:
    """The entry points of a group in the packages that are installed on ``path``, which is `sys.path`."""
    points = _installed(path)(group=group)
    return list({(point.name, point.value): point for point in reversed(list(points))}.values())


@cache
def _installed(path: tuple[str, ...]) -> Callable[..., Iterable[EntryPoint]]:
    """What selects among all entry points on ``path``; they are read once, for all tables."""
    try:
        return entry_points().select
    except Exception:  # the metadata of one package, which may be any, cannot be read
        return EntryPoints(_readable()).select


def _readable() -> list[EntryPoint]:
    """The entry points of all packages whose metadata can be read."""
    points: list[EntryPoint] = []
    for package in distributions():
        with suppress(Exception):  # whatever a malformed file makes the parser raise
            points += package.entry_points
    return points
