"""The folder of a study: what defines it, and how the same command resumes it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distillset.distillation.run_folder import check_same
from distillset.errors import InputError, InterruptedRun, unwritable
from distillset.store import held, read_json, write_sealed
from distillset.watch import Relay, Watcher

STUDY = "study.json"
"""What defines the results in the folder."""

ACCURACIES = "accuracies"
"""The accuracy of every network trained, one file each: see `distillset.evaluation.Ledger`."""


@contextmanager
def opened(out: Path, settings: dict[str, Any]) -> Iterator[Path]:
    """Lock the folder of a study, made if it is not there.

    Args:
        out: the folder.
        settings: what defines the results, as JSON values; with ``study``, its kind.

    Raises:
        InputError: the folder is in use, cannot be written, or holds something else or a study of other settings.
    """
    try:
        exists = out.exists()
    except OSError as error:
        raise unwritable(out, error, "out") from None
    if exists and not out.is_dir():
        raise InputError("out", out, "is a file; choose a folder")
    strangers = [path for path in out.iterdir() if not path.name.startswith(".")] if exists else []
    if strangers and not (out / STUDY).is_file():
        raise InputError(
            "out", out, f"holds other files (such as {strangers[0].name}) and no study; choose another folder"
        )
    if strangers:
        stored = read_json(out / STUDY)
        kind = stored.get("study") if isinstance(stored, dict) else None
        if kind != settings["study"]:
            raise InputError("out", out, f"holds a study of another kind ({kind}); choose another folder")
        check_same(stored, settings)
    with held(out):
        write_sealed(out / STUDY, settings)
        yield out


class Networks(Relay):
    """The watcher of the networks of a study: it is notified of each, and may be stopped after it.

    Args:
        watcher: of the study.
        folder: of the study, where all that is done lies.
        what: what the networks belong to; None leaves them out of the notes.
    """

    def __init__(self, watcher: Watcher, folder: Path, what: str | None = None) -> None:
        super().__init__(watcher)
        self.folder, self.what = folder, what

    def network(self, artifact: str, network: int, networks: int, accuracy: float) -> None:
        if self.what is not None:
            self.watcher.note(f"{self.what}: network {network} of {networks}, {accuracy:.2%}")
        if self.watcher.stop():
            raise InterruptedRun(
                f"stopped; what is done is stored in {self.folder}; run the same command again to resume"
            )
