"""One page about runs: images through time, curves, tables. It needs no network and no server."""

from collections.abc import Sequence
from pathlib import Path

from distillset.arguments import path_of, several
from distillset.data.rows import ACCURACY
from distillset.errors import InputError, unwritable
from distillset.report.gather import gather
from distillset.report.page import render
from distillset.store import write_text

__all__ = ["ACCURACY", "report"]

MARK, START = b'<meta name="generator" content="distillset', 2048
"""What a report has within its first bytes."""


def report(folders: Sequence[str | Path], out: str | Path, *, rows: Sequence[str | Path] = ()) -> Path:
    """Write one self-contained HTML page about one or several artifacts.

    Args:
        folders: of artifacts; shown side by side, in this order.
        out: the file to write; an earlier report there is replaced.
        rows: files of rows of `distillset.evaluate` as JSON; an artifact's own ``accuracy.json`` is read anyway.

    Returns:
        ``out``.

    Raises:
        InputError: a folder that holds no artifact, rows of another artifact, or a place that cannot be written, or
            that holds something else.
        DiskError: the disk is full.
    """
    out = path_of("out", out)
    if out.is_dir():
        raise InputError("out", out, f"is a folder; name the file to write, such as {out / 'report.html'}")
    if _is_other(out):
        raise InputError("out", out, "exists and is not a report of distillset; choose another file")
    page = render(gather(_paths("folders", folders), _paths("rows", rows)))
    try:
        write_text(out, page)
    except OSError as error:
        raise unwritable(out, error, "out") from None
    return out


def _is_other(out: Path) -> bool:
    """Whether there is a file that no report was written to, or something else that is not to be replaced."""
    try:
        if not out.exists() or out.is_dir():  # what writes there says it
            return False
        if not out.is_file():
            return True
        with out.open("rb") as file:
            return MARK not in file.read(START)
    except OSError:
        return False


def _paths(field: str, values: Sequence[str | Path]) -> list[Path]:
    return [path_of(field, value) for value in several(field, values)]
