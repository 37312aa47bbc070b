"""Which rows are run, how, and in which order."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from distillset.coresets import SELECTORS
from distillset.errors import InputError, nearest
from distillset.evaluation import PROTOCOLS
from distillset.methods import METHODS, read_setting, settings_of
from distillset.presets import Preset, improvements
from distillset.reproduction.cost import passes
from distillset.reproduction.known import known_presets


@dataclass(frozen=True)
class Plan:
    """A row and how it is run.

    Args:
        preset: the row.
        steps: to run; if they are fewer than published, the result shows it.
        settings: fields of the method.
        networks: to evaluate with.
        folder: of its run, shared by plans that differ in steps alone: a run can be given more steps.
    """

    preset: Preset
    steps: int
    networks: int
    folder: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of its result: the row's, with ``-600-steps`` where those are not the published ones."""
        steps = "" if self.steps == self.preset.steps else f"-{self.steps}-steps"
        return self.folder.removesuffix(steps) + steps

    @property
    def departures(self) -> list[str]:
        """Fields that are not as published, such as ``lr 2.0``; the objective is not among them."""
        return [f"{name} {value}" for name, value in _changed(self.preset, self.settings).items() if name != "match"]

    @property
    def passes(self) -> float:
        """What it costs, see `distillset.reproduction.cost`."""
        return passes(replace(self.preset, settings=self.settings), self.steps, self.networks)


def available(preset: Preset) -> bool:
    """Whether this version has what the row is made with."""
    return (preset.method in METHODS or preset.method in SELECTORS) and preset.protocol in PROTOCOLS


def plan(
    preset: Preset,
    networks: int,
    steps: int | None = None,
    ours: bool = False,
    improved: bool = False,
    changes: Sequence[str] = (),
) -> Plan:
    """A row as published; with other ``steps``, as this library recommends, with its improvements, or with settings
    ``changes``.
    """
    if preset.method not in METHODS:
        return Plan(preset, 0, networks, preset.name)
    settings, folder, count = dict(preset.settings), preset.name, preset.steps
    if ours and preset.ours is not None:
        count = preset.ours.steps
        if preset.ours.settings:
            settings, folder = settings | dict(preset.ours.settings), f"{folder}-ours"
    count = count if steps is None else steps
    if improved and (more := improvements(preset, count)):
        # They depend on the number of steps: a run of another length is another run.
        settings, folder = settings | more, f"{folder}-improved-{count}-steps"
    method = METHODS[preset.method]
    if changed := _changed(replace(preset, settings=settings), dict(read_setting(method, text) for text in changes)):
        method(**settings | changed)  # what it refuses is said before the first row runs
        suffix = "".join(f"-{name}-{value}" for name, value in sorted(changed.items()))
        settings, folder = settings | changed, folder + re.sub(r"[^\w.+-]", "_", suffix)
    return Plan(preset, count, networks, folder, settings)


def _changed(preset: Preset, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of ``settings`` that a row does not have, by what is published or by default."""
    if preset.method not in METHODS:
        return {}
    defaults = {one.name: one.default for one in settings_of(METHODS[preset.method])}
    before = {**defaults, **preset.settings}
    return {name: value for name, value in settings.items() if before[name] != value}


def choose(
    rows: Sequence[str],
    networks: int,
    steps: int | None = None,
    ours: bool = False,
    improved: bool = False,
    changes: Sequence[str] = (),
) -> list[Plan]:
    """The plans of ``rows`` in their order; of all rows in order of value where none is named.

    In order of value come first the rows with a published number to be held against, then the others; within each the
    cheapest first, so that a budget gives the most rows that can be compared.

    Args:
        rows: names of the table.
        networks: to evaluate a row with.
        steps: in place of the published ones.
        ours: as this library recommends, where it does.
        improved: with this library's improvements, where it has any.
        changes: settings such as ``batch_real=32`` in place of all others; they take rows to be named.

    Raises:
        InputError: a row that is not in the table, or that this version cannot run; networks or steps below 1; a
            setting that a row does not have, or a value that it cannot have.
    """
    for name, value in (("networks", networks), ("steps", steps)):
        if value is not None and value < 1:
            raise InputError(name, value, "must be at least 1")
    if rows:
        presets = [_row(name) for name in dict.fromkeys(rows)]
        if changes and (selections := [one.name for one in presets if one.method not in METHODS]):
            raise InputError("changes", changes[0], f"row {selections[0]} is a selection, which has no settings")
        return [plan(preset, networks, steps, ours, improved, changes) for preset in presets]
    if changes:
        raise InputError("changes", changes[0], "name the rows that it is for")
    plans = [plan(preset, networks, steps, ours, improved) for preset in known_presets().values() if available(preset)]
    return sorted(plans, key=lambda one: (one.preset.published is None, one.passes))


def _row(name: str) -> Preset:
    presets = known_presets()
    preset = presets.get(name)
    if preset is None:
        raise InputError.about(f"row {name}", f"not in the table of presets{nearest(name, presets)}")
    if not available(preset):
        raise InputError.about(f"row {name}", "this version has no method or protocol for it")
    return preset
