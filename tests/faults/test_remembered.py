"""What a stranger may have written into a checkpoint, a ledger or the cache of experts: named, never believed."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from distillset.commands import main
from distillset.errors import InputError, InterruptedRun
from distillset.evaluation import Ledger
from distillset.store import read_json, read_tensors, write_sealed, write_tensors
from distillset.watch import Watcher
from tests import toys
from tests.bad_input.case import EAGER
from tests.runs import Recorder, distil

HUGE = "1" + "0" * 400
"""10^400: JSON has it, no float does."""

# --- checkpoints -----------------------------------------------------------------------------------------------------


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    out = tmp_path / "begun"
    with pytest.raises(InterruptedRun):
        distil(out, steps=4, watcher=Recorder(stop_after=2))
    return out


def changed(out: Path, change: Callable[[dict[str, torch.Tensor], dict[str, Any]], None]) -> None:
    """Every checkpoint changed, with a checksum that is right."""
    for path in (out / "checkpoints").iterdir():
        tensors, meta = read_tensors(path)
        change(tensors, meta)
        write_tensors(path, tensors, meta)


IMAGES = (6, 3, 8, 8)


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        ({"leaf.images": torch.zeros(IMAGES, dtype=torch.float64)}, "none of its learned tensors is torch"),
        ({"leaf.images": torch.zeros(IMAGES, dtype=torch.int64)}, "none of its learned tensors is torch"),
        ({"leaf.images": torch.zeros(IMAGES, dtype=torch.bool)}, "none of its learned tensors is torch"),
        ({"leaf.images": torch.full(IMAGES, float("nan"))}, r"leaf\.images contains NaN"),
        ({"leaf.images": torch.full(IMAGES, float("inf"))}, r"leaf\.images contains NaN or infinity"),
        ({"momentum.images": torch.zeros(2)}, r"momentum\.images is torch\.float32 of shape \[2\]"),
        ({"momentum.images": torch.zeros(1, *IMAGES)}, r"momentum\.images is torch\.float32 of shape \[1, 6"),
        ({"momentum.images": torch.zeros(IMAGES, dtype=torch.int32)}, r"momentum\.images is torch\.int32"),
        ({"momentum.images": torch.full(IMAGES, float("nan"))}, r"momentum\.images contains NaN"),
    ],
)
def test_a_sealed_checkpoint_of_other_tensors(begun: Path, tensors: dict[str, torch.Tensor], told: str) -> None:
    changed(begun, lambda inside, meta: inside.update(tensors))
    with pytest.raises(InputError, match=f"checkpoint of step 2: {told}"):
        distil(begun, steps=4)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"seconds": "long"}, "field seconds is missing or of another kind"),
        ({"seconds": -1}, "field seconds"),
        ({"seconds": True}, "field seconds"),
        ({"skipped": [1, -2]}, "field skipped is"),
        ({"skipped": [1, 2, 3]}, "field skipped is"),
        ({"skipped": [True, 0]}, "field skipped is"),
        ({"loss": "low"}, "field loss is 'low'"),
        ({"loss": True}, "field loss is True"),
        ({"loss": 10**250}, None),
        ({"memory": 1.5}, "field memory is"),
        ({"memory": 10**250}, "field memory is"),
        ({"settings": []}, "field settings"),
    ],
)
def test_a_sealed_checkpoint_of_other_fields(begun: Path, fields: dict[str, Any], told: str | None) -> None:
    changed(begun, lambda inside, meta: meta.update(fields))
    watcher = Recorder()
    if told is None:
        distil(begun, steps=4, watcher=watcher)
        return
    with pytest.raises(InputError, match="none of the 2 checkpoints can be read"):
        distil(begun, steps=4, watcher=watcher)


@pytest.mark.parametrize(
    "compute",
    [
        {"threads": 10**9}, {"threads": 0}, {"threads": True}, {"threads": -1}, {"micro_batch": 0}, {"micro_batch": -5},
        {"precision": "fp8"}, {"precision": 5}, {"device": 5}, {"compile": "off"}, {"micro_batch": 10**250},
    ],
    ids=str,
)  # fmt: skip
def test_a_sealed_checkpoint_of_another_machine(begun: Path, compute: dict[str, Any]) -> None:
    changed(begun, lambda inside, meta: meta["settings"]["compute"].update(compute))
    with pytest.raises(InputError, match="compute is"):
        distil(begun, steps=4)


# --- the ledger ------------------------------------------------------------------------------------------------------

ENTRY = {"set": "abc", "seed": 0, "i": 1}
FOUND = {"accuracy": 0.5, "seconds": 1.0}
NUMBERS: dict[str, list[Any]] = {
    "accuracy": [99.9, 7.5, -1, -0.001, 1.0001, True, "0.5", None, [0.5], 10**250],
    "seconds": [-1, "1", None, True, []],
    "memory": [-1, "1", None, {}],
}


@pytest.mark.parametrize(
    "change",
    [{name: value} for name, values in NUMBERS.items() for value in values],
    ids=lambda change: str(change)[:30],
)
def test_a_ledger_gives_no_number_that_no_training_has(tmp_path: Path, change: dict[str, Any]) -> None:
    book = Ledger(tmp_path)
    book.add(ENTRY, FOUND)
    (path,) = tmp_path.iterdir()
    write_sealed(path, {**read_json(path), **change})
    assert book.find(ENTRY) is None
    book.add(ENTRY, FOUND)
    assert book.find(ENTRY) == FOUND


@pytest.mark.parametrize("accuracy", ["0.5", "0.99", "99.9", "NaN", "Infinity", "-1", HUGE, "1e999"])
def test_a_ledger_believes_nothing_without_a_seal(tmp_path: Path, accuracy: str) -> None:
    book = Ledger(tmp_path)
    book.add(ENTRY, FOUND)
    (path,) = tmp_path.iterdir()
    plain = json.dumps({**read_json(path), "accuracy": "@"}).replace('"@"', accuracy)
    path.write_text(plain)
    assert book.find(ENTRY) is None


def test_a_row_from_a_ledger_without_a_seal_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DISTILLSET_CACHE", str(tmp_path / "cache"))
    toy = toys.toy_file(tmp_path / "toy.npz")
    distil(tmp_path / "run", steps=2)
    few = ["--networks", toys.NETWORK, "--repeats", "1", "--epochs", "0", "--beside", "none", *EAGER]
    command = ["evaluate", str(tmp_path / "run"), *few, "--data", str(toy), "--json"]
    assert main(command) == 0
    (first,) = json.loads(capsys.readouterr().out)
    (path,) = (tmp_path / "cache" / "accuracies").iterdir()
    path.write_text(json.dumps({**read_json(path), "accuracy": 99.9}))
    assert main(command) == 0
    (again,) = json.loads(capsys.readouterr().out)
    assert again["accuracies"] == first["accuracies"]
    shutil.rmtree(tmp_path / "cache")


# --- experts of the selectors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["bool", "half", "shape", "nan", "events", "other", "accuracy", "more"])
def test_a_sealed_expert_of_other_numbers_is_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Its checksum is right: only a program could write it."""
    from distillset import select

    monkeypatch.setenv("DISTILLSET_CACHE", str(tmp_path / "cache"))
    data = toys.toy_data()
    few: dict[str, Any] = {"network": toys.NETWORK, "epochs": 1, "machine": toys.EAGER}
    chosen = select(data, "herding", 2, **few)
    (path,) = (tmp_path / "cache" / "experts").glob("*.safetensors")
    tensors, meta = read_tensors(path)
    name = next(name for name in tensors if name.startswith("state.") and tensors[name].dim() > 1)
    changes: dict[str, Callable[[], None]] = {
        "bool": lambda: tensors.update({name: tensors[name] > 0}),
        "half": lambda: tensors.update({name: tensors[name].half()}),
        "shape": lambda: tensors.update({name: tensors[name][None]}),
        "nan": lambda: tensors.update({name: tensors[name] * float("nan")}),
        "events": lambda: tensors.update(events=tensors["events"][:-1]),
        "other": lambda: meta.update(seed=7),
        "accuracy": lambda: meta.update(accuracy=99.9),
        "more": lambda: tensors.update(more=torch.zeros(2)),
    }
    changes[kind]()
    write_tensors(path, tensors, meta)
    assert select(data, "herding", 2, **few).fingerprint() == chosen.fingerprint()
    assert "more" not in read_tensors(path)[0]
    assert read_tensors(path)[1]["accuracy"] <= 1


def test_a_cache_without_its_seal_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from distillset import load

    monkeypatch.setenv("DISTILLSET_CACHE", str(tmp_path / "cache"))
    toy = toys.toy_file(tmp_path / "toy.npz")
    true = load(toy, watcher=Watcher()).train
    (card,) = (tmp_path / "cache").glob("toy-*/card.json")
    found = read_json(card)
    card.write_text(json.dumps({**found, "notes": [5]}))
    again = load(toy, watcher=Watcher())
    assert all(isinstance(note, str) for note in again.notes)
    assert again.train.fingerprint() == true.fingerprint()
