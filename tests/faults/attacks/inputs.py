"""What the attacks start from, made once, and what comes out where nobody attacks."""

import contextlib
import io
import json
import os
import shutil

import numpy as np

from distillset.commands import main
from distillset.data.synthetic import SyntheticSet
from distillset.store import write_sealed
from tests import toys
from tests.bad_input.case import EAGER
from tests.faults.attacks.arena import Arena

FEW = ["--networks", toys.NETWORK, "--repeats", "2", "--epochs", "1", "--beside", "none", "--protocol", "dm"]
EVALUATE = [*FEW, "--json", *EAGER]
DISTIL = [
    "--ipc",
    "1",
    "--steps",
    "4",
    "--network",
    toys.NETWORK,
    "--batch-real",
    "4",
    "--snapshots",
    "2",
    "--quiet",
    *EAGER,
]
EXPERTS = [
    "--count",
    "2",
    "--epochs",
    "1",
    "--keep",
    "all",
    "--network",
    toys.NETWORK,
    "--whiten",
    "none",
    "--quiet",
    *EAGER,
]
SELECT = ["--ipc", "1", "--network", toys.NETWORK, "--epochs", "1"]


def run(arguments: list[str]) -> str:
    """A command that nobody attacks: what it prints.

    Raises:
        RuntimeError: it fails.
    """
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(arguments)
    if code:
        raise RuntimeError(f"{arguments}: exit code {code}: {err.getvalue()}")
    return out.getvalue()


def make(arena: Arena) -> None:
    """Write the inputs and the truths about them, where they are missing."""
    if (arena.inputs / "truths.json").is_file():
        return
    shutil.rmtree(arena.inputs, ignore_errors=True)
    arena.inputs.mkdir(parents=True)
    os.environ["DISTILLSET_CACHE"] = str(arena.inputs / "cache")
    toy = str(toys.toy_file(arena.input("toy.npz")))
    begun = ["distill", "dm", "--data", toy, "--out"]
    run([*begun, str(arena.input("begun")), *DISTIL, "--steps", "2"])
    shutil.copytree(arena.input("begun"), arena.input("run"))
    run([*begun, str(arena.input("run")), *DISTIL])
    run(["select", "herding", "--data", toy, "--out", str(arena.input("chosen")), *SELECT, *EAGER])
    run(["experts", "--data", toy, "--out", str(arena.input("experts")), *EXPERTS])
    for name, to in (("pictures", "imagefolder"), ("pt", "pt"), ("parquet", "parquet")):
        run(["select", "random", "--data", toy, "--out", str(arena.input(f"few-{name}")), "--ipc", "4", *EAGER])
        run(["export", str(arena.input(f"few-{name}")), "--to", to, "--out", str(arena.input(name))])
        shutil.rmtree(arena.input(f"few-{name}"))
    truths = {name: [row["accuracies"] for row in json.loads(run(["evaluate", str(arena.input(name)), *EVALUATE]))]
              for name in ("run", "chosen")}  # fmt: skip
    run(["evaluate", str(arena.input("run")), "--save", *EVALUATE])
    sets = {f"{name} set": SyntheticSet.load(arena.input(name)).fingerprint() for name in ("run", "chosen")}
    write_table(arena)
    write_result(arena)
    shutil.copytree(arena.input("cache"), arena.input("warm"))
    (arena.inputs / "truths.json").write_text(json.dumps({**truths, **sets}))


def write_table(arena: Arena) -> None:
    """Images in one folder, listed by a table beside them."""
    from PIL import Image

    folder = arena.input("table")
    (folder / "images").mkdir(parents=True)
    lines = ["file_name,label"]
    images, labels = toys.pixels((6, 6, 6))
    for number, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
        Image.fromarray(np.ascontiguousarray(image.permute(1, 2, 0).numpy())).save(folder / "images" / f"{number}.png")
        lines.append(f"images/{number}.png,kind {label}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")


def write_result(arena: Arena) -> None:
    """What `reproduce` would have measured of a row of presets."""
    row = {"artifact": "dm", "network": "convnet", "protocol": "dm", "labels": "hard", "mean": 0.5, "std": 0.1, "n": 2,
           "sets": 1, "networks": 2, "accuracies": [0.5 - 0.005**0.5, 0.5 + 0.005**0.5], "seconds": 1.0, "recipe": {},
           "compute": {"precision": "fp32"}}  # fmt: skip
    result = {"data": {"name": "mnist", "fingerprint": "x"}, "method": "dm", "ipc": 1, "steps": 3,
    "steps_published": 20_000,
              "protocol_published": "dm", "settings": {}, "departures": [], "rows": [row, {**row,
              "artifact": "random"}],
              "published": {"mean": 89.7, "std": 0.6}, "why": "", "complete": True, "distil_seconds": 5.0}  # fmt: skip
    arena.input("results").mkdir()
    write_sealed(arena.input("results") / "dm-mnist-1-3-steps.json", result)
