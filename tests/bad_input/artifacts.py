"""Artifacts and run folders that were tampered with."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

Tamper = Callable[[Path], None]


def copied(artifact: Path, folder: Path) -> Path:
    shutil.copytree(artifact, folder)
    return folder


def nothing(folder: Path) -> None:
    """The artifact is good."""


def without(name: str) -> Tamper:
    return lambda folder: (folder / name).unlink()


def cut(name: str) -> Tamper:
    """A file that lost its second half."""

    def tamper(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])

    return tamper


def text(name: str, content: str) -> Tamper:
    def tamper(folder: Path) -> None:
        (folder / name).write_text(content)

    return tamper


def card(**fields: Any) -> Tamper:
    """A card with other fields."""

    def tamper(folder: Path) -> None:
        found = json.loads((folder / "card.json").read_text())
        found.pop("seal", None)  # as whoever edits it on purpose has to
        (folder / "card.json").write_text(json.dumps({**found, **fields}))

    return tamper


def spec(**fields: Any) -> Tamper:
    """A card whose spec has other fields."""
    return _inner("spec", fields)


def origin(**fields: Any) -> Tamper:
    """A card that says something else of the data."""
    return _inner("data", fields)


def _inner(name: str, fields: dict[str, Any]) -> Tamper:
    def tamper(folder: Path) -> None:
        found = json.loads((folder / "card.json").read_text())
        card(**{name: {**found[name], **fields}})(folder)

    return tamper


def plain_file(folder: Path) -> Path:
    (folder / "file").write_text("x")
    return folder / "file"


def strangers(folder: Path) -> Path:
    """A folder with somebody's work in it."""
    (folder / "work").mkdir()
    (folder / "work" / "thesis.tex").write_text("x")
    return folder / "work"


def damaged_run(folder: Path) -> Path:
    (folder / "run" / "checkpoints").mkdir(parents=True)
    (folder / "run" / "checkpoints" / "step-1.safetensors").write_bytes(b"x")
    return folder / "run"
