"""Many attacks, group by group, in processes that are forked off: one that dies is a failure and not the end."""

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from distillset.store import read_json, write_json
from tests.faults.attacks import asked, given, inputs, stored
from tests.faults.attacks.arena import PATIENCE, Arena
from tests.faults.attacks.stored import Make
from tools.provenance import commit

GROUPS: dict[str, tuple[Make, float]] = {
    "cards": (stored.cards, 1.5),
    "headers of tensors": (stored.headers, 1.2),
    "ledger": (stored.ledger, 1),
    "logs and rows": (stored.logs, 1),
    "checkpoints": (stored.checkpoints, 1),
    "experts": (stored.experts, 1),
    "results": (stored.results, 0.7),
    "caches": (stored.caches, 1),
    "stages of decoding": (given.stages, 1),
    "folders of pictures": (given.sources, 1),
    "tables": (given.tables, 0.25),
    "parquet": (given.parquets, 0.35),
    "arrays": (given.arrays, 1),
    ".pt files": (given.pt_files, 1),
    "names": (asked.names, 1),
    "options": (asked.options, 1.5),
    "arguments in Python": (asked.python, 1),
    "cards in Python": (asked.cards_in_python, 1),
}
"""What attacks, and how many of them for one of a plain group: those that open `datasets` take a second each."""

KINDS = {
    "tracebacks": ("traceback:", "crash:"),
    "wrong_numbers": ("wrong number:",),
    "touched_outside": ("outside:",),
    "others": ("exit code", "not one line", "accepted", "terminal", "hang:"),
}
CHUNK = 40
"""Attacks of a process: what they leave in memory goes with it."""


def share(attacks: int, group: str) -> int:
    """How many of all attacks are of a group."""
    return max(1, round(attacks * GROUPS[group][1] / sum(weight for _, weight in GROUPS.values())))


class Siege:
    """The state of a battery in a folder: the same call goes on where it stopped, several may run different groups.

    Args:
        work: for inputs, attacks and progress.
        seed: draws all attacks.
        tell: is told how far it is.
    """

    def __init__(self, work: Path, seed: int, tell: Callable[[str], None]) -> None:
        self.work, self.seed, self.tell = work.resolve(), seed, tell
        self.work.mkdir(parents=True, exist_ok=True)

    def prepare(self) -> None:
        """Make the inputs, in a child: nothing may be computed in the process that forks."""
        code, _ = self._forked("work-inputs", inputs.make, time.monotonic() + 600)
        if code != 0:
            raise RuntimeError("the inputs cannot be made")

    def group(self, name: str, attacks: int) -> dict[str, Any]:
        """Attacks of a group until there were so many."""
        path = self.work / "progress" / f"{_plain(name)}.json"
        record: dict[str, Any] = {"attacks": 0, "seconds": 0.0, "failures": [], "commit": commit()}
        if path.is_file():
            record = read_json(path)
        while record["attacks"] < attacks:
            start, first = time.monotonic(), record["attacks"]
            lines = self._chunk(name, first, min(attacks, first + CHUNK))
            record["failures"] += [
                f"{name} {line['number']}, {line['what']}: {told}" for line in lines for told in line["failed"]
            ]
            record["attacks"] = first + len(lines)
            record["seconds"] = round(record["seconds"] + time.monotonic() - start, 2)
            write_json(path, record)
            self.tell(f"{name}: {record['attacks']} of {attacks}, {len(record['failures'])} failures")
        return dict(record)

    def _chunk(self, name: str, first: int, last: int) -> list[dict[str, Any]]:
        """A line for each attack that came to an end, and one for the one that ended its process."""
        file = self.work / f"lines-{_plain(name)}.jsonl"
        file.unlink(missing_ok=True)

        def attack(arena: Arena) -> None:
            arena.truths = json.loads((arena.inputs / "truths.json").read_text())
            for number in range(first, last):
                made, failed = arena.attack(GROUPS[name][0], random.Random(f"{self.seed} {name} {number}"))
                with file.open("a", encoding="utf-8", errors="backslashreplace") as log:
                    log.write(json.dumps({"number": number, "what": made.what, "failed": failed}) + "\n")

        code, told = self._forked(f"work-{_plain(name)}", attack, None, file)
        lines = [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []
        file.unlink(missing_ok=True)
        if code != 0:
            lines.append({"number": first + len(lines), "what": "?", "failed": [told]})
        return lines

    def _forked(
        self, name: str, do: Callable[[Arena], None], until: float | None, file: Path | None = None
    ) -> tuple[int, str]:
        """Do it in a child: its exit code, and in words how it ended. A child that tells nothing for long is ended."""
        child = os.fork()
        if child == 0:
            code = 70
            try:
                arena = Arena(self.work, name)
                arena.prepare()
                do(arena)
                code = 0
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                os._exit(code)
        size, told = -1, time.monotonic()
        while True:
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                shutil.rmtree(self.work / name, ignore_errors=True)
                ended = os.waitstatus_to_exitcode(status)
                return ended, f"crash: the process ended with {signal.Signals(-ended).name if ended < 0 else ended}"
            now, grown = time.monotonic(), file.stat().st_size if file and file.is_file() else 0
            if grown != size:
                size, told = grown, now
            if now > (until or told + 2 * PATIENCE):
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return 70, "hang: no end, and no answer to a signal"
            time.sleep(0.02)


def _plain(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name).strip("-")


def summary(records: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The figures: totals by kind of failure, and a record a group."""
    failures = [told for record in records.values() for told in record["failures"]]
    counts = {
        kind: sum(any(f": {start}" in told for start in starts) for told in failures) for kind, starts in KINDS.items()
    }
    return {
        "attacks": sum(record["attacks"] for record in records.values()),
        **counts,
        "failures": failures,
        "seconds": round(sum(record["seconds"] for record in records.values()), 1),
        "groups": {name: {**record, "failures": len(record["failures"])} for name, record in records.items()},
    }
