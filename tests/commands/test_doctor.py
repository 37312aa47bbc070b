"""``distillset doctor`` tells what is there, and what the engine itself says ``auto`` is."""

import argparse
import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch

from distillset.commands import doctor
from distillset.commands.process import waiting
from distillset.engine.compute import Compute


def run(*arguments: str) -> int:
    """The verb as the command line calls it."""
    parser = argparse.ArgumentParser()
    doctor.add(parser.add_subparsers(required=True))
    options = parser.parse_args(["doctor", *arguments])
    code: int = options.run(options)
    return code


def as_json(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert run("--json") == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_json_tells_versions_and_machine(capsys: pytest.CaptureFixture[str]) -> None:
    found = as_json(capsys)
    assert found["versions"]["python"] == platform.python_version()
    assert found["versions"]["torch"] == version("torch")
    assert found["versions"]["scikit-learn"] == version("scikit-learn")
    assert found["machine"]["threads"] == torch.get_num_threads()
    assert found["machine"]["waiting"] == waiting()
    assert 1 <= found["machine"]["cores"] <= (os.cpu_count() or 1)
    assert found["machine"]["memory"] > 2**28
    assert [device["device"] for device in found["devices"]] == [
        "cpu",
        *(f"cuda:{index}" for index in range(torch.cuda.device_count())),
    ]


def test_auto_is_what_the_engine_resolves(capsys: pytest.CaptureFixture[str]) -> None:
    auto = as_json(capsys)["auto"]
    resolved = Compute.resolve("auto", doctor.PUBLISHED)
    assert (auto["device"], auto["precision"], auto["compile"], auto["micro_batch"]) == (
        resolved.device, resolved.precision, resolved.compile, resolved.micro_batch,
    )  # fmt: skip
    assert auto["reasons"] == list(resolved.reasons)


def test_the_page_gives_every_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    shown = capsys.readouterr().out
    for reason in Compute.resolve("auto", doctor.PUBLISHED).reasons:
        assert reason in shown


def test_a_missing_package_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(doctor, "PACKAGES", ("torch", "no-such-package-anywhere"))
    assert as_json(capsys)["versions"]["no-such-package-anywhere"] is None
    assert run() == 0
    assert "no-such-package-anywhere not installed" in capsys.readouterr().out


def test_no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty PATH has none, and then ``auto`` on a CPU does not compile."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    found = as_json(capsys)
    assert found["compiler"] is None
    assert found["auto"]["compile"] is False
    assert run() == 0
    assert "no C++ compiler\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("script", "told"), [("echo 'c++ 99.1'; echo more", "c++ 99.1"), ("exit 1", None)], ids=["works", "broken"]
)
def test_the_compiler_is_asked_for_its_version(
    script: str,
    told: str | None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    program(tmp_path, "mycc", script)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CXX", "mycc")
    assert as_json(capsys)["compiler"] == {"command": str(tmp_path / "mycc"), "version": told}


def test_the_cache_may_not_be_there_yet(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "not" / "there"
    monkeypatch.setenv("DISTILLSET_CACHE", str(folder))
    cache = as_json(capsys)["cache"]
    assert cache["folder"] == str(folder)
    assert cache["free"] > 0
    assert not folder.exists()


def test_memory_is_the_container_s_where_that_is_less(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(doctor, "CGROUP_LIMITS", (limit,))
    whole = doctor._memory()
    limit.write_text("123456789\n")
    assert doctor._memory() == 123456789
    limit.write_text("max\n")
    assert doctor._memory() == whole
    limit.write_text(f"{2**63}\n")
    assert doctor._memory() == whole
