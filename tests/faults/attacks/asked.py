"""Attacks by what is asked for: flags of every command, arguments of the library's functions, names that are shown."""

import argparse
import dataclasses
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import distillset
from distillset.commands import VERBS, parser
from distillset.data.spec import Spec
from distillset.data.synthetic import SyntheticSet
from distillset.evaluation import Protocol
from distillset.store import parse
from distillset.watch import Watcher
from tests import toys
from tests.bad_input.case import EAGER
from tests.faults.attacks.arena import Arena, Attack, Outcome
from tests.faults.attacks.given import NAMES
from tests.faults.attacks.inputs import DISTIL, EVALUATE, EXPERTS, SELECT
from tests.faults.attacks.mutate import JSON, word
from tests.faults.attacks.stored import commands

QUICK = (
    "-1",
    "0",
    "1",
    "1.5",
    "nan",
    "inf",
    "x",
    "",
    "1e3",
    "٣",
    "²",
    "0x10",
    "1_0",
    "-0",
    "true",
    "None",
    " 1",
    "1,2",
    "\x1b[31m",
)
"""For flags that say how long something takes: who asks for a billion steps gets them."""

LONG = ("steps", "epochs", "repeats", "count", "outer", "inner", "iterations", "distill_steps", "expert_epochs",
    "max_start",
        "syn_steps", "expert_count", "sample", "proxy_epochs", "whole_epochs", "networks", "budget", "distill_for",
        "jobs",
        "evaluate_every", "restarts", "updates", "seeds")  # fmt: skip


def _lines(arena: Arena) -> dict[str, list[str]]:
    """A command line of each verb that works."""
    out, toy, run = str(arena.work / "out"), str(arena.input("toy.npz")), str(arena.input("run"))
    mtt = ["--max-start", "1", "--syn-steps", "2", "--expert-epochs", "1", "--whiten", "none", "--expert-count", "1"]
    return {
        "distill dm": ["distill", "dm", "--data", toy, "--out", out, *DISTIL],
        "distill dc": ["distill", "dc", "--data", toy, "--out", out, *DISTIL, "--outer", "1", "--inner", "1",
        "--steps", "1"],
        "distill mtt": ["distill", "mtt", "--data", toy, "--out", out, *DISTIL, *mtt, "--steps", "1"],
        "select": ["select", "random", "--data", toy, "--out", out, *SELECT, *EAGER],
        "experts": ["experts", "--data", toy, "--out", out, *EXPERTS],
        "evaluate": ["evaluate", run, *EVALUATE],
        "compare": ["compare", run, str(arena.input("chosen")), *EVALUATE],
        "verify": ["verify", run],
        "report": ["report", run, "--out", f"{out}.html"],
        "export": ["export", run, "--to", "imagefolder", "--out", out],
        "import": ["import", str(arena.input("pt") / "images_best.pt"), "--data", toy, "--out", out],
        "presets": ["presets"],
        "completion": ["completion", "bash"],
        "reproduce": ["reproduce", "random-mnist-1", "--list"],
        "continual": ["continual", "--data", toy, "--out", out, "--steps", "1", "--ipc", "1", "--seeds", "0",
        "--memory", "random",
                      "--network", toys.NETWORK, "--epochs", "0", "--repeats", "1", "--quiet", *EAGER],
        "nas": ["nas", "--data", toy, "--out", out, "--proxy", "random", "--sample", "2", "--ipc", "1", "--epochs", "0",
                "--proxy-epochs", "0", "--quiet", *EAGER],
    }  # fmt: skip


def _flags(arguments: list[str]) -> list[argparse.Action]:
    """What a command takes, but for what only asks for help."""
    found: Any = parser(arguments[0])
    for given in arguments[:2]:
        for action in found._actions:
            if isinstance(action, argparse._SubParsersAction) and given in action.choices:
                found = action.choices[given]
    return [action for action in found._actions if action.option_strings and "help" not in action.dest]


def options(arena: Arena, draw: random.Random) -> Attack:
    """A command line that works, and one to three flags with a word that nobody expects."""
    lines = _lines(arena)
    name = draw.choice(sorted(lines))
    arguments = list(lines[name])
    if draw.random() < 0.08:
        arguments[draw.randrange(len(arguments))] = word(draw)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        flags = _flags(lines[name])
        if not flags:
            break
        flag = draw.choice(flags)
        if flag.nargs == 0:
            arguments.append(flag.option_strings[0])
            continue
        value = draw.choice(QUICK) if flag.dest in LONG else word(draw)
        if flag.dest == "out" and value.startswith(("/", "~", "..")):
            value = str(arena.work / "out" / "x")
        arguments += [f"{flag.option_strings[0]}={value}"] if draw.random() < 0.8 else [flag.option_strings[0], value]
    if draw.random() < 0.05:
        arguments = [draw.choice((*VERBS, word(draw))), *(word(draw) for _ in range(draw.randrange(4)))]
    # What has a relative name is written where the command is run: here in the folder of the attack.
    return Attack(" ".join(arguments)[:150], arguments)


def values(draw: random.Random) -> Any:
    """An argument that nobody expects."""
    image = torch.rand(6, 3, 8, 8)
    kinds: list[Callable[[], Any]] = [
        lambda: None, lambda: -1, lambda: 0, lambda: 1.5, lambda: "x", lambda: "", lambda: True, lambda: float("nan"),
        lambda: 2**70,
        list, dict, lambda: (), object, lambda: b"x", lambda: image, lambda: torch.tensor(1), lambda: np.int64(1),
        lambda: np.zeros(3), lambda: torch.empty(3, device="meta"), lambda: Path("x"), lambda: 1 + 2j, lambda: len,
        lambda: int,
        lambda: "a\0b", lambda: "\ud800", lambda: float("inf"), lambda: 10**400, lambda: [None], lambda: {"a": 1},
        lambda: range(3),
    ]  # fmt: skip
    return draw.choice(kinds)()


def python(arena: Arena, draw: random.Random) -> Attack:
    """A function of the library with one argument that is none."""
    toy, value = str(arena.input("toy.npz")), values(draw)
    data = distillset.load(toy, watcher=Watcher())
    made = SyntheticSet.load(arena.input("run"))
    images, labels = toys.pixels((3, 3))
    record = distillset.Record(snapshots=0)
    quick: dict[str, Any] = {"network": toys.NETWORK, "record": record, "steps": 1, "machine": toys.EAGER}
    few: dict[str, Any] = {
        "networks": (toys.NETWORK,),
        "repeats": 1,
        "protocol": Protocol(epochs=0),
        "beside": (),
        "machine": toys.EAGER,
    }
    method = distillset.DM(batch_real=4)
    name = draw.choice(("seed", "network", "init", "whiten", "machine", "record", "out"))
    rated = draw.choice(("networks", "repeats", "protocol", "beside", "snapshots", "seed", "machine"))
    kind = draw.choice((distillset.Machine, distillset.Protocol, distillset.Record))
    asked = draw.choice([field.name for field in dataclasses.fields(kind)])
    field = draw.choice([field.name for field in dataclasses.fields(distillset.DM)])
    what = draw.choice(
        (
            "images_",
            "labels_",
            "data",
            "ipc",
            name,
            f"rate {rated}",
            "method",
            "value",
            "set",
            "spec",
            "selector",
            "classes",
            "resize",
            "test",
        )
    )
    calls: dict[str, Callable[[], Any]] = {
        "images_": lambda: distillset.load((value, labels), watcher=Watcher()),
        "labels_": lambda: distillset.load((images, value), watcher=Watcher()),
        "data": lambda: distillset.load(value, watcher=Watcher()),
        "classes": lambda: distillset.load(toy, classes=value, watcher=Watcher()),
        "resize": lambda: distillset.load(toy, resize=value, watcher=Watcher()),
        "test": lambda: distillset.load(toy, test=value, watcher=Watcher()),
        "ipc": lambda: distillset.distill(data, method, value, **quick),
        name: lambda: distillset.distill(data, method, 1, **{**quick, name: value}),
        f"rate {rated}": lambda: distillset.evaluate(made, data, **{**few, rated: value}),
        "method": lambda: distillset.distill(data, distillset.DM(**{field: value}), 1, **quick),
        "value": lambda: kind(**{asked: value}),
        "set": lambda: dataclasses.replace(made, **{draw.choice(("images", "labels", "lr", "formation")): value}),
        "spec": lambda: Spec.from_json({**made.spec.to_json(), draw.choice(sorted(made.spec.to_json())): value}),
        "selector": lambda: distillset.select(
            data, "random", **{"ipc": 1, "machine": toys.EAGER, draw.choice(("ipc", "seed", "epochs")): value}
        ),
    }  # fmt: skip
    return Attack(f"{what} {type(value).__name__} {ascii(value)[:40]}", call=calls[what])


README = r"<script>alert|<img src=x|\]\(http://e|\]\(javascript|[\x1b\u202e\u2066\u2028\x9b]"
"""Markup and codes of strangers that no readme may hold."""


def names(arena: Arena, draw: random.Random) -> Attack:
    """Names of classes, sets, methods and folders that would move a cursor or mark a page up."""
    folder = arena.work / "".join(c for c in draw.choice(NAMES) if c not in "/\0")[:100].strip(".") / "set"
    chosen = draw.sample(NAMES, 3)
    spec = Spec(draw.choice(NAMES), 3, 8, 8, tuple(chosen), (0.5,) * 3, (0.25,) * 3)
    card = {
        "method": draw.choice(NAMES), "settings": {draw.choice(NAMES): draw.choice(NAMES)},
        "data": {"source": draw.choice(NAMES)}, "hardware": {"processor": draw.choice(NAMES)},
    }  # fmt: skip
    images = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    SyntheticSet(images, torch.arange(3), spec, card).save(folder)
    known = commands(arena, folder)
    name = draw.choice(("verify", "report", "imagefolder", "pt", "parquet", "evaluate", "compare"))

    def marked(outcome: Outcome) -> str | None:
        for path in arena.work.rglob("*"):
            if path.name in ("page.html", "README.md") and path.is_file():
                pattern = r"<script>alert|<img src=x" if path.suffix == ".html" else README
                # What stands in a block of code is shown as it is.
                text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
                if found := re.search(pattern, text):
                    return f"{path.name} holds {found[0]!r}"
        return None

    return Attack(f"{name} of names", known[name], wrong=marked)


def cards_in_python(arena: Arena, draw: random.Random) -> Attack:
    """What `SyntheticSet` is given as its card is checked before anything is written."""
    made = SyntheticSet.load(arena.input("run"))
    field = draw.choice(sorted(made.card))
    value: Any = values(draw)
    if draw.random() < 0.4:
        try:
            value = parse(draw.choice(JSON))
        except ValueError:
            value = float("nan")

    def save_and_load() -> None:
        dataclasses.replace(made, card={**made.card, field: value}).save(arena.work / "set")
        SyntheticSet.load(arena.work / "set")

    return Attack(f"a card with {field} {type(value).__name__}", call=save_and_load)
