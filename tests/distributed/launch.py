"""Ranks of `torchrun` on loopback, and the same command in one process of as many threads."""

import os
import subprocess
import sys
from pathlib import Path


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
    command = [sys.executable, "-m", "distillset", *arguments]
    done = subprocess.run(command, env=environment(cache), capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
