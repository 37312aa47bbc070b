"""A run's folder and the rules of going on; `test_distill` has them at work."""

from pathlib import Path
from typing import Any

import pytest
import torch

from distillset.distillation.run_folder import Checkpoint, RunFolder, check_same, resolve_compute
from distillset.engine import Compute, Work
from distillset.errors import InputError
from distillset.machine import Machine

WORK = Work(flops=1e6)


def checkpoint(step: int) -> Checkpoint:
    return Checkpoint(step, {"leaf.images": torch.full((2,), float(step))}, {"seed": 0}, 1.5, 0.25, memory=7)


def test_a_checkpoint_comes_back(tmp_path: Path) -> None:
    with RunFolder.open(tmp_path / "run") as run:
        assert run.latest() == (None, [])
        run.save(checkpoint(3))
        found, notes = run.latest()
    assert notes == []
    assert found is not None
    assert (found.step, found.settings, found.seconds, found.loss, found.memory) == (3, {"seed": 0}, 1.5, 0.25, 7)
    assert torch.equal(found.tensors["leaf.images"], torch.tensor([3.0, 3.0]))


def test_newest_is_by_number_and_two_are_kept(tmp_path: Path) -> None:
    with RunFolder.open(tmp_path / "run") as run:
        for step in (8, 9, 10, 100):
            run.save(checkpoint(step))
        found, _ = run.latest()
        assert found is not None
        assert found.step == 100
        assert {path.name for path in (tmp_path / "run" / "checkpoints").iterdir()} == {
            "step-10.safetensors", "step-100.safetensors",
        }  # fmt: skip


def test_a_damaged_one_does_not_crowd_out_good_ones(tmp_path: Path) -> None:
    with RunFolder.open(tmp_path / "run") as run:
        for step in (5, 9):
            run.save(checkpoint(step))
        (tmp_path / "run" / "checkpoints" / "step-9.safetensors").write_bytes(b"half")
        found, notes = run.latest()
        assert found is not None
        assert found.step == 5
        assert len(notes) == 1
        assert "step-9.safetensors" in notes[0]
        for step in (5, 6, 7):
            run.save(checkpoint(step))
        assert {path.name for path in (tmp_path / "run" / "checkpoints").iterdir()} == {
            "step-6.safetensors", "step-7.safetensors",
        }  # fmt: skip


def test_rewind_drops_what_came_later(tmp_path: Path) -> None:
    with RunFolder.open(tmp_path / "run") as run:
        run.rewind(3)
        assert not run.metrics.exists()
        for step in (1, 2, 3):
            run.log({"step": step})
        with run.metrics.open("a") as file:
            file.write('{"step": 4')
        run.rewind(2)
        assert run.metrics.read_text() == '{"step": 1}\n{"step": 2}\n'


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"seed": 1, "lr": 1.0}, "seed=1: .* started with 0"),
        ({"seed": 0, "lr": 2.0}, "lr=2.0: .* started with 1.0"),
        ({"seed": 0}, "lr=None: .* started with 1.0"),
        ({"seed": 0, "lr": 1.0, "batch_real": 3}, "batch_real=3: .* started with None"),
    ],
)
def test_the_first_difference_is_named(asked: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named):
        check_same({"seed": 0, "lr": 1.0, "compute": 1}, asked)
    check_same({"seed": 0, "lr": 1.0, "compute": 1}, {"lr": 1, "seed": 0, "compute": 2})
    with pytest.raises(InputError, match="rate=2"):
        check_same({"method": {"rate": 1}}, {"method": {"rate": 2}})


def stored(**changes: Any) -> dict[str, Any]:
    return {"compute": {**Compute("cpu", "fp32", False, 1, 17).to_json(), **changes}}


def test_compute_is_taken_from_the_run() -> None:
    found = resolve_compute(Machine(), Work(flops=1e30), stored(precision="bf16"))
    if found.device == "cpu":
        assert found.to_json() == stored(precision="bf16", threads=torch.get_num_threads())["compute"]
    found = resolve_compute(Machine("cpu", "fp32", "off"), WORK, stored())
    assert found.to_json() == stored(threads=torch.get_num_threads())["compute"]
    assert resolve_compute(Machine("cpu", "fp32", "off"), WORK, None) == Compute.resolve(
        Machine("cpu", "fp32", "off"), WORK
    )


def test_compute_that_contradicts_the_run_is_refused() -> None:
    with pytest.raises(InputError, match="precision='bf16': the run was started with fp32"):
        resolve_compute(Machine("cpu", "bf16", "off"), WORK, stored())
    with pytest.raises(InputError, match="compile='off': the run was started with on"):
        resolve_compute(Machine("cpu", "auto", "off"), WORK, stored(compile=True))


def test_another_device_chooses_anew() -> None:
    """The precision stays, as far as the result is defined by it; batches are the new device's."""
    found = resolve_compute(Machine("cpu", "auto", "off"), WORK, stored(device="cuda", compile=True, micro_batch=4096))
    assert (found.device, found.precision, found.compile, found.micro_batch) == ("cpu", "fp32", False, 32)
