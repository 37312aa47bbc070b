"""Several processes at once share the caches; the same seed gives the same pixels in any process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from distillset.data.synthetic import SyntheticSet
from distillset.sources import cache
from distillset.store import read_json, read_tensors
from tests import toys
from tests.bad_input.case import EAGER
from tests.faults.folders import half_written, temporaries

RUNS = 8
FORKED = """
import os, sys
from distillset.commands import main
import distillset.commands.select, distillset.commands.evaluate  # before the forks: eight imports would take longer

out, toy, runs = sys.argv[1], sys.argv[2], int(sys.argv[3])
few = ["--network", sys.argv[4], "--epochs", "3", *sys.argv[5:]]
children = []
for run in range(runs):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            to = f"{out}/run-{run}"
            code = main(["select", "herding", "--data", toy, "--ipc", "1", "--out", to, *few])
            rows = ["--networks", sys.argv[4], "--repeats", "2", "--epochs", "2", "--save", *sys.argv[5:]]
            code = code or main(["evaluate", to, *rows])
        finally:
            os._exit(code)
    children.append(child)
sys.exit(sum(os.waitpid(child, 0)[1] != 0 for child in children))
"""


def test_eight_runs_at_once_share_the_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All decode the same data, train the same expert and the same networks, and keep them in the same places."""
    toy, life = toys.toy_file(tmp_path / "toy.npz"), tmp_path / "life"
    (life / "out").mkdir(parents=True)
    environment = {**os.environ, "DISTILLSET_CACHE": str(life / "cache"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", FORKED, str(life / "out"), str(toy), str(RUNS), toys.NETWORK, *EAGER]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "Traceback" not in ran.stderr
    assert half_written(life) == []
    assert temporaries(life) == []
    sets = [SyntheticSet.load(life / "out" / f"run-{run}") for run in range(RUNS)]
    assert len({made.fingerprint() for made in sets}) == 1
    rows = [json.loads((life / "out" / f"run-{run}" / "accuracy.json").read_text()) for run in range(RUNS)]
    assert len({json.dumps([row["accuracies"] for row in found]) for found in rows}) == 1
    (entry,) = (path for path in (life / "cache").glob("toy-*"))
    assert cache.read(entry) is not None
    (expert,) = (life / "cache" / "experts").glob("*.safetensors")
    read_tensors(expert)
    assert all(read_json(path)["accuracy"] >= 0 for path in (life / "cache" / "accuracies").glob("*.json"))
    assert not list((life / "cache").glob(f"{cache.STAGE}*"))


PRINTED = """
import sys
import torch
torch.set_num_threads(int(sys.argv[1]))
from distillset.methods import DC, DM
from tests.runs import distil
for method in (DM(batch_real=6), DC(batch_real=6, outer=2, inner=1)):
    print(distil(method=method, steps=3).fingerprint())
"""


def fingerprints(hash_seed: str) -> list[str]:
    threads = str(torch.get_num_threads())
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "OMP_NUM_THREADS": threads}
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", PRINTED, threads]
    ran = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, check=True)
    return ran.stdout.split()


def test_the_same_pixels_in_every_process() -> None:
    """Whatever the order in which this process has computed, and however Python's hashes are salted."""
    from distillset.methods import DC, DM
    from tests.runs import distil

    torch.rand(7)  # the global stream is nobody's
    here = [
        distil(method=method, steps=3).fingerprint()
        for method in (DM(batch_real=6), DC(batch_real=6, outer=2, inner=1))
    ]
    assert fingerprints("0") == fingerprints("77") == here
