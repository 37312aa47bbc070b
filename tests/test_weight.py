"""How heavy it is to import: by what comes with it, and beside PyTorch itself, so that a slow machine is no matter."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def told(script: str) -> str:
    """What a fresh Python prints last."""
    found = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True)
    return found.stdout.splitlines()[-1]


def test_the_package_is_light_beyond_torch() -> None:
    script = """
import time
start = time.process_time()
import torch
between = time.process_time()
import distillset
for name in distillset.__all__:
    getattr(distillset, name)
print((time.process_time() - between) / (between - start))
"""
    assert float(told(script)) < 1


def test_nothing_heavy_comes_with_it() -> None:
    script = """
import sys, torch, torch.utils.data
before = set(sys.modules)
import distillset
for name in distillset.__all__:
    getattr(distillset, name)
heavy = {'datasets', 'pandas', 'sklearn', 'PIL', 'matplotlib', 'scipy', 'jinja2', 'pyarrow', 'sympy', 'torch._dynamo'}
print(sorted(heavy & set(sys.modules) - before))
"""
    assert told(script) == "[]"


def test_a_machine_needs_no_pytorch() -> None:
    assert told("import sys, distillset; distillset.Machine('cpu'); print('torch' in sys.modules)") == "False"


def test_a_short_run_does_not_import_the_compiler() -> None:
    """It takes as long as the run: PyTorch's optimisers and its counter of operations bring it."""
    script = """
import sys
import distillset as ds
from tests import toys
data, cpu = toys.toy_data(), ds.Machine("cpu", compile="off")
made = ds.distill(data.train, ds.DM(batch_real=4), 1, steps=2, network=toys.NETWORK, machine=cpu)
ds.evaluate(made, data, networks=[toys.NETWORK], repeats=1, protocol=ds.Protocol(epochs=1), machine=cpu)
print(sorted({'sympy', 'torch._dynamo', 'torch._inductor'} & set(sys.modules)))
"""
    assert told(script) == "[]"


def test_help_needs_no_torch() -> None:
    script = """
import contextlib, io, sys, time
from distillset.commands import main
with contextlib.redirect_stdout(io.StringIO()) as shown, contextlib.suppress(SystemExit):
    main(["--help"])
assert "distill" in shown.getvalue()
print("torch" in sys.modules, time.process_time())
"""
    torch, seconds = told(script).split()
    assert torch == "False"
    assert float(seconds) < 1


def test_a_submodule_does_not_hide_the_function_of_its_name() -> None:
    script = "import distillset.distillation.distill; import distillset as ds; print(callable(ds.distill))"
    assert told(script) == "True"
    assert told("import distillset.evaluation; from distillset import distill; print(callable(distill))") == "True"


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    script = "import distillset as ds; print(hasattr(ds, 'distil'), set(ds.__all__) <= set(dir(ds)), type(ds))"
    assert told(script) == "False True <class 'module'>"
