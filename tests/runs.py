"""Small runs, and what they leave: shared by the tests of the loop."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distillset import distill as make
from distillset.data.synthetic import SyntheticSet
from distillset.distillation.record import Record
from distillset.engine import State
from distillset.methods import DM, Inputs, Leaf, Leaves, Matcher, Method, Piece, Role, Sizes, Task, setting
from distillset.store import read_tensors
from distillset.watch import Watcher
from tests import toys

METHOD = DM(batch_real=6)
STEPS = 6


class Recorder(Watcher):
    """Keeps what it is told, and asks to stop after some steps."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.notes: list[str] = []
        self.steps: list[tuple[int, int, float]] = []
        self.stop_after = stop_after

    def note(self, line: str) -> None:
        self.notes.append(line)

    def step(self, step: int, steps: int, loss: float) -> None:
        self.steps.append((step, steps, loss))

    def stop(self) -> bool:
        return len(self.steps) == self.stop_after

    def told(self, part: str) -> bool:
        return any(part in note for note in self.notes)


class Counting(Method):
    """Known gradients: two updates per step, of three terms whose pixels have the gradients 1, 2 and 3."""

    name = "counting"
    steps = 1
    init = "noise"

    rate: float = setting(0.5, "learning rate of the images", above=0)

    def images_per_step(self, real: Sizes, ipc: int) -> float:
        return 1.0

    def prepare(self, task: Task) -> "Counter":
        return Counter(self, task)


class Counter(Matcher):
    """`Counting` at work."""

    turns, updates = 2, 2.0
    blocks = range(3)

    def __init__(self, method: Counting, task: Task) -> None:
        super().__init__(task)
        self.rate = method.rate

    def leaves(self, images: Tensor) -> dict[str, Leaf]:
        pixels = Leaf(torch.zeros_like(images), self.rate, role=Role.PIXELS)
        return {"images": pixels, "rates": Leaf(torch.zeros(2), 1.0, 0.5)}

    def begin(self, inputs: Inputs) -> State:
        return {}

    def term(self, leaves: Leaves, state: State, numbers: None, block: int) -> Piece:
        ones = torch.ones_like(leaves["images"][:2]) * (block + 1)
        gradients = {"images": (slice(2 * block, 2 * block + 2), ones), "rates": (slice(0, 1), torch.ones(1))}
        return Piece(leaves["images"].sum() + 1, gradients)


def distil(out: Path | None = None, **changes: Any) -> SyntheticSet:
    """A small run of which single arguments, or fields of its record, are changed."""
    fields = {field.name: changes.pop(field.name) for field in dataclasses.fields(Record) if field.name in changes}
    arguments: dict[str, Any] = {
        "data": toys.toy_data(), "method": METHOD, "ipc": 2, "steps": STEPS, "network": toys.NETWORK, "out": out,
        "machine": toys.EAGER, "record": Record(**fields), **changes,
    }  # fmt: skip
    return make(**arguments)


def steps_logged(out: Path) -> list[int]:
    log = out / "metrics.jsonl"
    return [json.loads(line)["step"] for line in log.read_text().splitlines()] if log.exists() else []


def last_checkpoint(out: Path) -> dict[str, Tensor]:
    newest = max((out / "checkpoints").iterdir(), key=lambda path: int(path.stem.removeprefix("step-")))
    return read_tensors(newest)[0]


def assert_same_end(a: Path, b: Path) -> None:
    """Pixels and momentum are equal bit for bit, and so is what was logged of every step."""
    mine, theirs = last_checkpoint(a), last_checkpoint(b)
    assert set(mine) == {"leaf.images", "momentum.images"} == set(theirs)
    for name in mine:
        assert torch.equal(mine[name], theirs[name]), name
    assert torch.equal(SyntheticSet.load(a).images, SyntheticSet.load(b).images)
    losses = [[json.loads(line)["loss"] for line in (at / "metrics.jsonl").read_text().splitlines()] for at in (a, b)]
    assert losses[0] == losses[1]
    cards = [SyntheticSet.load(at).card for at in (a, b)]
    assert cards[0]["metrics"]["loss"] == cards[1]["metrics"]["loss"] == losses[0][-1]
