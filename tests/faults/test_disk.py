"""A disk that is full, cannot be written or loses the folder of a run: one line, and nothing lost that was whole."""

import errno
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock
import pytest
import torch

from distillset.commands import main
from distillset.data.synthetic import SyntheticSet
from distillset.distillation.record import Record
from distillset.errors import DiskError, InputError
from distillset.store import LOCK, locked, read_json, sweep, write_atomically, write_json
from distillset.training import ExpertSetting, train_experts
from distillset.watch import Watcher
from tests import toys
from tests.bad_input.case import EAGER
from tests.faults.folders import half_written, temporaries
from tests.runs import STEPS, assert_same_end, distil

KEEP_ALL = Record(checkpoint_seconds=0.0)


class At(Watcher):
    """Does something after a step."""

    def __init__(self, wanted: int, act: Callable[[], object]) -> None:
        self.wanted, self.act = wanted, act

    def step(self, step: int, steps: int, loss: float) -> None:
        if step == self.wanted:
            self.act()

    def epoch(self, epoch: int, epochs: int, loss: float) -> None:
        self.step(epoch, epochs, loss)


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """As a full disk: a write beyond ``size`` bytes of a file fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_fills_up_during_a_run(tmp_path: Path, uninterrupted: Path) -> None:
    """A checkpoint has about 10,000 bytes."""
    out = tmp_path / "run"

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (6000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

    with files_of_at_most(2**40), pytest.raises(DiskError, match=r"safetensors: cannot be written .*File too large"):
        distil(out, watcher=At(3, fill), record=KEEP_ALL)
    assert half_written(tmp_path) == []
    assert temporaries(out) == []
    assert (out / "checkpoints" / "step-2.safetensors").is_file()
    distil(out)
    assert_same_end(out, uninterrupted)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("call", [1, 4, 9])
def test_any_write_that_fails(
    tmp_path: Path, uninterrupted: Path, monkeypatch: pytest.MonkeyPatch, number: int, call: int
) -> None:
    out, calls, sync = tmp_path / "run", [0], os.fsync

    def fail(file: int) -> None:
        calls[0] += 1
        if calls[0] >= call:
            raise OSError(number, os.strerror(number))
        sync(file)

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", fail)
        with pytest.raises(
            DiskError, match=f"cannot be written \\({os.strerror(number)}\\); files that were complete are unchanged"
        ):
            distil(out, record=KEEP_ALL)
    assert half_written(tmp_path) == []
    assert temporaries(out) == []
    distil(out)
    assert_same_end(out, uninterrupted)


def test_the_command_line_says_so_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DISTILLSET_CACHE", str(tmp_path / "cache"))
    toy = toys.toy_file(tmp_path / "toy.npz")
    run = ["distill", "dm", f"--data={toy}", "--ipc", "1", "--steps", "1", "--batch-real", "4", "--quiet"]
    arguments = [*run, "--network", toys.NETWORK, *EAGER, "--out", str(tmp_path / "run")]
    assert main([*arguments[:-1], str(tmp_path / "good")]) == 0  # the data are in the cache
    capsys.readouterr()

    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        assert main(arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        f"distillset: error: {tmp_path}/run/checkpoints/step-0.safetensors: cannot be written (No space"
    )
    assert main(arguments) == 0


def test_a_folder_that_cannot_be_written_from_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def read_only(path: Any, flags: int, *more: Any, **named: Any) -> int:
        if Path(path).is_relative_to(tmp_path) and flags & (os.O_WRONLY | os.O_RDWR):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return real(path, flags, *more, **named)

    (tmp_path / "run").mkdir()
    monkeypatch.setattr("os.open", read_only)
    with pytest.raises(InputError, match=r"run: cannot be written \(Read-only file system\)"):
        distil(tmp_path / "run")


@pytest.mark.parametrize("replaced", [False, True])
def test_a_folder_that_is_removed_during_the_run(tmp_path: Path, replaced: bool) -> None:
    out = tmp_path / "run"

    def remove() -> None:
        shutil.rmtree(out)
        if replaced:  # by another process, with whose files this run's must not be mixed
            out.mkdir()
            (out / LOCK).touch()

    with pytest.raises(DiskError, match="run: was removed or replaced during the run"):
        distil(out, watcher=At(3, remove), record=KEEP_ALL)
    assert out.exists() == replaced
    if replaced:
        assert [path.name for path in out.iterdir()] == [LOCK]
    distil(out, seed=1)


def test_experts_whose_folder_is_removed(tmp_path: Path) -> None:
    engine, real, out = toys.engine(), toys.toy(), tmp_path / "experts"
    from distillset.nets import build

    setting = ExpertSetting(real.fingerprint(), "none", toys.NETWORK)
    with pytest.raises(DiskError, match="experts: was removed"):
        train_experts(
            engine, build(toys.NETWORK, real.spec), real, setting, out, 2, 3, At(2, lambda: shutil.rmtree(out))
        )
    assert not out.exists()


@pytest.mark.parametrize("verb", ["select", "experts", "continual", "distill", "nas"])
def test_of_two_on_one_folder_the_second_is_refused(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DISTILLSET_CACHE", str(tmp_path / "cache"))
    more = {
        "select": ["random", "--ipc", "1"],
        "experts": ["--count", "1", "--epochs", "1", "--network", toys.NETWORK],
        "continual": ["--memory", "random", "--steps", "2", "--ipc", "1"],
        "distill": ["dm", "--ipc", "1", "--steps", "1", "--batch-real", "4", "--network", toys.NETWORK],
        "nas": ["--proxy", "random", "--sample", "4", "--ipc", "1"],
    }[verb]
    toy, out = toys.toy_file(tmp_path / "toy.npz"), tmp_path / "out"
    with locked(out):
        assert main([verb, more[0], *more[1:], "--data", str(toy), "--out", str(out), *EAGER]) == 2
    assert f"{out}: another run is using this folder" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == [LOCK]


def test_a_lock_that_was_removed_while_it_was_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever held the folder removes its lock when it leaves: the next must not hold a file that nobody else sees."""
    lock, calls = filelock.lock_descriptor, [0]

    def late(opened: int, *, blocking: bool) -> bool:
        calls[0] += 1
        if calls[0] == 1:
            (tmp_path / LOCK).unlink()
        return lock(opened, blocking=blocking)

    with monkeypatch.context() as patch:
        patch.setattr("filelock.lock_descriptor", late)
        with locked(tmp_path):
            patch.undo()
            assert (tmp_path / LOCK).is_file()
            with pytest.raises(InputError, match="another run"), locked(tmp_path):
                pass
    assert calls[0] == 2


def test_what_is_being_written_is_not_swept_and_what_was_left_is(tmp_path: Path) -> None:
    left = tmp_path / ".card.json.1-abcd.tmp"
    left.write_text("half")
    (tmp_path / ".set.1-abcd.tmp").mkdir()
    (tmp_path / ".set.1-abcd.tmp" / "file").write_text("half")

    def write(temporary: Path) -> None:
        assert not left.exists(), "what a killed writer of this very file left"
        temporary.write_text("{}")
        sweep(tmp_path)
        assert temporary.is_file(), "somebody is writing it"

    write_atomically(tmp_path / "card.json", write)
    assert [path.name for path in tmp_path.iterdir()] == ["card.json"]


def test_what_was_whole_stays_when_the_disk_is_full(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write_json(path, {"n": 1})
    with files_of_at_most(1000), pytest.raises(DiskError, match="File too large"):
        write_json(path, {"n": "x" * 5000})
    assert read_json(path) == {"n": 1}
    assert os.listdir(tmp_path) == ["results.json"]  # noqa: PTH208


def test_a_run_of_the_same_folder_by_another_name_is_the_same_folder(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "run")
    (tmp_path / "run").mkdir()
    with locked(tmp_path / "run"), pytest.raises(InputError, match="another run"):
        distil(tmp_path / "link")
    distil(tmp_path / "link", steps=1)
    assert torch.isfinite(SyntheticSet.load(tmp_path / "run").images).all()
    assert STEPS > 1
