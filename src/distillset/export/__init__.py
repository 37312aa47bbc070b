"""An artifact in the forms that other programs read, and back from those that the field's code writes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from distillset.arguments import of_kind, path_of, text
from distillset.data.origin import without_paths
from distillset.data.synthetic import CARD, SyntheticSet
from distillset.errors import InputError, unwritable
from distillset.export.image_folder import write_image_folder
from distillset.export.imported import VALUES, read_pt
from distillset.export.parquet import write_parquet
from distillset.export.pixels import eight_bit
from distillset.export.pt import write_pt
from distillset.store import read_json

__all__ = ["EXPORTERS", "VALUES", "eight_bit", "export", "read_pt"]

EXPORTERS: dict[str, Callable[[SyntheticSet, Path], list[str]]] = {
    "imagefolder": write_image_folder,
    "parquet": write_parquet,
    "pt": write_pt,
}
"""Form to the function that writes a set in it and returns what is worth knowing, a line each."""


def export(synthetic: SyntheticSet, to: str, out: str | Path, *, measured: dict[str, Any] | None = None) -> list[str]:
    """Write a set in another form.

    Args:
        synthetic: the set.
        to: ``imagefolder`` (a PNG per image, a folder per class), ``parquet`` (a folder that `datasets.load_dataset`
            opens) or ``pt`` (the files that the papers' code reads).
        out: a new or empty folder; for ``parquet`` also one that holds this artifact already.
        measured: for the card of ``parquet``, what `distillset.export.measure.measure` found.

    Returns:
        What is worth knowing of it, a line each.

    Raises:
        InputError: an unknown form, a folder with something in it, or images that the form cannot hold.
        DiskError: the disk is full.
    """
    of_kind("synthetic", synthetic, SyntheticSet, "a SyntheticSet")
    out, to = path_of("out", out), text("to", to)
    if to not in EXPORTERS:
        raise InputError("to", to, f"choose {', '.join(EXPORTERS)}")
    taken = out.exists() and (not out.is_dir() or any(out.iterdir()))
    if taken and not (to == "parquet" and _holds(out, synthetic)):
        raise InputError("out", out, "exists and is not an empty folder; choose another")
    if not taken:  # in its own folder an artifact stays what it is
        synthetic = replace(synthetic, card=without_paths(synthetic.card))
    try:
        return write_parquet(synthetic, out, measured) if to == "parquet" else EXPORTERS[to](synthetic, out)
    except OSError as error:
        raise unwritable(out, error, "out") from None


def _holds(folder: Path, synthetic: SyntheticSet) -> bool:
    """Whether ``folder`` is this very artifact: its own, or that of an earlier export."""
    if not (folder / CARD).is_file():
        return False
    card = read_json(folder / CARD)
    return isinstance(card, dict) and card.get("fingerprint") == synthetic.fingerprint()
