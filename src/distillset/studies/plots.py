"""Pictures of a study, where matplotlib is installed (``distillset[plots]``)."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from distillset.store import write_atomically

MISSING = "no picture: it needs matplotlib (pip install 'distillset[plots]')"


def _figure(width: float, height: float, note: Callable[[str], None]) -> Any:
    """An empty figure that needs no display; None, with a note, without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        note(MISSING)
        return None
    return Figure(figsize=(width, height), layout="constrained")


def _write(figure: Any, path: Path) -> None:
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png", dpi=150))


def curves(
    path: Path,
    lines: Mapping[str, Sequence[tuple[float, float, float]]],
    title: str,
    across: str,
    up: str,
    note: Callable[[str], None],
) -> None:
    """Lines with bars of one standard deviation.

    Args:
        path: of the PNG file.
        lines: name to points (x, mean, std).
        title: above the axes.
        across: what x is.
        up: what the mean is.
        note: is told why there is no picture.
    """
    figure = _figure(6.4, 4.2, note)
    if figure is None:
        return
    axes = figure.subplots()
    for name, points in lines.items():
        x, mean, std = zip(*points, strict=True)
        axes.errorbar(x, mean, yerr=std, label=name, marker="o", capsize=3)
    axes.set(title=title, xlabel=across, ylabel=up)
    axes.grid(alpha=0.3)
    axes.legend()
    _write(figure, path)


def scatter(
    path: Path,
    panels: Mapping[str, Sequence[tuple[float, float]]],
    across: str,
    up: str,
    note: Callable[[str], None],
) -> None:
    """Points (x, y), one panel each; arguments as in `curves`, the keys of ``panels`` their titles."""
    figure = _figure(4.2 * len(panels), 4.2, note)
    if figure is None:
        return
    for axes, (title, points) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        axes.scatter(*zip(*points, strict=True), s=14)
        axes.set(title=title, xlabel=across, ylabel=up)
        axes.grid(alpha=0.3)
    _write(figure, path)
