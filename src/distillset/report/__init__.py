"""One page that shows what runs have made: pictures through time, curves, tables. It needs no network and no server."""

from collections.abc import Sequence
from pathlib import Path

from distillset.errors import InputError
from distillset.report.gather import ACCURACY, gather
from distillset.report.page import render
from distillset.store import write_text

__all__ = ["ACCURACY", "report"]


def report(folders: Sequence[str | Path], out: str | Path, *, rows: Sequence[str | Path] = ()) -> Path:
    """Write one self-contained HTML page about one or several artifacts.

    Args:
        folders: of artifacts; shown side by side, in this order.
        out: the file to write, replaced if it is there.
        rows: files of what ``distillset evaluate --json`` printed; an artifact's own ``accuracy.json`` is read anyway.

    Returns:
        ``out``.

    Raises:
        InputError: a folder that holds no artifact, rows of another artifact, or a place that cannot be written.
    """
    out = Path(out)
    page = render(gather([Path(folder) for folder in folders], [Path(file) for file in rows]))
    try:
        write_text(out, page)
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written ({error.strerror})") from None
    return out
