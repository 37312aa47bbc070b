"""What ``auto`` chooses and why, and what is refused."""

import shutil
import sys

import pytest
import torch

from distillset.engine import Compute, Work, compiler, compute
from distillset.errors import InputError
from distillset.machine import Machine

LONG, SHORT = Work(flops=1e16), Work(flops=1e9)


@pytest.fixture
def with_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")


@pytest.fixture
def without_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)


def told(found: Compute, part: str) -> bool:
    return any(part in reason for reason in found.reasons)


@pytest.mark.usefixtures("with_compiler")
def test_long_runs_are_compiled() -> None:
    assert Compute.resolve("cpu", LONG).compile
    assert told(Compute.resolve("cpu", LONG), "long enough to gain from it")
    assert not Compute.resolve("cpu", SHORT).compile
    assert told(Compute.resolve("cpu", SHORT), "too little work to gain from compiling")
    assert Compute.resolve(Machine("cpu", compile="on"), SHORT).compile
    assert not Compute.resolve(Machine("cpu", compile="off"), LONG).compile


@pytest.mark.usefixtures("with_compiler")
def test_more_threads_make_a_run_shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    # 90 s are worth compiling: products at 0.12 TFLOP/s and 4.5 ns a number, a thread.
    work = Work(flops=46 * 0.12e12, numbers=45 / 4.5e-9)
    for threads in (1, 2):
        monkeypatch.setattr(torch, "get_num_threads", lambda now=threads: now)
        assert Compute.resolve("cpu", work).compile == (threads == 1)


@pytest.mark.usefixtures("without_compiler")
def test_without_a_compiler_auto_is_eager_and_says_so() -> None:
    assert compiler() is None
    found = Compute.resolve("cpu", LONG)
    assert not found.compile
    assert told(found, "not compiled: no C++ compiler")
    with pytest.raises(InputError, match="compile='on': no C"):
        Compute.resolve(Machine("cpu", compile="on"), LONG)


def test_the_compiler_is_the_one_that_torch_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/opt/{name}")
    monkeypatch.delenv("CXX", raising=False)
    assert compiler() == ("/opt/clang++" if sys.platform == "darwin" else "/opt/g++")
    monkeypatch.setenv("CXX", "icpx")
    assert compiler() == "/opt/icpx"


@pytest.mark.parametrize(("has", "precision"), [(True, "bf16"), (False, "fp32")])
def test_bf16_where_the_hardware_has_it(monkeypatch: pytest.MonkeyPatch, has: bool, precision: str) -> None:
    monkeypatch.setattr(compute, "has_bf16", lambda device: has)
    assert Compute.resolve("cpu").precision == precision
    for asked in ("fp32", "bf16"):
        found = Compute.resolve(Machine("cpu", asked))
        assert found.precision == asked
        assert told(found, "as asked")


@pytest.mark.parametrize(("activations", "micro_batch"), [(131_072, 64), (262_144, 32), (512, 16_384), (10**9, 1)])
def test_micro_batches_keep_activations_in_cache(activations: int, micro_batch: int) -> None:
    """Numbers of four bytes take twice the room of numbers of two."""
    assert Compute.resolve(Machine("cpu", "fp32"), Work(activations=activations)).micro_batch == max(
        1, micro_batch // 2
    )
    found = Compute.resolve(Machine("cpu", "bf16"), Work(activations=activations))
    assert found.micro_batch == micro_batch
    assert told(found, f"micro-batch {micro_batch}")


def test_threads_are_pytorch_s() -> None:
    assert Compute.resolve("cpu").threads == torch.get_num_threads()


def test_what_is_stored() -> None:
    found = Compute.resolve(Machine("cpu", "fp32", "off"))
    assert found.to_json() == {
        "device": "cpu", "precision": "fp32", "compile": False, "threads": torch.get_num_threads(), "micro_batch": 32,
        "kernels": False,
    }  # fmt: skip
    assert len(found.reasons) == 4


def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="device='cuda': this machine has 0 CUDA devices; use auto or cpu"):
        Compute.resolve("cuda")
    assert Compute.resolve().device == "cpu"


def test_a_gpu_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(compute, "has_bf16", lambda device: device.startswith("cuda"))
    found = Compute.resolve("auto", Work(flops=1e12))
    assert (found.device, found.precision, found.compile) == ("cuda", "bf16", False)
    assert found.micro_batch == 4096
    assert Compute.resolve("cuda:1").device == "cuda:1"
    with pytest.raises(InputError, match="device='cuda:2': this machine has 2"):
        Compute.resolve("cuda:2")
