"""The check that nothing loads a pickle: it has to catch each form, and let the safe ones pass."""

from pathlib import Path

import pytest

from tools.check_no_pickle import findings, main

REFUSED = {
    "import pickle": "import of pickle",
    "import pickle as p": "import of pickle",
    "import os, dill": "import of dill",
    "import joblib.numpy_pickle": "import of joblib.numpy_pickle",
    "from pickle import loads": "import of pickle",
    "from joblib import load": "import of joblib",
    "from torch import package": "import of torch.package",
    "def f():\n    import cloudpickle": "import of cloudpickle",
    "import shelve": "import of shelve",
    "import marshal": "import of marshal",
    "import importlib\nimportlib.import_module('pickle')": "import of pickle",
    "from importlib import import_module as get\nget(name='dill')": "import of dill",
    "__import__('_pickle')": "import of _pickle",
    "import torch\ntorch.load(path)": "torch.load without weights_only=True",
    "import torch as t\nt.load(path, map_location='cpu')": "torch.load without weights_only=True",
    "from torch import load as read\nread(path)": "torch.load without weights_only=True",
    "from torch.serialization import load\nload(path)": "torch.load without weights_only=True",
    "import torch\ntorch.load(path, weights_only=False)": "weights_only is not literally True",
    "import torch\ntorch.load(path, weights_only=flag)": "weights_only is not literally True",
    "import torch\ntorch.load(path, weights_only=1)": "weights_only is not literally True",
    "import torch\ntorch.load(path, **options)": "torch.load without weights_only=True",
    "import torch\nread = torch.load": "torch.load without weights_only=True",
    "import torch\ngetattr(torch, 'load')(path)": "torch.load without weights_only=True",
    "import torch\ntorch.save(x, path)": "use of torch.save",
    "import torch\ntorch.serialization.save(x, path)": "use of torch.save",
    "import torch\nlist(map(torch.save, xs, paths))": "use of torch.save",
    "import torch\ntorch.jit.load(path)": "use of torch.jit.load",
    "import torch\ntorch.hub.load('a', 'b')": "use of torch.hub.load",
    "import torch\ntorch.package.PackageImporter(path)": "use of torch.package",
    "import torch.distributed as dist\ndist.broadcast_object_list(x)": "use of torch.distributed.broadcast_object_list",
    "import numpy as np\nnp.load(path)": "numpy.load without allow_pickle=False",
    "import numpy\nnumpy.load(path, mmap_mode='r')": "numpy.load without allow_pickle=False",
    "import numpy as np\nnp.load(path, allow_pickle=True)": "allow_pickle is not literally False",
    "import numpy as np\nnp.load(path, allow_pickle=flag)": "allow_pickle is not literally False",
    "import numpy as np\nnp.load(path, allow_pickle=0)": "allow_pickle is not literally False",
    "import numpy as np\nnp.save(path, x)": "numpy.save without allow_pickle=False",
    "loader(path, allow_pickle=True)": "allow_pickle is not literally False",
    "import pandas as pd\npd.read_pickle(path)": "use of pandas.read_pickle",
    "frame.to_pickle(path)": "use of .to_pickle",
}

ALLOWED = [
    "import torch\ntorch.load(path, weights_only=True)",
    "from torch import load as read\nread(path, map_location='cpu', weights_only=True)",
    "import numpy as np\nwith np.load(path, allow_pickle=False) as arrays: pass",
    "import numpy as np\nnp.save(path, x, allow_pickle=False)",
    "from safetensors.torch import load_file, save_file\nload_file(path)",
    "import json\njson.load(file)",
    "from distillset.sources.load import load\nload('digits')",
    "from . import pickle",
    "text = 'import pickle'  # import pickle",
    "joblib = 3\njoblib.real",
    "import torch\ntorch.packages",
]


@pytest.mark.parametrize("source", REFUSED)
def test_each_form_is_caught(source: str) -> None:
    """The one fault is on the last line, and its message names it."""
    last = source.count("\n") + 1
    assert (last, REFUSED[source]) in [(finding.line, finding.message) for finding in findings(source)]


@pytest.mark.parametrize("source", ALLOWED)
def test_what_is_safe_passes(source: str) -> None:
    assert findings(source) == []


def test_places_are_told_and_the_exit_code_says_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "good.py").write_text("import json\n")
    assert main([str(folder)]) == 0

    bad = folder / "bad.py"
    bad.write_text("import json\n\nif json:\n    import dill\n")
    capsys.readouterr()
    assert main([str(folder)]) == 1
    assert f"{bad}:4:5: import of dill" in capsys.readouterr().out.splitlines()


def test_a_path_with_nothing_to_check_is_no_success(tmp_path: Path) -> None:
    assert main([str(tmp_path)]) == 2
    assert main([str(tmp_path / "missing")]) == 2


def test_the_library_itself_is_clean() -> None:
    root = Path(__file__).parents[1]
    code = [root / name for name in ("src", "tests", "tools", "benchmarks", "examples")]
    assert main([str(folder) for folder in code if folder.is_dir()]) == 0
