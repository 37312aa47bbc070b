"""The long commands, each on sets so small that it takes about a second, and what runs them in a process of its own."""

import dataclasses
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from distillset.commands import main
from distillset.watch import Watcher
from tests import toys

EAGER = ["--device", "cpu", "--precision", "fp32", "--compile", "off"]
QUIET = [*EAGER, "--quiet"]
SMALL = ["--network", toys.NETWORK, "--snapshots", "4", "--ipc", "2", *QUIET]


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What the commands start from, made once: nothing here is written to afterwards.

    Args:
        folder: holds all of it.
    """

    folder: Path

    @property
    def toy(self) -> Path:
        return self.folder / "toy.npz"

    @property
    def pictures(self) -> Path:
        return self.folder / "pictures"

    @property
    def shards(self) -> Path:
        return self.folder / "shards"

    def artifact(self, selector: str) -> Path:
        return self.folder / selector

    def make(self) -> "Inputs":
        """Write what is missing."""
        from distillset import export, load, select
        from distillset.data.real import RealSet
        from distillset.sources.load import Data
        from tools.shard import write_shards

        self.folder.mkdir(parents=True, exist_ok=True)
        toys.toy_file(self.toy)
        toy = load(self.toy, watcher=Watcher())
        for name, ipc in (("random", 1), ("k-means", 2)):
            if not self.artifact(name).is_dir():
                select(toy, "random", ipc, seed=ipc).save(self.artifact(name))
        for part, seed in (("train", 0), ("test", 1)):
            if not (self.pictures / part).is_dir():
                counts = [60, 40, 50]
                images = select(toys.toy(counts, seed=seed), "random", max(counts))
                export.export(images, "imagefolder", self.pictures / part)
        if not self.shards.is_dir():
            train = RealSet.from_arrays(*toys.pixels(shape=(1, 8, 8)), name="mnist")
            test = RealSet(*toys.pixels([10, 10, 10], (1, 8, 8), seed=1), train.spec)
            write_shards(Data(train, test, "mnist"), "mnist", self.shards)
        return self


Arguments = Callable[[Inputs, Path], list[str]]
"""The command line for these inputs and this folder for the result."""


def _distill(method: str, steps: int, *more: str) -> Arguments:
    return lambda inputs, out: [
        "distill", method, "--data", str(inputs.toy), "--out", str(out), "--steps", str(steps), *SMALL, *more
    ]  # fmt: skip


def _evaluate(inputs: Inputs, out: Path) -> list[str]:
    """The rows are kept with the artifact, in a copy of it."""
    if not out.is_dir():
        shutil.copytree(inputs.artifact("random"), out)
    few = ["--networks", toys.NETWORK, "--repeats", "3", "--epochs", "25"]
    return ["evaluate", str(out), "--save", "--json", *few, *EAGER]


def _compare(inputs: Inputs, out: Path) -> list[str]:
    sets = [str(inputs.artifact(name)) for name in ("random", "k-means")]
    few = ["--networks", toys.NETWORK, "--repeats", "3", "--epochs", "8"]
    return ["compare", *sets, "--json", "--plot", str(out / "plot.png"), *few, *EAGER]


def _reproduce(inputs: Inputs, out: Path) -> list[str]:
    places = ["--results", str(out / "results"), "--out", str(out / "runs"), "--data-dir", str(inputs.shards)]
    return ["reproduce", "dm-mnist-2", "random-mnist-1", "--networks", "2", "--budget", "1h", *places, *QUIET]


COMMANDS: dict[str, Arguments] = {
    "distill dm": _distill("dm", 40, "--batch-real", "6"),
    "distill dc": _distill("dc", 8, "--batch-real", "6", "--outer", "3", "--inner", "2"),
    "distill dsa": _distill("dsa", 8, "--batch-real", "6", "--outer", "3", "--inner", "2"),
    "distill mtt": _distill(
        "mtt", 12, "--expert-count", "3", "--max-start", "3", "--expert-epochs", "2", "--syn-steps", "4",
        "--lr-lr", "1e-3", "--average", "0.9", "--lr-labels", "1", "--whiten", "zca",
    ),
    "experts": lambda inputs, out: [
        "experts", "--data", str(inputs.toy), "--out", str(out), "--count", "4", "--epochs", "12", "--keep", "all",
        "--network", toys.NETWORK, *QUIET,
    ],
    "select herding": lambda inputs, out: [
        "select", "herding", "--data", str(inputs.toy), "--ipc", "2", "--out", str(out), "--network", toys.NETWORK,
        "--epochs", "100", *EAGER,
    ],
    "select from pictures": lambda inputs, out: [
        "select", "random", "--data", str(inputs.pictures), "--ipc", "3", "--out", str(out), *EAGER
    ],
    "evaluate": _evaluate,
    "compare": _compare,
    "continual": lambda inputs, out: [
        "continual", "--data", str(inputs.toy), "--out", str(out), "--steps", "3", "--ipc", "1", "--seeds", "0", "1",
        "--memory", "random", "dm", "--distill-steps", "2", "--network", toys.NETWORK, "--epochs", "3",
        "--repeats", "1", *QUIET,
    ],
    "nas": lambda inputs, out: [
        "nas", "--data", str(inputs.toy), "--out", str(out), "--proxy", "random", "dm", "--sample", "4", "--ipc", "1",
        "--epochs", "1", "--proxy-epochs", "1", "--distill-steps", "2", *QUIET,
    ],
    "reproduce": _reproduce,
    "reproduce by budget": _reproduce,
}  # fmt: skip
"""Every command that goes on where it stopped."""

BY_BUDGET = ("reproduce by budget",)
"""Of these every sitting but the last one is given a budget that ends somewhere on the way."""


def budgeted(arguments: list[str], seconds: float) -> list[str]:
    """The same command with less time; of a flag that is given twice the second counts."""
    return [*arguments, f"--budget={seconds:.3f}s"]


def prepare() -> None:
    """Make what has no flag small: in a process that is to run one of these commands and nothing else."""
    from distillset.distillation.record import Record
    from distillset.evaluation import PROTOCOLS, Protocol
    from distillset.presets import PRESETS, Accuracy, Preset
    from distillset.studies import space
    from distillset.training import Recipe

    *defaults, _ = Record.__init__.__defaults__ or ()
    Record.__init__.__defaults__ = (*defaults, 0.0)  # checkpoint_seconds, so that a kill seldom falls between two
    vars(space)["WIDTHS"] = (4, 8)  # narrow networks only
    PROTOCOLS.built_in["dm"] = Protocol("dm", recipe=Recipe(epochs=12, augmentation="none"), source="twelve epochs")
    small = {"batch_real": 6, "lr": 1.0, "momentum": 0.5, "augment": "none"}
    paper = Accuracy(99.9, 0.01, "a table")
    rows = [
        Preset("dm", "mnist", 2, 3, 12, "dm", "a paper", small, paper, None, toys.NETWORK),
        Preset("random", "mnist", 1, 3, 0, "dm", "a paper", {}, paper, None, toys.NETWORK),
    ]
    PRESETS.clear()
    PRESETS.update({row.name: row for row in rows})


def run(arguments: list[str], life: Path) -> int:
    """The command, alone in this process, with a cache of its own and what it prints in files beside it."""
    os.environ["DISTILLSET_CACHE"] = str(life / "cache")
    os.environ.pop("DISTILLSET_DATA", None)
    for number, name in ((1, "stdout"), (2, "stderr")):
        file = os.open(life / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(file, number)
        os.close(file)
    prepare()
    try:
        code = main(arguments)
        sys.stdout.flush()
    except SystemExit as usage:
        code = int(usage.code or 0)
    return code


if (
    __name__ == "__main__"
):  # python -m tests.faults.commands LIFE ARGUMENT...: what a forked process does, in a plain one
    sys.exit(run(sys.argv[2:], Path(sys.argv[1])))
