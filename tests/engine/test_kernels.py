"""The kernels are built once, and which runs take them."""

import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from distillset.distillation.run_folder import resolve_compute
from distillset.engine import Compute, Work, compiler
from distillset.engine.kernels import FLAGS, available, library, sources
from distillset.errors import InputError
from distillset.machine import Machine
from tests.engine import test_normed, test_winograd

pytestmark = pytest.mark.skipif(compiler() is None, reason="no C++ compiler")


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """As if nothing had been asked of the kernels yet."""
    available.cache_clear()
    library.cache_clear()
    yield monkeypatch
    available.cache_clear()
    library.cache_clear()


def test_the_kernels_are_built_once_into_the_cache(unknown: pytest.MonkeyPatch, tmp_path: Path) -> None:
    unknown.setenv("DISTILLSET_CACHE", str(tmp_path))
    assert available()
    built = {path.name.split("-")[0]: path.stat().st_mtime_ns for path in (tmp_path / "kernels").glob("*.so")}
    assert sorted(built) == ["first", "narrow", "normed", "random", "winograd"]
    library.cache_clear()
    available.cache_clear()
    assert available()
    assert built == {path.name.split("-")[0]: path.stat().st_mtime_ns for path in (tmp_path / "kernels").glob("*.so")}
    assert {path.name for path in sources()} >= {f"{name}.cpp" for name in built}


def test_without_a_cache_or_a_compiler_there_are_none(unknown: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    unknown.setenv("DISTILLSET_CACHE", str(tmp_path / "file"))
    assert not Compute.resolve(Machine("cpu", "fp32", "on")).kernels
    available.cache_clear()
    unknown.setattr(shutil, "which", lambda name: None)
    assert not available()


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="flags of x86")
@pytest.mark.parametrize("flag", ["-D__AVX512F__", "-mno-avx512f", "-mno-avx"])
def test_they_are_right_at_every_width_of_vector(unknown: pytest.MonkeyPatch, tmp_path: Path, flag: str) -> None:
    """16, 8 or 4 numbers in a vector, whatever the processor's: the compiler makes wide ones of narrow ones."""
    unknown.setenv("DISTILLSET_CACHE", str(tmp_path))
    unknown.setattr("distillset.engine.kernels.FLAGS", (*FLAGS, flag))
    for shape in test_winograd.SHAPES:
        test_winograd.test_results_and_gradients_equal_float64(shape, torch.channels_last)
    for few in test_normed.SHAPES:
        test_normed.test_convolutions_of_few_channels_equal_float64(few)
        for type_ in test_normed.TYPES:
            test_normed.test_derivatives_of_a_first_block_equal_float64(few, type_)
            test_normed.test_derivatives_equal_float64((3, 32, 8, 6), 2, type_)
    assert len(list((tmp_path / "kernels").glob("*.so"))) == 4


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_compiled_functions_on_a_cpu_have_them(precision: str) -> None:
    found = Compute.resolve(Machine("cpu", precision, "on"))
    assert found.kernels
    assert any("kernels" in reason for reason in found.reasons)
    assert not Compute.resolve(Machine("cpu", precision, "off")).kernels


def test_micro_batches_are_larger_where_the_widest_layer_is_not_written_out() -> None:
    work = Work(activations=131_072, fewest=32_768)
    assert Compute.resolve(Machine("cpu", "fp32", "on"), work).micro_batch == 128
    assert Compute.resolve(Machine("cpu", "fp32", "off"), work).micro_batch == 32


def test_a_run_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """One begun before there were kernels stays without; one begun with them needs them."""
    begun = Compute.resolve(Machine("cpu", "fp32", "on")).to_json()
    assert resolve_compute(Machine(), Work(), {"compute": begun}).kernels
    before = {name: value for name, value in begun.items() if name != "kernels"}
    assert not resolve_compute(Machine(), Work(), {"compute": before}).kernels
    monkeypatch.setattr("distillset.engine.compute.available", lambda: False)
    with pytest.raises(InputError, match="the run was started with kernels, which need"):
        resolve_compute(Machine(), Work(), {"compute": begun})
