"""What a command sets for its process, and that the library sets none of it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from distillset.commands import main
from distillset.data.synthetic import SyntheticSet
from distillset.distillation.run_folder import threads_before, threads_of
from distillset.engine import Compute, Engine
from distillset.errors import InterruptedRun
from tests.runs import METHOD, STEPS, Recorder, assert_same_end, distil, steps_logged
from tests.toys import NETWORK

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc")

GROWTH = """
import ctypes
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena b c d e f g h i j".split()]
libc.mallinfo2.restype = Info
def growth():
    before = libc.mallinfo2().arena
    while (now := libc.mallinfo2().arena) == before:
        libc.malloc(ctypes.c_size_t(100_000))
    return (now - before) // 2**20
"""
"""By how many MB the heap grows, once it has to: by 64 and more where memory is kept, else by less than one."""


def program(script: str, **environment: str) -> list[str]:
    """The words that a script prints last in a process of one thread."""
    found = {name: os.environ[name] for name in ("PATH", "DISTILLSET_CACHE")}
    found |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])}
    found["CXX"] = "none"  # kernels take long to build
    command = [sys.executable, "-c", GROWTH + script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**found, **environment})
    return done.stdout.splitlines()[-1].split()


# --- memory ----------------------------------------------------------------------------------------------------------


@linux
def test_memory_is_kept_unless_the_user_has_settings_of_their_own() -> None:
    script = "from distillset.commands.process import keep_memory; print(int(keep_memory()), growth())"
    told, grown = program(script)
    assert (told, int(grown) >= 64) == ("1", True)
    assert program(script, MALLOC_TRIM_THRESHOLD_="131072") == ["0", "0"]


@linux
def test_tensors_take_the_pages_of_those_before() -> None:
    """2 times 256 MB are 131,072 pages of 4 KB; with large pages fewer are counted, so only the ratio is asserted."""
    script = """
import resource, torch
from distillset.commands.process import keep_memory
keep_memory()
for _ in range(3):
    [torch.ones(2**22) for _ in range(16)]
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(2):
    [torch.ones(2**22) for _ in range(16)]
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    (few,), (many,) = program(script), program(script, MALLOC_TRIM_THRESHOLD_="131072")
    assert int(few) * 10 < int(many)


@linux
def test_a_command_keeps_memory_and_the_library_does_not() -> None:
    script = """
import distillset as ds
from distillset.commands import main
from tests import toys
data = toys.toy_data()
made = ds.distill(data, ds.DM(batch_real=4), 1, steps=1, network=toys.NETWORK, machine=toys.EAGER)
ds.evaluate(made, data, networks=[toys.NETWORK], repeats=1, protocol=ds.Protocol(epochs=1), machine=toys.EAGER)
library = growth()
assert main(["presets", "--json"]) == 0
print()
print(library, growth())
"""
    library, command = map(int, program(script))
    assert library == 0
    assert command >= 64


# --- waiting ---------------------------------------------------------------------------------------------------------

SAID = """
import contextlib, io, json, os, runpy, sys
sys.argv = ["distillset", "doctor", "--json"]
with contextlib.redirect_stdout(io.StringIO()) as shown, contextlib.suppress(SystemExit):
    runpy.run_module("distillset", run_name="__main__")
print(os.environ.get("OMP_WAIT_POLICY"), "|", json.loads(shown.getvalue())["machine"]["waiting"])
"""


def test_waiting_threads_of_a_command_sleep() -> None:
    told = " ".join(program(SAID))
    assert told == "passive | waiting threads sleep: OMP_WAIT_POLICY=passive, set by distillset"


@pytest.mark.parametrize("own", [{"OMP_WAIT_POLICY": "active"}, {"GOMP_SPINCOUNT": "99"}, {"KMP_BLOCKTIME": "7"}])
def test_a_user_says_how_threads_wait(own: dict[str, str]) -> None:
    ((name, value),) = own.items()
    policy, _, *told = program(SAID, **own)
    assert policy == own.get("OMP_WAIT_POLICY", "None")
    assert " ".join(told) == f"waiting threads do as the environment says: {name}={value}"


def test_nothing_is_set_once_pytorch_is_imported() -> None:
    policy, _, *told = program("import torch" + SAID)
    assert policy == "None"
    assert told[:3] == ["waiting", "threads", "spin,"]


@linux
def test_sleeping_threads_take_no_time() -> None:
    """After one sum of two threads the second waits for the next, for half a second in which the first does nothing."""
    script = """
import time
from distillset.commands.process import sleep_while_waiting
sleep_while_waiting()
import torch
torch.ones(2**18).add_(1)
start = time.process_time()
time.sleep(0.5)
print(time.process_time() - start)
"""
    how: list[dict[str, str]] = [{}, {"OMP_WAIT_POLICY": "active"}]
    asleep, spinning = (float(program(script, OMP_NUM_THREADS="2", **own)[0]) for own in how)
    assert asleep * 2 < spinning


# --- threads ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def threads() -> Iterator[int]:
    """Another number of threads than PyTorch has, which is put back."""
    before = torch.get_num_threads()
    yield before + 1
    torch.set_num_threads(before)


def test_an_engine_sets_no_threads(threads: int) -> None:
    Engine(Compute("cpu", "fp32", False, threads, 64))
    assert torch.get_num_threads() == threads - 1


def stopped(out: Path) -> None:
    with pytest.raises(InterruptedRun):
        distil(out, watcher=Recorder(stop_after=2))


def test_the_library_goes_on_with_the_threads_there_are_and_says_what_differs(tmp_path: Path, threads: int) -> None:
    torch.set_num_threads(threads)
    stopped(tmp_path)
    torch.set_num_threads(threads - 1)
    watcher = Recorder()
    distil(tmp_path, watcher=watcher)
    assert torch.get_num_threads() == threads - 1
    assert watcher.told(f"threads {threads - 1}: the run had {threads} before")
    assert SyntheticSet.load(tmp_path).card["settings"]["compute"]["threads"] == threads - 1


def test_nothing_is_said_of_the_same_threads(tmp_path: Path) -> None:
    stopped(tmp_path)
    watcher = Recorder()
    distil(tmp_path, watcher=watcher)
    assert not watcher.told("the run had")


def test_the_command_goes_on_with_the_threads_of_the_run(tmp_path: Path, toy_npz: Path, threads: int) -> None:
    few = ["distill", "dm", "--data", str(toy_npz), "--ipc", "2", "--network", NETWORK, "--quiet"]
    few += ["--batch-real", str(METHOD.batch_real), "--device", "cpu", "--precision", "fp32", "--compile", "off"]
    torch.set_num_threads(threads)
    for out in ("whole", "run"):
        assert main([*few, "--out", str(tmp_path / out), "--steps", str(STEPS if out == "whole" else 2)]) == 0
    torch.set_num_threads(threads - 1)
    assert main([*few, "--out", str(tmp_path / "run"), "--steps", str(STEPS)]) == 0
    assert torch.get_num_threads() == threads
    assert_same_end(tmp_path / "run", tmp_path / "whole")
    assert steps_logged(tmp_path / "run") == list(range(1, STEPS + 1))
    assert SyntheticSet.load(tmp_path / "run").card["settings"]["compute"]["threads"] == threads


@pytest.mark.parametrize("content", [b"", b"\0" * 9, b"\x02\0\0\0\0\0\0\0{}"])
def test_a_damaged_checkpoint_sets_no_threads(tmp_path: Path, content: bytes) -> None:
    assert threads_before(tmp_path / "nowhere") is None
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "step-3.safetensors").write_bytes(content)
    assert threads_before(tmp_path) is None


@pytest.mark.parametrize("threads", [0, -1, True, 2.0, "2", None, 10**9])
def test_threads_that_make_no_sense_are_not_taken(threads: object) -> None:
    assert threads_of({"compute": {"threads": threads}}) is None
    assert threads_of({"compute": {"threads": 3}}) == 3
    assert threads_of({"compute": None}) is threads_of([]) is None
