"""Class-incremental learning: which classes come when, what is kept, what it is tested on, and how it goes on."""

import importlib
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from distillset.data.synthetic import SyntheticSet
from distillset.errors import InputError, InterruptedRun
from distillset.evaluation import Protocol, accuracy
from distillset.keys import Key
from distillset.studies import Point, continual
from distillset.studies.continual import arrivals, arriving, class_order, joined
from tests import toys
from tests.runs import Recorder

DATA = toys.toy_data((6, 5, 4, 3))
SMALL: dict[str, Any] = {
    "steps": 2, "ipc": 2, "seeds": (0, 1), "distill_steps": 1, "network": toys.NETWORK, "repeats": 1,
    "machine": toys.EAGER,
}  # fmt: skip


def run(out: Path, *memories: str, protocol: str = "dm", epochs: int = 1, **changes: Any) -> list[Point]:
    how = Protocol(protocol, epochs)
    return continual(DATA, memories or ("random",), out, protocol=how, **{**SMALL, **changes})


def test_published_class_orders() -> None:
    # numpy.random.seed(1); numpy.random.permutation(10)
    assert class_order(10, 1) == (2, 9, 6, 4, 0, 3, 1, 7, 8, 5)
    assert arrivals(class_order(10, 0), 5) == [(2, 8), (4, 9), (1, 6), (7, 3), (0, 5)]
    assert [len(part) for part in arrivals(range(100), 10)] == [10] * 10
    assert arrivals((3, 1, 2, 0), 4) == [(3,), (1,), (2,), (0,)]


def test_only_the_new_classes_arrive_under_their_positions() -> None:
    real = arriving(DATA.train, (3, 1), None, Key(0))
    assert real.spec.class_names == ("3", "1")
    assert real.counts.tolist() == [3, 5]
    assert torch.equal(real.images[:3], DATA.train.images[DATA.train.index(3)])
    assert torch.equal(real.images[3:], DATA.train.images[DATA.train.index(1)])
    assert real.spec.mean == DATA.train.spec.mean


def made(pixels: list[float], labels: torch.Tensor) -> SyntheticSet:
    """One number an image, of two classes."""
    images = torch.tensor(pixels, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, *DATA.train.spec.shape).contiguous()
    return SyntheticSet(images, labels, replace(DATA.train.spec, class_names=("a", "b")), {"method": "dm"})


def test_labels_are_global_and_the_old_memory_is_kept() -> None:
    first = joined(None, made([1, 2, 3, 4], torch.tensor([0, 0, 1, 1])), (3, 1), DATA.train)
    assert first.labels.tolist() == [3, 3, 1, 1]
    assert first.spec == DATA.train.spec
    second = joined(first, made([5, 6], torch.tensor([0, 1])), (0, 2), DATA.train)
    assert second.labels.tolist() == [3, 3, 1, 1, 0, 2]
    assert second.images[:, 0, 0, 0].tolist() == [1, 2, 3, 4, 5, 6]


def test_soft_labels_become_global_too() -> None:
    soft = torch.tensor([[0.75, 0.25], [0.5, 0.5]])
    both = joined(None, made([1, 2], soft), (3, 1), DATA.train)
    assert both.labels.tolist() == [[0, 0.25, 0, 0.75], [0, 0.5, 0, 0.5]]


def test_a_class_that_comes_alone() -> None:
    alone = arriving(DATA.train, (2,), None, Key(0))
    assert alone.counts.tolist() == [4, 4]
    assert torch.equal(alone.images[:4], DATA.train.images[DATA.train.index(2)])
    memory = joined(None, made([0.5, 1, 2], torch.tensor([0, 0, 1])), (2,), DATA.train)
    assert memory.labels.tolist() == [2, 2], "the stand-in is thrown away"
    later = arriving(DATA.train, (1,), memory, Key(0))
    assert later.counts.tolist() == [5, 2]
    assert torch.equal(later.images[5:], memory.pixels)


def test_each_step_is_tested_on_what_was_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[tuple[list[int], list[int], int]] = []
    plain = accuracy.evaluate

    def evaluate(memory: SyntheticSet, data: Any, **arguments: Any) -> Any:
        seen.append((memory.labels.tolist(), data.test.labels.unique().tolist(), len(data.test)))
        return plain(memory, data, **arguments)

    monkeypatch.setattr(importlib.import_module("distillset.studies.continual"), "evaluate", evaluate)
    # numpy.random.seed(0); numpy.random.permutation(4) is 2, 3, 1, 0.
    points = run(tmp_path, "dm", ipc=4, seeds=(0,))
    assert seen == [
        ([2] * 4 + [3] * 4, [2, 3], 20),
        ([2] * 4 + [3] * 4 + [1] * 4 + [0] * 4, [0, 1, 2, 3], 40),
    ]  # class 3 has three images, fewer than ipc
    assert [(point.classes, point.images, point.n, point.std) for point in points] == [(2, 8, 1, 0), (4, 16, 1, 0)]


def test_curves_over_orders(tmp_path: Path) -> None:
    points = run(tmp_path, "random", "dm", repeats=2)
    assert [(p.memory, p.step) for p in points] == [("random", 1), ("random", 2), ("dm", 1), ("dm", 2)]
    for p in points:
        means = [sum(values) / 2 for values in p.by_order.values()]
        assert p.n == len(means) == 2
        assert p.mean == pytest.approx(sum(means) / 2)
        assert p.std == pytest.approx(abs(means[0] - means[1]) / 2**0.5)  # of the sample, n - 1
        assert p.recipe["epochs"] == 1
        assert p.protocol == "dm-1-epochs"
    stored = json.loads((tmp_path / "continual.json").read_text())
    assert stored["points"] == json.loads(json.dumps([p.to_json() for p in points]))
    artifact = SyntheticSet.load(tmp_path / "dm" / "order-1" / "step-2")
    assert artifact.card["settings"]["ipc"] == 2
    assert artifact.spec.class_names == tuple(str(c) for c in points[3].orders["1"])


def test_the_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    run(tmp_path, seeds=(0,))
    assert (tmp_path / "continual.png").read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    recorder = Recorder()
    run(tmp_path, seeds=(0,), watcher=recorder)
    assert recorder.told("distillset[plots]")
    assert (tmp_path / "continual.json").is_file()
    assert not (tmp_path / "continual.png").exists()


class Impatient(Recorder):
    """Asks to stop once so many networks are trained."""

    def stop(self) -> bool:
        return sum("network" in note for note in self.notes) == self.stop_after


def test_it_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(tmp_path / "whole", "random", "dm")
    out = tmp_path / "stopped"
    with pytest.raises(InterruptedRun, match="run the same command again to resume"):
        run(out, "random", "dm", watcher=Impatient(6))
    trained = list((out / "accuracies").iterdir())
    assert len(trained) == 6
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*/step-*/*.safetensors")}
    assert run(out, "random", "dm") is not None
    assert len(list((out / "accuracies").iterdir())) == 8
    assert {path: path.stat().st_mtime_ns for path in before} == before, "no memory was made twice"

    def no_training(*arguments: object, **named: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr("distillset.training.Trainer.fit", no_training)
    again = run(out, "random", "dm")
    assert [p.by_order for p in again] == [p.by_order for p in whole]


def test_orders_memories_and_repeats_may_be_added(tmp_path: Path) -> None:
    first = run(tmp_path, seeds=(0,))
    more = run(tmp_path, seeds=(0, 1), repeats=2)
    assert more[0].by_order["0"][0] == first[0].by_order["0"][0]
    assert more[0].n == 2


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"steps": 0}, "steps=0: must be from 1 to 4"),
        ({"steps": 5}, "steps=5: must be from 1 to 4"),
        ({"ipc": 0}, "ipc=0: must be at least 1"),
        ({"seeds": ()}, r"seeds=\[\]: name at least one"),
        ({"seeds": (0, -1)}, "seeds=-1: must be from 0"),
        ({"repeats": 0}, "repeats=0: must be at least 1"),
        ({"distill_steps": -1}, "distill_steps=-1: must be at least 0"),
        ({"network": "perceptron"}, "'perceptron'"),
        ({"protocol": "quick"}, "protocol='quick'"),
        ({"epochs": -1}, "epochs=-1"),
        ({"machine": "tpu"}, "device='tpu'"),
    ],
)
def test_wrong_input_is_named_and_leaves_nothing(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        run(tmp_path / "out", **changes)
    assert not (tmp_path / "out").exists()


def test_an_unknown_memory(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"memories='best': choose from random, .*dm"):
        run(tmp_path / "out", "random", "best")
    assert not (tmp_path / "out").exists()


def test_folders_that_hold_something_else(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match=r"holds other files \(such as thesis\.tex\)"):
        run(tmp_path)
    run(tmp_path / "study", seeds=(0,))
    with pytest.raises(InputError, match=r"ipc=3: the run in this folder was started with 2"):
        run(tmp_path / "study", ipc=3)
    (tmp_path / "study" / "study.json").write_text('{"study": "nas"}')
    with pytest.raises(InputError, match="holds a study of another kind"):
        run(tmp_path / "study")
