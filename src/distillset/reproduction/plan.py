"""Which rows are run, how, and in which order."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from distillset.coresets import SELECTORS
from distillset.errors import InputError
from distillset.evaluation import PROTOCOLS
from distillset.methods import METHODS
from distillset.presets import PRESETS, Preset, improvements, passes


@dataclass(frozen=True)
class Plan:
    """A row and how it is run.

    Args:
        preset: the row.
        steps: to run; fewer than published is told wherever the result is shown.
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
        """Fields that are not as published, such as ``lr 2.0``."""
        published = self.preset.settings
        return [f"{name} {value}" for name, value in self.settings.items() if published.get(name) != value]

    @property
    def passes(self) -> float:
        """What it costs, see `distillset.presets.passes`."""
        return passes(self.preset, self.steps, self.networks)


def available(preset: Preset) -> bool:
    """Whether this version has what the row is made with."""
    return (preset.method in METHODS or preset.method in SELECTORS) and preset.protocol in PROTOCOLS


def plan(preset: Preset, networks: int, steps: int | None = None, ours: bool = False, improved: bool = False) -> Plan:
    """A row as published; with other ``steps``, as this library recommends, or with its improvements."""
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
    return Plan(preset, count, networks, folder, settings)


def choose(
    rows: Sequence[str], networks: int, steps: int | None = None, ours: bool = False, improved: bool = False
) -> list[Plan]:
    """The plans of ``rows`` in their order; of all rows in order of value where none is named.

    In order of value come first the rows with a published number to be held against, then the others; within each the
    cheapest first, so that a budget gives the most rows that can be compared.

    Raises:
        InputError: a row that is not in the table, or that this version cannot run; networks or steps below 1.
    """
    for flag, value in (("--networks", networks), ("--steps", steps)):
        if value is not None and value < 1:
            raise InputError(f"{flag} {value}: must be at least 1")
    if rows:
        return [plan(_row(name), networks, steps, ours, improved) for name in dict.fromkeys(rows)]
    plans = [plan(preset, networks, steps, ours, improved) for preset in PRESETS.values() if available(preset)]
    return sorted(plans, key=lambda one: (one.preset.published is None, one.passes))


def _row(name: str) -> Preset:
    preset = PRESETS.get(name)
    if preset is None:
        near = difflib.get_close_matches(name, PRESETS, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise InputError(f"row {name}: not in the table{hint}; `distillset presets` lists its rows")
    if not available(preset):
        raise InputError(f"row {name}: this version has no method or protocol for it")
    return preset
