"""Some attacks of every group by a fixed seed: ``make faults`` in small. And that the battery sees what is wrong."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults.attacks.arena import SECRET, Attack, Outcome, judged
from tests.faults.attacks.battery import GROUPS, share, summary

ROOT = Path(__file__).parents[2]
ATTACKS = 100


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """In a process of its own: who watches every file that is opened cannot stop to."""
    out = tmp_path_factory.mktemp("attacks")
    few = ["--kills", "0", "--attacks", str(ATTACKS), "--work", str(out / "work"), "--out", str(out / "done.json")]
    command = [sys.executable, "-m", "tests.faults", *few]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode in (0, 1), ran.stderr
    found: dict[str, Any] = json.loads((out / "done.json").read_text())["attacks"]
    return found


@pytest.mark.parametrize("group", GROUPS)
def test_each_ends_in_a_right_result_or_in_one_line(group: str, done: dict[str, Any]) -> None:
    failures = [told for told in done["failures"] if told.startswith(f"{group} ")]
    assert failures == []
    assert done["groups"][group]["attacks"] == share(ATTACKS, group) >= 1


GOOD = Attack("nothing", [])


@pytest.mark.parametrize(
    ("attack", "outcome", "kind"),
    [
        (GOOD, Outcome(traceback="ValueError: x"), "traceback"),
        (GOOD, Outcome(2, err="Traceback (most recent call last):"), "traceback"),
        (GOOD, Outcome(70), "exit code"),
        (GOOD, Outcome(1, err="distillset: error: the disk is full\n"), "exit code"),
        (GOOD, Outcome(2, err=""), "not one line"),
        (GOOD, Outcome(2, err="distillset: error: a\ndistillset: error: b\n"), "not one line"),
        (GOOD, Outcome(2, err="distillset: error: a\nmore\n"), "not one line"),
        (Attack("bad", [], refused=True), Outcome(0), "accepted"),
        (Attack("bad", [], wrong=lambda outcome: "99.9"), Outcome(0), "wrong number"),
        (GOOD, Outcome(0, out="\x1b[31m"), "terminal"),
        (GOOD, Outcome(0, out="\u202e"), "terminal"),
        (GOOD, Outcome(0, out=SECRET), "outside"),
    ],
)
def test_the_verdict_sees_it(attack: Attack, outcome: Outcome, kind: str) -> None:
    """A check that cannot fail would prove nothing."""
    (told,) = judged(attack, outcome)
    assert told.startswith(kind)
    record = {"attacks": 1, "seconds": 0.0, "commit": None, "failures": [f"cards 0, what: {told}"]}
    found = summary({"cards": record})
    assert sum(found[name] for name in ("tracebacks", "wrong_numbers", "touched_outside", "others")) == 1


def test_a_refusal_and_a_right_result_are_no_failures() -> None:
    assert judged(GOOD, Outcome(2, err="a note\ndistillset: error: field x\n")) == []
    assert judged(GOOD, Outcome(0, out="fine\n", err="a note\n")) == []


WATCHED = """
import os, random, sys
from pathlib import Path
from tests.faults.attacks.arena import Arena, Attack
arena = Arena(Path(sys.argv[1]).resolve())
(arena.inputs / "cache").mkdir(parents=True)
(arena.inputs / "toy").write_text("x")
arena.prepare()
link = arena.work / "link"

def follow(): link.symlink_to(arena.outside / "new.txt"); link.write_text("x")

for do in (
    lambda: (arena.outside / "secret.txt").read_text(),
    lambda: (arena.outside / "secret.txt").write_text("y"),
    lambda: (arena.outside / "more").mkdir(),
    lambda: (arena.inputs / "toy").unlink(),
    follow,
    lambda: os.mkfifo(arena.outside / "pipe"),
    lambda: (arena.work / "fine").write_text("x"),
):
    print([told.split(":")[0] for told in arena.attack(lambda a, d: Attack("x", call=do), random.Random(0))[1]][:1])
"""


def test_the_arena_sees_what_is_read_and_changed_outside(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WATCHED, str(tmp_path / "arena")]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.stdout.splitlines() == ["['outside']"] * 6 + ["[]"], ran.stderr
