"""Plots of studies, drawn without a display. Only here is matplotlib known."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from distillset.errors import InputError
from distillset.evaluation import Row
from distillset.store import write_atomically
from distillset.watch import Watcher

FORMATS = ("png", "svg", "pdf")


def check_plot(plot: Path) -> None:
    """Whether a plot can be written there, before anything is computed for it.

    Raises:
        InputError: another kind of file, or matplotlib is missing.
    """
    if plot.suffix.removeprefix(".") not in FORMATS:
        raise InputError("plot", plot, f"choose a file that ends in {', '.join('.' + name for name in FORMATS)}")
    _figure(1, 1)


def plot_rows(rows: Sequence[Row], plot: Path) -> None:
    """Every accuracy as a dot, with mean and deviation next to it, in one panel per network.

    Raises:
        InputError: as `check_plot`.
    """
    check_plot(plot)
    networks = list(dict.fromkeys(row.network for row in rows))
    across = min(3, len(networks))
    down = math.ceil(len(networks) / across)
    names = list(dict.fromkeys(row.artifact for row in rows))
    figure = _figure(4.5 * across, down * (1.2 + 0.4 * len(names)))
    for panel, network in enumerate(networks):
        axes = figure.add_subplot(down, across, panel + 1)
        for row in (row for row in rows if row.network == network):
            y = names.index(row.artifact)
            axes.plot([100 * value for value in row.accuracies], [y + 0.15] * row.n, ".", color="0.65", markersize=4)
            axes.errorbar(100 * row.mean, y - 0.1, xerr=100 * row.std, fmt="o", color="black", capsize=3)
        axes.set_yticks(range(len(names)), names if panel % across == 0 else [""] * len(names))
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlabel("test accuracy %")
        axes.set_title(network)
    kind = plot.suffix.removeprefix(".")
    write_atomically(plot, lambda temporary: figure.savefig(temporary, format=kind, bbox_inches="tight"))


def curves(
    path: Path,
    lines: Mapping[str, Sequence[tuple[float, float, float]]],
    title: str,
    across: str,
    up: str,
    watcher: Watcher,
) -> None:
    """Lines with bars of one standard deviation.

    Args:
        path: of the PNG file.
        lines: name to points (x, mean, std).
        title: above the axes.
        across: what x is.
        up: what the mean is.
        watcher: hears why there is no picture.
    """
    figure = _optional(6.4, 4.2, watcher)
    if figure is None:
        return
    axes = figure.subplots()
    for name, points in lines.items():
        x, mean, std = zip(*points, strict=True)
        axes.errorbar(x, mean, yerr=std, label=name, marker="o", capsize=3)
    axes.set(title=title, xlabel=across, ylabel=up)
    axes.grid(alpha=0.3)
    axes.legend()
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png", dpi=150, bbox_inches="tight"))


def scatter(
    path: Path,
    panels: Mapping[str, Sequence[tuple[float, float]]],
    across: str,
    up: str,
    watcher: Watcher,
) -> None:
    """Points (x, y), one panel each; arguments as in `curves`, the keys of ``panels`` their titles."""
    figure = _optional(4.2 * len(panels), 4.2, watcher)
    if figure is None:
        return
    for axes, (title, points) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        axes.scatter(*zip(*points, strict=True), s=14)
        axes.set(title=title, xlabel=across, ylabel=up)
        axes.grid(alpha=0.3)
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png", dpi=150, bbox_inches="tight"))


def _figure(width: float, height: float) -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError.about(
            "plots", "matplotlib is not installed; pip install 'distillset[plots]' brings it"
        ) from None
    return Figure(figsize=(width, height))


def _optional(width: float, height: float, watcher: Watcher) -> Any:
    """A figure of a study that has more to give than its picture; None, with a note, without matplotlib."""
    try:
        return _figure(width, height)
    except InputError as missing:
        watcher.note(f"no picture: {missing.allowed}")
        return None
