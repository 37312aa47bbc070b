"""Published sets with bytes flipped, cut off and put in: a set, or an error of one line; nothing else, and no crash."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distillset.errors import InputError
from distillset.sources.load import load
from distillset.watch import Watcher
from tests.sources import published
from tests.sources.on_disk import picture, png
from tests.sources.test_published import LISTS, WNIDS


def shards(folder: Path) -> None:
    samples = [{"png": png(picture(n)), "json": json.dumps({"label": n % 2}).encode()} for n in range(6)]
    published.shard(folder / "train-0.tar", samples)


def arrays(folder: Path) -> None:
    folder.mkdir()
    np.savez_compressed(folder / "a.npz", x_train=published.images(6, 5, 5), y_train=np.arange(6) % 2)


def npy(folder: Path) -> None:
    folder.mkdir()
    np.save(folder / "images.npy", published.images(6, 5, 5), allow_pickle=False)
    np.save(folder / "labels.npy", np.arange(6) % 2, allow_pickle=False)


def table(folder: Path) -> None:
    folder.mkdir()
    names = ["label", *(f"pixel{n}" for n in range(100))]
    rows = [[n % 2, *published.images(1, 10, 10, n)[0, 0].reshape(-1).tolist()] for n in range(8)]
    (folder / "train.csv").write_text("\n".join(",".join(map(str, row)) for row in [names, *rows]))


def flat(folder: Path) -> None:
    published.synsets(folder, WNIDS, val="flat")
    (folder / "val.txt").write_text(LISTS["val.txt"])


def gzipped(folder: Path) -> None:
    published.mnist(folder, packed=True)


def letters(folder: Path) -> None:
    published.emnist_mat(folder / "emnist-letters.mat")


FORMS: dict[str, Callable[[Path], object]] = {
    "cifar10 python": published.cifar10_python,
    "cifar100 python": published.cifar100_python,
    "cifar10 binary": published.cifar10_binary,
    "cifar100 binary": published.cifar100_binary,
    "idx": published.mnist,
    "idx.gz": gzipped,
    "svhn": published.svhn,
    "emnist": letters,
    "stl10": published.stl10,
    "flat": flat,
    "shards": shards,
    "arrays": arrays,
    "npy": npy,
    "table": table,
}


def damage(content: bytes, random: np.random.Generator) -> bytes:
    """Some bytes changed, most of them at the start, where heads are; or cut off, or put in."""
    changed = bytearray(content)
    for _ in range(int(random.integers(1, 5))):
        end = len(changed) if random.random() < 0.4 else min(len(changed), 200)
        if end:
            changed[int(random.integers(0, end))] = int(random.choice([0, 1, 127, 128, 255, int(random.integers(256))]))
    kind = random.random()
    if kind < 0.2:
        return bytes(changed[: int(random.integers(0, len(changed) + 1))])
    if kind < 0.3:
        place = int(random.integers(0, len(changed) + 1))
        return bytes(changed[:place]) + random.bytes(int(random.integers(1, 20))) + bytes(changed[place:])
    return bytes(changed)


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("seed", range(2))
def test_damaged_files_are_a_set_or_one_line(tmp_path: Path, name: str, seed: int) -> None:
    random = np.random.default_rng([seed, *name.encode()])
    FORMS[name](tmp_path / "d")
    files = sorted(path for path in (tmp_path / "d").rglob("*") if path.is_file())
    whole: dict[Path, bytes] = {path: path.read_bytes() for path in files}
    for _ in range(4):
        path = files[int(random.integers(len(files)))]
        path.write_bytes(damage(whole[path], random))
        told: Any = ""
        try:
            load(tmp_path / "d", watcher=Watcher())
        except InputError as error:
            told = str(error)
        path.write_bytes(whole[path])
        assert "\n" not in told
        assert len(told) < 1500, told
