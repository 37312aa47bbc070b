"""Rows side by side, each in a process of its own."""

import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from distillset.errors import InputError
from distillset.reproduction.budget import Budget
from distillset.watch import Watcher

PATIENCE = 60.0
"""Seconds that a process that was asked to stop is given to save."""


@dataclass(frozen=True)
class Finished:
    """What a row's process ended with: its exit code, the lines it printed, and the last that it wrote to stderr."""

    row: str
    code: int
    lines: tuple[str, ...]
    last: str


def side_by_side(
    rows: Sequence[str], jobs: int, budget: Budget, command: Callable[[str, float], list[str]], watcher: Watcher
) -> tuple[list[Finished], list[str]]:
    """Run a process per row, ``jobs`` at a time, in the order of ``rows`` while the budget lasts.

    Every process has its part of the processor's threads. What they write to stderr is noted, with the row's name.
    Where this process is interrupted they are asked to stop, and waited for while they save.

    Args:
        rows: their names.
        jobs: most processes at once.
        budget: of wall time; each process gets what is left of it.
        command: of a row and its seconds.
        watcher: is notified of every line.

    Returns:
        The rows that ran, in the order they ended, and those that no time was left for.

    Raises:
        InputError: ``jobs`` below 1.
    """
    if jobs < 1:
        raise InputError("jobs", jobs, "must be at least 1")
    waiting, running, finished = list(rows), list[_Job](), list[Finished]()
    try:
        while waiting or running:
            while waiting and len(running) < jobs and budget.left > budget.margin:
                row = waiting.pop(0)
                running.append(_Job(row, command(row, budget.left), _share(jobs), watcher))
            if not running:
                break
            time.sleep(0.05)
            for job in [job for job in running if job.process.poll() is not None]:
                running.remove(job)
                finished.append(job.result())
    finally:
        for job in running:
            job.process.terminate()
        for job in running:
            job.ended()
    return finished, waiting


def _share(jobs: int) -> dict[str, str]:
    """The environment of one of so many processes: this one's, with its part of the threads."""
    threads = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
    return {**os.environ, "OMP_NUM_THREADS": str(max(1, threads // jobs))}


class _Job:
    """A row's process, and the threads that read what it says."""

    def __init__(self, row: str, command: list[str], environment: Mapping[str, str], watcher: Watcher) -> None:
        self.row, self.watcher = row, watcher
        self.lines: list[str] = []
        self.last = ""
        # A session of its own: Ctrl-C reaches this process alone, which then asks each of the others once.
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._readers = [
            threading.Thread(target=self._read, args=(stream, take), daemon=True)
            for stream, take in ((self.process.stdout, self.lines.append), (self.process.stderr, self._note))
        ]
        for reader in self._readers:
            reader.start()

    def result(self) -> Finished:
        for reader in self._readers:
            reader.join(PATIENCE)  # a process that it started may hold the other end
        return Finished(self.row, self.process.wait(), tuple(self.lines), self.last)

    def ended(self) -> None:
        """Wait until the process has saved, but not for ever."""
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.result()

    def _note(self, line: str) -> None:
        line = line.removeprefix("distillset: ")
        self.last = line if line.startswith(self.row) else f"{self.row}: {line}"
        self.watcher.note(self.last)

    @staticmethod
    def _read(stream: IO[str], take: Callable[[str], object]) -> None:
        with stream:
            for line in stream:
                take(line.rstrip("\n"))
