"""Files that were cut, changed, emptied or swapped: seen by their checksums, named, and the good one used."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from distillset import load, select
from distillset.commands import main
from distillset.data.synthetic import SyntheticSet
from distillset.errors import InputError, InterruptedRun
from distillset.evaluation import Ledger
from distillset.methods import MTT
from distillset.reproduction import Results
from distillset.store import SEAL, cache_folder, read_json, read_tensors, write_sealed, write_tensors
from distillset.watch import Watcher
from tests import toys
from tests.bad_input.case import EAGER
from tests.runs import STEPS, Recorder, assert_same_end, distil

Damage = Callable[[Path], None]


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) * 2 // 3] ^= 1
    path.write_bytes(content)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def foreign(path: Path) -> None:
    """Something else under this name."""
    path.write_bytes(b"\x89PNG\r\n\x1a\n" * 40)


DAMAGES: list[Damage] = [cut, flipped, emptied, foreign]


# --- checkpoints -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_and_a_damaged_artifact(tmp_path: Path, uninterrupted: Path, damage: Damage) -> None:
    """All that the end of a run left is damaged but the checkpoint before the last: the end is made again."""
    out = tmp_path / "run"
    shutil.copytree(uninterrupted, out)
    before = out / "checkpoints" / "step-3.safetensors"
    with pytest.raises(InterruptedRun):
        distil(tmp_path / "half", watcher=Recorder(stop_after=3))
    shutil.copy(tmp_path / "half" / "checkpoints" / before.name, before)
    for name in ("synthetic.safetensors", "card.json", f"checkpoints/step-{STEPS}.safetensors"):
        damage(out / name)
    watcher = Recorder()
    distil(out, watcher=watcher)
    assert watcher.told(f"step-{STEPS}.safetensors")
    assert watcher.told(f"resuming at step 3 of {STEPS}")
    assert_same_end(out, uninterrupted)


def test_a_checkpoint_of_another_run_is_passed_over(tmp_path: Path, uninterrupted: Path) -> None:
    out, other = tmp_path / "run", tmp_path / "other"
    with pytest.raises(InterruptedRun):
        distil(out, watcher=Recorder(stop_after=3))
    with pytest.raises(InterruptedRun):
        distil(other, seed=1, watcher=Recorder(stop_after=5))
    shutil.copy(other / "checkpoints" / "step-5.safetensors", out / "checkpoints")
    watcher = Recorder()
    distil(out, watcher=watcher)
    assert watcher.told("step-5.safetensors: of another run (seed=0: the run in this folder was started with 1")
    assert_same_end(out, uninterrupted)


def test_a_checkpoint_under_another_name_is_passed_over(tmp_path: Path, uninterrupted: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(InterruptedRun):
        distil(out, watcher=Recorder(stop_after=3))
    shutil.copy(out / "checkpoints" / "step-3.safetensors", out / "checkpoints" / "step-5.safetensors")
    watcher = Recorder()
    distil(out, watcher=watcher)
    assert watcher.told("step-5.safetensors: holds step 3")
    assert_same_end(out, uninterrupted)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"leaf.images": torch.zeros(5, 3, 8, 8)},
            r"none of its learned tensors is torch\.float32 \[6, 3",
        ),
        ({"leaf.images": None}, "none of its learned tensors is torch"),
    ],
)
def test_a_checkpoint_with_other_tensors_is_named(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    """Its checksum is right: only a program could write it."""
    out = tmp_path / "run"
    with pytest.raises(InterruptedRun):
        distil(out, watcher=Recorder(stop_after=3))
    for path in (out / "checkpoints").iterdir():
        tensors, meta = read_tensors(path)
        changed = {name: value for name, value in {**tensors, **change}.items() if value is not None}
        write_tensors(path, changed, meta)
    with pytest.raises(InputError, match=f"checkpoint of step 3: {told}"):
        distil(out)


@given(lines=st.lists(st.binary(max_size=40), max_size=6))
def test_a_log_of_anything_is_rewound(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    out = tmp_path_factory.mktemp("log") / "run"
    out.mkdir()
    from distillset.distillation.run_folder import RunFolder

    (out / "metrics.jsonl").write_bytes(b'{"step": 1}\n' + b"\n".join(lines))
    RunFolder(out).rewind(2)
    assert (out / "metrics.jsonl").read_text().startswith('{"step": 1}\n')


# --- experts ---------------------------------------------------------------------------------------------------------

MTT_SMALL = MTT(expert_count=2, max_start=2, expert_epochs=1, syn_steps=2)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_state_of_an_expert_is_named_and_can_be_made_again(tmp_path: Path, damage: Damage) -> None:
    whole, out = tmp_path / "whole", tmp_path / "run"
    distil(whole, method=MTT_SMALL, seed=1)  # whose first student is beside that expert
    shutil.copytree(whole / "experts", out / "experts")
    state = out / "experts" / "expert-001" / "epoch-00.safetensors"
    kept = state.read_bytes()
    damage(state)
    with pytest.raises(InputError, match=r"epoch-00\.safetensors: .*run the command that trained these experts"):
        distil(out, method=MTT_SMALL, seed=1)
    state.unlink()
    distil(out, method=MTT_SMALL, seed=1)
    assert state.read_bytes() == kept
    assert torch.equal(SyntheticSet.load(out).images, SyntheticSet.load(whole).images)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_card_of_experts_is_named(tmp_path: Path, damage: Damage) -> None:
    out = tmp_path / "run"
    with pytest.raises(InterruptedRun):
        distil(out, method=MTT_SMALL, watcher=Recorder(stop_after=1))
    damage(out / "experts" / "experts.json")
    with pytest.raises(InputError, match=r"experts\.json: "):
        distil(out, method=MTT_SMALL)


@pytest.mark.parametrize(
    ("vector", "fields", "told"),
    [
        (torch.zeros(3), {}, r"parameters are torch\.float32 \[3\]; float32 \[\d+\] is needed"),
        (torch.zeros(3, dtype=torch.int64), {}, r"parameters are torch\.int64 \[3\]"),
        (None, {"epoch": 9}, "it is of another expert or epoch than its name says"),
    ],
)
def test_a_state_of_other_numbers_is_named(
    tmp_path: Path, vector: torch.Tensor | None, fields: dict[str, int], told: str
) -> None:
    """With a checksum that is right: only a program could write it."""
    out = tmp_path / "run"
    with pytest.raises(InterruptedRun):
        distil(out, method=MTT_SMALL, watcher=Recorder(stop_after=1))
    for path in (out / "experts").glob("expert-*/*.safetensors"):
        inside, meta = read_tensors(path)
        write_tensors(path, inside if vector is None else {"parameters": vector}, {**meta, **fields})
    with pytest.raises(InputError, match=told):
        distil(out, method=MTT_SMALL)


# --- caches ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DISTILLSET_CACHE", str(tmp_path / "cache"))
    return toys.toy_file(tmp_path / "toy.npz")


def pixels_of(toy: Path) -> tuple[torch.Tensor, str]:
    data = load(toy, watcher=Watcher())
    return data.train.images.clone(), data.train.fingerprint()


@pytest.mark.parametrize("name", ["train.bin", "test.bin", "labels.safetensors", "card.json"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cache_is_made_anew(toy: Path, name: str, damage: Damage) -> None:
    pixels, fingerprint = pixels_of(toy)
    (entry,) = cache_folder().glob("toy-*")
    damage(entry / name)
    again, print_again = pixels_of(toy)
    assert torch.equal(again, pixels)
    assert print_again == fingerprint
    assert [path.name for path in cache_folder().iterdir()] == [entry.name]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_expert_of_the_selectors_is_trained_again(toy: Path, damage: Damage) -> None:
    data = load(toy, watcher=Watcher())
    few: dict[str, Any] = {"network": toys.NETWORK, "epochs": 2, "machine": toys.EAGER}
    chosen = select(data, "herding", 2, **few)
    (kept,) = (cache_folder() / "experts").glob("*.safetensors")
    damage(kept)
    assert torch.equal(select(data, "herding", 2, **few).images, chosen.images)
    read_tensors(kept)


# --- ledgers, studies, results ---------------------------------------------------------------------------------------

ENTRY = {"set": "abc", "seed": 0, "recipe": {"epochs": 3}, "i": 1}


def test_a_ledger_never_gives_a_changed_number(tmp_path: Path) -> None:
    """Each bit of the file in turn: the number that was measured, or none."""
    ledger = Ledger(tmp_path)
    ledger.add(ENTRY, {"accuracy": 0.4375, "seconds": 1.5})
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 1 << position % 8
        path.write_bytes(changed)
        assert ledger.find(ENTRY) in (None, {"accuracy": 0.4375, "seconds": 1.5}), position
    for damage in DAMAGES:
        path.write_bytes(content)
        damage(path)
        assert ledger.find(ENTRY) is None
    path.write_bytes(content)
    assert ledger.find(ENTRY) == {"accuracy": 0.4375, "seconds": 1.5}


def test_a_ledger_knows_an_entry_of_another_training(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.add(ENTRY, {"accuracy": 0.5, "seconds": 1.0})
    (mine,) = tmp_path.iterdir()
    ledger.add({**ENTRY, "i": 2}, {"accuracy": 0.9, "seconds": 1.0})
    (other,) = (path for path in tmp_path.iterdir() if path != mine)
    shutil.copy(other, mine)
    assert ledger.find(ENTRY) is None


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_study_is_named(
    toy: Path, tmp_path: Path, damage: Damage, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "study"
    arguments = ["continual", "--data", str(toy), "--out", str(out), "--steps", "3", "--ipc", "1", "--seeds", "0",
                 "--memory", "random", "--network", toys.NETWORK, "--epochs", "0", "--repeats", "1", "--quiet",
                 *EAGER]  # fmt: skip
    assert main(arguments) == 0
    before = json.loads((out / "continual.json").read_text())["points"]
    (kept,) = [(out / "study.json").read_bytes()]
    damage(out / "study.json")
    capsys.readouterr()
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"distillset: error: {out}/study.json: ")
    (out / "study.json").write_bytes(kept)
    for name in ("card.json", "synthetic.safetensors"):
        damage(out / "random" / "order-0" / "step-2" / name)
    assert main(arguments) in (0, 2)
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    after = json.loads((out / "continual.json").read_text())["points"]
    assert [point["by_order"] for point in after] == [point["by_order"] for point in before]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_result_is_named(tmp_path: Path, damage: Damage) -> None:
    row = {"artifact": "dm", "network": "convnet", "protocol": "dm", "mean": 0.5, "std": 0.1, "n": 2, "sets": 1}
    result = {"data": {"name": "toy"}, "method": "dm", "ipc": 1, "steps": 3, "steps_published": 3, "settings": {}}
    write_sealed(tmp_path / "dm-toy-1.json", {**result, "published": None, "rows": [{**row, "networks": 2}]})
    results = Results(tmp_path)
    assert results.read("dm-toy-1") is not None
    damage(tmp_path / "dm-toy-1.json")
    with pytest.raises(InputError, match=r"dm-toy-1\.json: "):
        results.read("dm-toy-1")


# --- seals -----------------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(value=st.dictionaries(st.text(max_size=5).filter(lambda name: name != SEAL), JSON, max_size=4), data=st.data())
def test_what_is_sealed_comes_back_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, value: dict[str, Any], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("seal") / "a.json"
    try:
        write_sealed(path, value)
    except UnicodeEncodeError:  # lone surrogates are no text
        return
    assert read_json(path) == value
    content = bytearray(path.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    try:
        found = read_json(path)
    except InputError:
        return
    # What escapes: white space, the spelling of an equal number, and the name of the seal itself.
    assert found == value or {name: part for name, part in found.items() if name in value} == value
