"""What a measurement of this repository was made on and with."""

import subprocess
from pathlib import Path
from typing import Any

import torch

from distillset.data.synthetic import versions
from distillset.engine.hardware import hardware

ROOT = Path(__file__).resolve().parent.parent
"""The repository."""


def provenance(device: torch.device) -> dict[str, Any]:
    """What a measurement was made on and with: hardware, versions and commit."""
    return {"hardware": hardware(device), "versions": versions(), "commit": commit()}


def commit(root: Path = ROOT) -> str | None:
    """The commit of the repository, ``-changed`` added where its source differs from it;
    None where there is none.
    """
    if not (root / ".git").exists():
        return None
    try:
        head, changes = (
            _git(root, *words) for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "--", "src"))
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{head}-changed" if changes else head


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *words], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    return done.stdout.strip()
