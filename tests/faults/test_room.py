"""What cannot fit is refused before it is begun; memory that runs out is one line, on a CPU too."""

from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from distillset import evaluate, load, select
from distillset.commands import main
from distillset.engine import Compute, measure, room
from distillset.engine.compute import Work
from distillset.errors import InputError, wanted_memory
from distillset.machine import Machine
from distillset.nets import build
from distillset.watch import Watcher
from tests import toys
from tests.bad_input.case import EAGER
from tests.runs import distil

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets memory and disk have so many bytes free."""

    def set_free(memory: int = 2**50, disk: int = 2**50) -> None:
        monkeypatch.setattr(room, "free_memory", lambda device="cpu": memory)
        monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(disk, 0, disk))

    return set_free


def distill(toy: Path, out: Path, *more: str) -> int:
    return main(
        ["distill", "dm", "--data", str(toy), "--ipc", "1", "--steps", "2", "--batch-real", "4", "--quiet",
         "--network", toys.NETWORK, *EAGER, "--out", str(out), *more]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("more", "told"),
    [
        # 3 classes of 3x8x8 floats: 4.6 GB of images, and gradients and momenta, the last two twice in a folder
        (["--ipc", "2000000"], "--ipc 2000000: learning 6,000,000 images takes 23 GB of memory at least; 8.59 GB are"),
        (["--ipc", "9" * 30], "TB of memory at least"),
        # 128 maps of 64 MB in the first of its layers alone
        (["--resize", "4096x4096", "--network", "convnet"], "network: a single image takes"),
        # three images of 768 bytes
        (
            ["--steps", "3000000000", "--snapshots", "1000000000"],
            "--snapshots 1000000000: keeping so many sets of 2.3 KB",
        ),
    ],
)
def test_what_cannot_fit_is_refused_before_it_begins(
    toy_npz: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    few: Callable[..., None],
    more: list[str],
    told: str,
) -> None:
    few(memory=8 * 2**30, disk=2**40)
    assert distill(toy_npz, tmp_path / "run", *more) == 2
    assert told in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "run").exists()


def test_more_snapshots_than_steps_are_one_a_step(toy_npz: Path, tmp_path: Path) -> None:
    """A set of 1,000,000,001 numbers was made, before anything else."""
    assert distill(toy_npz, tmp_path / "run", "--snapshots", "1000000000") == 0
    kept = sorted(path.name for path in (tmp_path / "run" / "snapshots").iterdir())
    assert kept == [f"step-{step}.safetensors" for step in range(3)]


def test_a_run_without_steps_keeps_its_start(tmp_path: Path) -> None:
    distil(tmp_path / "run", steps=0, snapshots=10)
    assert [path.name for path in (tmp_path / "run" / "snapshots").iterdir()] == ["step-0.safetensors"]


def test_selections(toy_npz: Path, few: Callable[..., None]) -> None:
    few(memory=10**6)
    data = load(toy_npz, watcher=Watcher())
    with pytest.raises(InputError, match=r"ipc=1000: choosing 3,000 images takes 5\.18 MB of memory at least; 1 MB"):
        select(data, "random", 1000)
    assert len(select(data, "random", 10)) == 30


@pytest.mark.parametrize("sides", ["4096x4096", "3000x10"])
def test_decoding_for_a_disk_that_is_too_small(
    toy_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], few: Callable[..., None], sides: str
) -> None:
    """54 images of three channels."""
    few(disk=10**6)
    run = ["select", "random", "--data", str(toy_npz), "--ipc", "1", "--out", str(tmp_path / "set"), *EAGER]
    assert main([*run, "--resize", sides]) == 2
    shown = capsys.readouterr().err.splitlines()[-1]
    assert f"--resize {sides}: decoding the 54 images of toy takes" in shown
    assert "1 MB are free on the disk of" in shown
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("listed", [False, True])
def test_data_in_memory(few: Callable[..., None], listed: bool) -> None:
    images, labels = toys.pixels((3, 3))
    data = torch.utils.data.TensorDataset(images, labels) if listed else (images, labels)
    few(memory=10**6)
    with pytest.raises(InputError, match="of memory at least; 1 MB are free on cpu"):
        load(data, resize=(4000, 40), watcher=Watcher())
    few()
    assert load(data, resize=(40, 4), watcher=Watcher()).train.spec.shape == (3, 40, 4)


def test_experts_for_a_disk_that_is_too_small(
    toy_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], few: Callable[..., None]
) -> None:
    few(disk=10**9)
    run = ["experts", "--data", str(toy_npz), "--epochs", "1", "--network", toys.NETWORK, *EAGER]
    assert main([*run, "--count", "1000000", "--out", str(tmp_path / "experts")]) == 2
    assert "--count 1000000: keeping so many experts takes" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "experts").exists()


def test_a_network_that_an_image_of_does_not_fit(few: Callable[..., None]) -> None:
    few(memory=10**9)
    with pytest.raises(InputError, match="network: a single image takes 5 GB of memory at least; 1 GB are free"):
        Compute.resolve(Machine("cpu", "fp32", "off"), Work(held=10**9))
    assert Compute.resolve(Machine("cpu", "fp32", "off"), Work(held=10**8)).micro_batch >= 1


def test_a_large_image_is_measured_by_its_shapes() -> None:
    """The same numbers per pixel as of a small one, and no gigabyte is taken."""
    small, large = toys.spec_of(3, 64, 64), toys.spec_of(3, 2048, 2048)
    with torch.device("meta"):
        found = measure(build("ConvNetD1W8", large), large.shape, 1.0)
    one = measure(build("ConvNetD1W8", small), small.shape, 1.0)
    assert found.activations == one.activations * 1024
    assert found.held - 10 == (one.held - 10) * 1024
    assert found.flops == pytest.approx(one.flops * 1024)


def test_a_row_of_too_many_networks() -> None:
    """A list as long was made before the first one was trained, until the system ended the process."""
    with pytest.raises(InputError, match="repeats=1000000000: must be at most 100000"):
        evaluate(distil(ipc=1, steps=0), toys.toy_data(), repeats=10**9, machine=toys.EAGER)


class TestMemoryThatRanOut:
    """Whatever ran out, and wherever."""

    def test_what_pytorch_and_numpy_say(self) -> None:
        with pytest.raises(RuntimeError) as of_torch:
            torch.empty(2**55, dtype=torch.uint8)
        with pytest.raises(MemoryError) as of_numpy:
            np.empty(2**55, dtype=np.uint8)
        with pytest.raises(RuntimeError) as overflow:
            torch.empty(2**62, 2**62)
        assert wanted_memory(of_torch.value) == f": {2**55} bytes were asked for"
        assert wanted_memory(of_numpy.value) == ": 32.0 PiB were asked for"
        assert wanted_memory(overflow.value) == ""
        assert wanted_memory(MemoryError()) == ""
        assert wanted_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")) == (
            ": 2.00 GiB were asked for"
        )
        assert wanted_memory(RuntimeError("shapes cannot be multiplied")) is None
        assert wanted_memory(ValueError("out of memory")) is None

    @pytest.mark.parametrize("how", [lambda: torch.empty(2**55), lambda: np.empty(2**55), lambda: bytearray(2**60)])
    def test_it_is_one_line(
        self,
        toy_npz: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        how: Callable[[], object],
    ) -> None:
        monkeypatch.setattr("distillset.distillation.loop.Loop._pilot", lambda *_: how())
        assert distill(toy_npz, tmp_path / "run") == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("distillset: error: out of memory")
        assert "smaller --ipc, images, batches or networks need less, and so does --memory" in line
        monkeypatch.undo()
        assert distill(toy_npz, tmp_path / "run") == 0

    def test_another_failure_is_not_taken_for_it(
        self, toy_npz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> None:
            raise RuntimeError("a mistake of ours")

        monkeypatch.setattr("distillset.distillation.loop.Loop._pilot", fail)
        with pytest.raises(RuntimeError, match="a mistake of ours"):
            distill(toy_npz, tmp_path / "run")


class TestFree:
    """What the system says."""

    def test_of_this_machine(self, tmp_path: Path) -> None:
        free = room.free_memory()
        assert free is not None
        assert 2**20 < free < 2**50
        assert room.free_disk(tmp_path / "not" / "there") > 2**20

    def test_a_container_has_less(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """By the second version of control groups, and by the first: files in its cache can be let go."""
        monkeypatch.setattr(room, "CGROUPS", tmp_path)
        asked = room._read
        groups = {"/proc/self/cgroup": "0::/a/b\n"}
        monkeypatch.setattr(room, "_read", lambda path: groups.get(str(path)) or asked(path))
        (tmp_path / "a" / "b").mkdir(parents=True)
        (tmp_path / "a" / "memory.max").write_text("5000000\n")
        (tmp_path / "a" / "memory.stat").write_text("anon 2000000\nfile 3000000\n")
        (tmp_path / "a" / "b" / "memory.max").write_text("max\n")
        assert room.free_memory() == 3_000_000
        groups["/proc/self/cgroup"] = "4:memory:/c\n1:cpu:/\n"
        (tmp_path / "memory" / "c").mkdir(parents=True)
        (tmp_path / "memory" / "c" / "memory.limit_in_bytes").write_text("7000000\n")
        (tmp_path / "memory" / "c" / "memory.stat").write_text("total_rss 8000000\n")
        assert room.free_memory() == 0

    @pytest.mark.parametrize(
        ("count", "text"), [(12, "12 bytes"), (1200, "1.2 KB"), (5e9, "5 GB"), (2e15, "2,000 TB"), (999, "999 bytes")]
    )
    def test_sizes(self, count: float, text: str) -> None:
        assert room.size(count) == text
