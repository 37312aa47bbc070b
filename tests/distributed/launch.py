"""Ranks of `torchrun` on loopback, and the same command in one process of as many threads as one of them."""

import io
import os
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import torch

from distillset.commands import main


def environment(cache: Path | None = None) -> dict[str, str]:
    found = {**os.environ, "OMP_NUM_THREADS": "1", "DISTILLSET_TIMEOUT": "120"}
    return found if cache is None else {**found, "DISTILLSET_CACHE": str(cache)}


def torchrun(
    ranks: int, *arguments: str, restarts: int = 0, cache: Path | None = None
) -> subprocess.CompletedProcess[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    command = [*launcher, "--max-restarts", str(restarts), *arguments]
    return subprocess.run(command, env=environment(cache), capture_output=True, text=True, timeout=500, check=False)


def alone(arguments: list[str], cache: Path | None = None) -> str:
    """In this process: starting another would take longer than the command."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as shown:
            if cache is not None:
                patch.setenv("DISTILLSET_CACHE", str(cache))
            assert main(arguments) == 0
    finally:
        torch.set_num_threads(threads)
    return shown.getvalue()
