"""What is compiled is found again by the next process."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from distillset.engine import compiler
from distillset.engine.hardware import processor
from distillset.engine.kernels.normed import OPAQUE

ROOT = Path(__file__).parents[2]
needs_compiler = pytest.mark.skipif(compiler() is None, reason="needs a C++ compiler")

RUNS = """
import hashlib, json, sys
import torch
import distillset as ds
from torch._dynamo.utils import counters
from tests import toys

def digest(tensor):
    return hashlib.sha256(tensor.numpy().tobytes()).hexdigest()

data, network = toys.toy_data(), "ConvNetD1W32"
machine = ds.Machine("cpu", sys.argv[1], "on")
methods, networks = [ds.DM(batch_real=4)], []
if sys.argv[1] == "fp32":
    methods += [ds.DC(batch_real=4), ds.MTT(syn_steps=2, expert_epochs=1, max_start=1, expert_count=1)]
    networks = [network, network + "BN"]
made = [ds.distill(data, method, 1, steps=1, network=network, machine=machine) for method in methods]
short = ds.Protocol(epochs=1)
rows = ds.evaluate(made[0], data, networks=networks, repeats=1, protocol=short, beside=(), machine=machine)
print(json.dumps({
    "results": [digest(one.images) for one in made] + [row.mean for row in rows],
    "graphs": counters["stats"]["unique_graphs"],
    "traced": {name: counters["aot_autograd"][f"autograd_cache_{name}"] for name in ("hit", "miss", "bypass")},
    "code": {name: counters["inductor"][f"fxgraph_cache_{name}"] for name in ("hit", "miss", "bypass")},
}))
"""


def sitting(cache: Path, precision: str) -> dict[str, Any]:
    """What a process with this cache of compiled code computes and counts."""
    found = {name: value for name, value in os.environ.items() if not name.startswith("TORCH")}
    found |= {"TORCHINDUCTOR_CACHE_DIR": str(cache), "OMP_NUM_THREADS": "1"}
    found["PYTHONPATH"] = os.pathsep.join([str(ROOT), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", RUNS, precision], cwd=ROOT, env=found, check=True, capture_output=True, text=True
    )
    counted: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return counted


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_second_process_compiles_nothing(tmp_path: Path, precision: str) -> None:
    first, second = sitting(tmp_path, precision), sitting(tmp_path, precision)
    assert first["graphs"] == second["graphs"] >= 2
    assert first["code"]["miss"] >= first["traced"]["miss"] == first["graphs"]
    assert second["traced"] == {"hit": second["graphs"], "miss": 0, "bypass": 0}
    assert second["code"] == {"hit": first["code"]["miss"], "miss": 0, "bypass": 0}
    assert first["results"] == second["results"]


@needs_compiler
def test_what_the_cache_is_told_of_is_there() -> None:
    """It looks functions up by these names, and says nothing of one that it does not meet."""
    from distillset.engine.graphs import AUTOCAST

    assert len(OPAQUE) == 2
    for name in (*OPAQUE, *AUTOCAST):
        module, _, function = name.rpartition(".")
        found = getattr(importlib.import_module(module), function)
        assert f"{found.__module__}.{found.__name__}" == name


@needs_compiler
def test_code_is_kept_by_what_decides_it() -> None:
    from distillset.engine.graphs import options

    told = [
        json.dumps(options(*how)["unsafe_marked_cacheable_functions"])
        for how in ((), (torch.float32,), (torch.float32, True), (torch.bfloat16,))
    ]
    assert len(set(told)) == len(told)
    assert all(json.dumps(f"{torch.__version__} {processor()}") in one for one in told)
    assert "post_grad_custom_pre_pass" in options(torch.float32)
    assert "post_grad_custom_pre_pass" not in options(torch.bfloat16)
