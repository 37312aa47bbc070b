"""One sitting of a command: a process that is forked off, and killed from outside or by itself at a moment.

The parent has imported everything and started no thread, so that a child is what a fresh process is after its imports.
The uninterrupted run that everything is compared with is a plain process (`plain`), so that the comparison would show
it if that were not so.
"""

import os
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.commands import run

WRITES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"}
"""Audit events that change the disk, besides ``open`` to write."""

PATIENCE = 600.0
"""Seconds after which a process that does not end has failed."""


@dataclass(frozen=True)
class Moment:
    """When a process is killed: after so many seconds of its processor time, or just before its n-th write to the disk.

    Processor time, because the clock of a busy machine would put most moments of a short run behind its end.

    A write is a file opened to be written, a rename, a removal, or a folder made: SIGKILL falls exactly between two of
    them, where a random moment seldom does.
    """

    seconds: float | None = None
    write: int | None = None
    signal: int = signal.SIGKILL
    """What a process is sent after its seconds."""

    def __str__(self) -> str:
        return f"{self.seconds:.3f}s" if self.seconds is not None else f"w{self.write}"


@dataclass(frozen=True)
class Ended:
    """How a sitting ended, after how many seconds of processor time: ``code`` is negative where a signal ended it.

    ``used`` and ``waited``: seconds of processor time, and by the clock, that it took after it was asked to stop.
    """

    code: int
    seconds: float
    used: float = 0.0
    waited: float = 0.0

    @property
    def killed(self) -> bool:
        return self.code == -signal.SIGKILL


def threads() -> int:
    """Threads of this process, those of libraries as well."""
    return len(list(Path("/proc/self/task").iterdir()))


def sit(arguments: list[str], life: Path, moment: Moment | None = None) -> Ended:
    """Run a command in a child, killed at ``moment``.

    Raises:
        RuntimeError: this process has threads, which a fork would lose.
    """
    if threads() != 1:
        raise RuntimeError(f"{threads()} threads: nothing may be computed in the process that forks")
    life.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        code = 70
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started the tests may ignore it
            _count_writes(life, moment.write if moment else None)
            code = run(arguments, life)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    wanted = moment.seconds if moment and moment.seconds is not None else None
    asked, at = 0.0, start
    while True:
        pid, status, used = os.wait4(child, os.WNOHANG)
        now = time.monotonic()
        if pid:
            seconds = used.ru_utime + used.ru_stime
            return Ended(os.waitstatus_to_exitcode(status), seconds, seconds - asked, now - at)
        if now - start > PATIENCE:
            os.kill(child, signal.SIGKILL)
        elif moment and wanted is not None and (spent := _processor_time(child)) >= wanted:
            os.kill(child, moment.signal)
            wanted, asked, at = None, spent, now
        time.sleep(0.001)


def _processor_time(process: int) -> float:
    """Seconds that a process of one thread has computed for."""
    return int(Path(f"/proc/{process}/schedstat").read_text().split()[0]) / 1e9


def writes(life: Path) -> int:
    """How many writes the last sitting that came to its end made."""
    return int((life / "writes").read_text())


def plain(arguments: list[str], life: Path) -> Ended:
    """The same in a process of its own that nothing was forked for."""
    life.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    command = [sys.executable, "-m", "tests.faults.commands", str(life), *arguments]
    ran = subprocess.run(command, check=False, timeout=PATIENCE)
    return Ended(ran.returncode, time.monotonic() - start)


def _count_writes(life: Path, last: int | None) -> None:
    """Count what is written beneath a folder, in a file beside it; kill this process before the ``last`` one."""
    roots, count = (str(life / "out"), str(life / "cache")), 0
    tally = os.open(life / "writes", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)

    def hook(event: str, given: tuple[Any, ...]) -> None:
        nonlocal count
        if event not in WRITES and not (event == "open" and _writes(given)):
            return
        if not isinstance(given[0], str | os.PathLike) or not os.fspath(given[0]).startswith(roots):
            return
        count += 1
        if count == last:
            os.kill(os.getpid(), signal.SIGKILL)
        os.pwrite(tally, str(count).encode(), 0)

    sys.addaudithook(hook)


def _writes(given: tuple[Any, ...]) -> bool:
    flags = given[2] if len(given) > 2 else 0
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR))
