"""Many lives: a command killed several times, gone on with to its end, and compared with one that nobody touched."""

import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from distillset.store import read_json, write_json
from tests.faults.commands import BY_BUDGET, COMMANDS, Inputs, budgeted
from tests.faults.folders import half_written, outcome, temporaries
from tests.faults.sitting import Ended, Moment, plain, sit, writes
from tools.provenance import commit

MOST = 6
"""Kills in one life."""

BRIEF = 0.5
"""Seconds of processor time: what takes less may not have begun, or be over, when it is asked to stop."""

SOON = 5.0
"""Seconds of processor time within which a process that was asked to stop has to end."""


class Battery:
    """The state of a battery in a folder: the same call goes on where it stopped.

    Args:
        work: for inputs, lives and progress.
        seed: draws all moments.
        tell: is told of every life.
        most: kills in one life.
    """

    def __init__(self, work: Path, seed: int, tell: Callable[[str], None], most: int = MOST) -> None:
        self.work, self.seed, self.tell, self.most = work.resolve(), seed, tell, most
        self.inputs = Inputs(self.work / "inputs")
        self.progress = self.work / "progress.json"
        self.done: dict[str, Any] = read_json(self.progress) if self.progress.is_file() else {}

    def prepare(self) -> None:
        """Make the inputs in a child: nothing may be computed in the process that forks."""
        os.environ["DISTILLSET_CACHE"] = str(self.work / "cache")
        child = os.fork()
        if child == 0:
            code = 1
            try:
                self.inputs.make()
                code = 0
            finally:
                os._exit(code)
        if os.waitpid(child, 0)[1] != 0:
            raise RuntimeError("the inputs cannot be made")

    def command(self, name: str, kills: int, seconds: float | None = None, plainly: bool = True) -> None:
        """Lives of one command until it was killed, or ended by its budget, ``kills`` times, or the time is up.

        Args:
            name: of `COMMANDS`.
            kills: wanted.
            seconds: no life is begun after so many.
            plainly: whether the run that nobody touches is a process of its own; forked off as the others if not.
        """
        start = time.monotonic()
        record = self.done.setdefault(
            name, {"kills": 0, "lives": [], "failures": [], "seconds": 0.0, "commit": commit()}
        )
        if "untouched" not in record:
            self._untouched(name, record, plainly)
            self._keep(record, start)
        while record["kills"] + record.get("budgets", 0) < kills and (
            seconds is None or time.monotonic() - start < seconds
        ):
            began = time.monotonic()
            life = self._life(name, len(record["lives"]), record)
            record["lives"].append(life)
            record["kills"] += len(life["moments"])
            record["seconds"] = round(record["seconds"] + time.monotonic() - began, 3)
            write_json(self.progress, self.done)
            self.tell(f"{name}: {record['kills']} kills in {len(record['lives'])} lives")

    def stops(self, name: str) -> None:
        """One life that is asked to stop by SIGTERM and one by Ctrl-C: exit 130 soon, and on to the same end."""
        record = self.done[name]
        record["stops"] = []
        if record["seconds_untouched"] < BRIEF:
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            told, life = f"stopped by {signal.Signals(number).name}", self._fresh("life")
            arguments = COMMANDS[name](self.inputs, life / "out")
            ended = sit(arguments, life, Moment(seconds=record["seconds_untouched"] / 2, signal=number))
            said = (life / "stderr").read_text()
            if ended.code != 130 or ended.used > SOON or "Traceback" in said or not said.startswith("distillset: "):
                record["failures"].append(f"{told}: exit {ended.code} after {ended.used:.1f} s: {said[-1500:]}")
            self._finish(name, record, life, sit(arguments, life), told)
            record["stops"].append(round(ended.used, 3))
        write_json(self.progress, self.done)

    def _keep(self, record: dict[str, Any], start: float) -> None:
        record["seconds"] = round(record["seconds"] + time.monotonic() - start, 3)
        write_json(self.progress, self.done)

    def _untouched(self, name: str, record: dict[str, Any], plainly: bool) -> None:
        """What the command leaves if nobody touches it, how long it takes, and how often it writes."""
        life = self._fresh("untouched")
        forked = self._fresh("forked")
        ended = sit(COMMANDS[name](self.inputs, forked / "out"), forked)
        self._check(name, record, forked, ended, "in a fork")
        record.update(untouched=outcome(forked), seconds_untouched=round(ended.seconds, 3), writes=writes(forked))
        if plainly:
            self._check(name, record, life, plain(COMMANDS[name](self.inputs, life / "out"), life), "untouched")
            found = outcome(life)
            if found != record["untouched"]:
                record["failures"].append(f"untouched, a fork differs from a plain process: {_unlike(found, record)}")
            record["untouched"] = found

    def _life(self, name: str, number: int, record: dict[str, Any]) -> dict[str, Any]:
        """Kill a command at random moments, let it come to its end, and compare."""
        draw, life = random.Random(f"{self.seed} {name} {number}"), self._fresh("life")
        arguments, moments, ended = COMMANDS[name](self.inputs, life / "out"), list[str](), None
        failures = len(record["failures"])
        for _ in range(draw.randint(min(2, self.most), self.most)):
            moment, given = self._moment(draw, record), arguments
            if name in BY_BUDGET:
                given = budgeted(arguments, draw.uniform(0.05, 1.5) * record["seconds_untouched"])
            ended = sit(given, life, moment)
            if not ended.killed:
                self._check(name, record, life, ended, f"life {number} after {moments}")
                if name not in BY_BUDGET:
                    break
                record["budgets"] = record.get("budgets", 0) + 1
                continue
            moments.append(str(moment))
            record["failures"] += [f"life {number} after {moments}: half-written: {f}" for f in half_written(life)]
        if ended is None or ended.killed or name in BY_BUDGET:
            ended = sit(arguments, life)
        found = self._finish(name, record, life, ended, f"life {number} after {moments}")
        if len(record["failures"]) > failures:
            shutil.copytree(life, self.work / f"failed-{name.replace(' ', '-')}-{number}", dirs_exist_ok=True)
        return {"moments": moments, "files": len(found)}

    def _finish(self, name: str, record: dict[str, Any], life: Path, ended: Ended, told: str) -> dict[str, str]:
        """What a life left at its end, which has to be what one that nobody touched leaves."""
        self._check(name, record, life, ended, told)
        if (found := outcome(life)) != record["untouched"]:
            record["failures"].append(f"{told}: differs: {_unlike(found, record)}")
        if left := temporaries(life / "out"):
            record["failures"].append(f"{told}: left behind: {left}")
        return found

    def _moment(self, draw: random.Random, record: dict[str, Any]) -> Moment:
        """By its processor time or at a write, both over the length of an untouched run."""
        if draw.random() < 0.5:
            return Moment(seconds=0.9 * draw.random() * record["seconds_untouched"])
        return Moment(write=draw.randint(1, record["writes"]))

    def _check(self, name: str, record: dict[str, Any], life: Path, ended: Ended, told: str) -> None:
        said = (life / "stderr").read_text()
        if ended.code != 0 or "Traceback" in said:
            record["failures"].append(f"{told}: exit {ended.code}: {said[-1500:]}")

    def _fresh(self, name: str) -> Path:
        life = self.work / name
        shutil.rmtree(life, ignore_errors=True)
        life.mkdir(parents=True)
        return life


def summary(done: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The figures of a battery: totals, and a record a command with its moments, a line a life."""
    records = {name: done[name] for name in names if name in done}
    return {
        "kills": sum(record["kills"] for record in records.values()),
        "lives": sum(len(record["lives"]) for record in records.values()),
        "failures": [f"{name}: {told}" for name, record in records.items() for told in record["failures"]],
        "commands": {
            name: {
                "kills": record["kills"],
                "lives": len(record["lives"]),
                "most_kills_in_one_life": max((len(life["moments"]) for life in record["lives"]), default=0),
                "sittings_ended_by_their_budget": record.get("budgets", 0),
                "kills_at_a_write": sum(m.startswith("w") for life in record["lives"] for m in life["moments"]),
                "files_compared": sum(life["files"] for life in record["lives"]),
                "seconds_to_stop": record.get("stops", []),
                "seconds": record["seconds"],
                "seconds_untouched": record["seconds_untouched"],
                "commit": record["commit"],
                "writes_untouched": record["writes"],
                "moments": [" ".join(life["moments"]) for life in record["lives"]],
            }
            for name, record in records.items()
        },
    }


def _unlike(found: dict[str, str], record: dict[str, Any]) -> list[str]:
    """The files in which two outcomes differ."""
    wanted = record["untouched"]
    return sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
