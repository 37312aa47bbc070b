"""Curves, as the numbers that an SVG is drawn from: the template draws, the style sheet colours."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

BUCKETS = 240
"""Points a curve is drawn with; each is the mean of its bucket, in a band from the least to the most."""

WIDTH, HEIGHT = 640.0, 280.0
LEFT, RIGHT, TOP, BOTTOM = 62.0, 14.0, 14.0, 40.0

Points = Sequence[tuple[int, float]]


@dataclass(frozen=True)
class Line:
    """A drawn curve.

    Args:
        run: index of its run, which chooses its colour.
        label: the run's name.
        path: of the means, as SVG path data.
        band: around them, as SVG path data; empty where nothing was averaged.
        points: (step, value, x, y) of the means, for reading off.
        dots: whether the points are few enough to be drawn.
    """

    run: int
    label: str
    path: str
    band: str
    points: tuple[tuple[int, float, float, float], ...]
    dots: bool


@dataclass(frozen=True)
class Tick:
    """A place on an axis, in SVG units, and what is written there."""

    at: float
    text: str


@dataclass(frozen=True)
class Reference:
    """A horizontal line: an accuracy to compare with."""

    run: int
    y: float
    text: str


@dataclass(frozen=True)
class Chart:
    """Everything the template draws."""

    key: str
    title: str
    summary: str
    percent: bool
    log: bool
    lines: tuple[Line, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    references: tuple[Reference, ...]

    def numbers(self) -> dict[str, Any]:
        """What the page's script reads off."""
        points = [{"run": line.run, "label": line.label, "points": line.points} for line in self.lines]
        return {"key": self.key, "percent": self.percent, "lines": points}


@dataclass(frozen=True)
class Scale:
    """From values to SVG units, on a linear or a logarithmic axis."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, value = ((math.log10(v) for v in (self.low, self.high, value)) if self.log
                            else (self.low, self.high, value))  # fmt: skip
        return self.start + (self.end - self.start) * (value - low) / (high - low)


def chart(
    key: str,
    title: str,
    curves: Sequence[tuple[int, str, Points]],
    references: Sequence[tuple[int, str, float]] = (),
    *,
    percent: bool = False,
) -> Chart | None:
    """Curves over steps; None where there is nothing to draw.

    Args:
        key: names it in the page.
        title: above it.
        curves: (index of the run, its name, points).
        references: (index of the run, what it is, value).
        percent: whether the values are fractions, to be shown in percent.
    """
    curves = [curve for curve in curves if curve[2]]
    if not curves:
        return None
    binned = [(run, label, buckets(points)) for run, label, points in curves]
    values = [value for _, _, line in binned for bucket in line for value in bucket[2:]]
    values += [value for _, _, value in references]
    steps = [step for _, _, line in binned for step, *_ in line]
    low, high = min(values), max(values)
    log = not percent and low > 0 and high / low > 20
    x = Scale(min(0, *steps), max(1, *steps), LEFT, WIDTH - RIGHT)
    y = Scale(*_widen(low, high, log, percent), HEIGHT - BOTTOM, TOP, log)
    lines = tuple(_line(run, label, line, x, y) for run, label, line in binned)
    summary = [f"{label}: {_text(p[0][1], percent)} at step {p[0][0]}, {_text(p[-1][1], percent)} at step {p[-1][0]}"
            for _, label, p in curves]  # fmt: skip
    y_ticks = _powers(y.low, y.high) if log else ticks(y.low, y.high, 5)
    return Chart(
        key=key,
        title=title,
        summary="; ".join(summary),
        percent=percent,
        log=log,
        lines=lines,
        x_ticks=tuple(Tick(x(t), f"{t:,.0f}") for t in ticks(x.low, x.high, 6) if t == round(t)),
        y_ticks=tuple(Tick(y(t), _text(t, percent)) for t in y_ticks),
        references=tuple(Reference(run, y(v), f"{what} {_text(v, percent)}") for run, what, v in references),
    )


def buckets(points: Points) -> list[tuple[int, float, float, float]]:
    """(last step, mean, least, most) of at most `BUCKETS` runs of points of nearly equal length."""
    count = min(BUCKETS, len(points))
    edges = [round(i * len(points) / count) for i in range(count + 1)]
    averaged = []
    for start, stop in itertools.pairwise(edges):
        values = [value for _, value in points[start:stop]]
        averaged.append((points[stop - 1][0], math.fsum(values) / len(values), min(values), max(values)))
    return averaged


def ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers from ``low`` to ``high``, 1, 2 or 5 times a power of ten apart, nearly ``about`` of them.

    >>> ticks(0, 1500, 6)
    [0, 200, 400, 600, 800, 1000, 1200, 1400]
    """
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = min((power * factor for factor in (1, 2, 5, 10)), key=lambda s: abs(math.log(s / rough)))
    digits = max(0, -math.floor(math.log10(step)))
    first = math.ceil(low / step - 1e-9)
    values = [round(i * step, digits) for i in range(first, math.floor(high / step + 1e-9) + 1)]
    return [int(value) if value == int(value) else value for value in values]


def _powers(low: float, high: float) -> list[float]:
    """Ticks of a logarithmic axis: 1, 2, 5 times powers of ten, or the powers alone where those are many."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if len(exponents) < 4 else (1,)
    return [f * 10.0**e for e in exponents for f in factors if low <= f * 10.0**e <= high]


def _widen(low: float, high: float, log: bool, percent: bool) -> tuple[float, float]:
    """Some air above and below; an axis of no length gets one. Accuracies stay between 0 and 1."""
    if log:
        return low / 1.15, high * 1.15
    air = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    low, high = (low - air if low < 0 or percent else max(0.0, low - air)), high + air
    return (max(0.0, low), min(1.0, high)) if percent else (low, high)


def _line(run: int, label: str, line: list[tuple[int, float, float, float]], x: Scale, y: Scale) -> Line:
    points = tuple((step, mean, round(x(step), 1), round(y(mean), 1)) for step, mean, _, _ in line)
    over = [(px, round(y(most), 1)) for (_, _, px, _), (_, _, _, most) in zip(points, line, strict=True)]
    under = [(px, round(y(least), 1)) for (_, _, px, _), (_, _, least, _) in zip(points, line, strict=True)]
    averaged = any(least < most for _, _, least, most in line)
    band = _path([*over, *reversed(under)]) + "Z" if averaged else ""
    return Line(run, label, _path([(px, py) for _, _, px, py in points]), band, points, len(points) <= 40)


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points)


def _text(value: float, percent: bool) -> str:
    return f"{100 * value:.3g}%" if percent else f"{value:.4g}"
