"""The kernels are built once, and which runs take them."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from distillset.engine import Compute, Work, compiler
from distillset.engine.kernels import available, library, sources
from distillset.errors import InputError
from distillset.run import resolve_compute

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
    assert sorted(built) == ["first", "narrow", "normed", "winograd"]
    library.cache_clear()
    available.cache_clear()
    assert available()
    assert built == {path.name.split("-")[0]: path.stat().st_mtime_ns for path in (tmp_path / "kernels").glob("*.so")}
    assert {path.name for path in sources()} >= {f"{name}.cpp" for name in built}


def test_without_a_cache_or_a_compiler_there_are_none(unknown: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    unknown.setenv("DISTILLSET_CACHE", str(tmp_path / "file"))
    assert not Compute.resolve("cpu", "fp32", "on").kernels
    available.cache_clear()
    unknown.setattr(shutil, "which", lambda name: None)
    assert not available()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_compiled_functions_on_a_cpu_have_them(precision: str) -> None:
    found = Compute.resolve("cpu", precision, "on")
    assert found.kernels
    assert any("kernels" in reason for reason in found.reasons)
    assert not Compute.resolve("cpu", precision, "off").kernels


def test_micro_batches_are_larger_where_the_widest_layer_is_not_written_out() -> None:
    work = Work(activations=131_072, fewest=32_768)
    assert Compute.resolve("cpu", "fp32", "on", work).micro_batch == 128
    assert Compute.resolve("cpu", "fp32", "off", work).micro_batch == 32


def test_a_run_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """One begun before there were kernels stays without; one begun with them needs them."""
    begun = Compute.resolve("cpu", "fp32", "on").to_json()
    assert resolve_compute("auto", "auto", "auto", Work(), {"compute": begun}).kernels
    before = {name: value for name, value in begun.items() if name != "kernels"}
    assert not resolve_compute("auto", "auto", "auto", Work(), {"compute": before}).kernels
    monkeypatch.setattr("distillset.engine.compute.available", lambda: False)
    with pytest.raises(InputError, match="the run was started with kernels that need"):
        resolve_compute("auto", "auto", "auto", Work(), {"compute": begun})
