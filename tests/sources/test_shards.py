"""Sets cut into shards: found by name, put together again, the same set to its fingerprint."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from distillset.errors import InputError
from distillset.sources.load import load
from distillset.watch import Watcher
from tests.sources.on_disk import picture, write_parquet
from tests.toys import toy_data
from tools.shard import write_shards

NAMES = [f"kind {c}" for c in range(10)]


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    """A folder of data sets with a small ``cifar10`` of 40 training and 20 test images."""
    for split, count, seed in (("train", 40, 0), ("test", 20, 100)):
        images = [picture(seed + i, 32, 32) for i in range(count)]
        write_parquet(tmp_path / "hub" / "cifar10", split, images, [i % 10 for i in range(count)], names=NAMES)
    return tmp_path / "hub"


def test_a_known_set_from_shards_is_the_same_set(parquet: Path, tmp_path: Path) -> None:
    data = load("cifar10", data_dir=parquet, watcher=Watcher())
    paths = write_shards(data, "cifar10", tmp_path / "shards", megabytes=0.08)
    assert [path.name for path in paths] == [f"cifar10-0000{part}-of-00003.safetensors" for part in (1, 2, 3)]
    assert all(path.stat().st_size <= 80_000 for path in paths)
    again = load("cifar10", data_dir=tmp_path / "shards", watcher=Watcher())
    assert again.train.fingerprint() == data.train.fingerprint()
    assert again.test.fingerprint() == data.test.fingerprint()
    assert again.train.spec == data.train.spec  # the papers' mean and deviation, and the names of the classes
    assert again.source == "cifar10"


def test_one_file_of_that_name_will_do(parquet: Path, tmp_path: Path) -> None:
    data = load("cifar10", data_dir=parquet, watcher=Watcher())
    (path,) = write_shards(data, "cifar10", tmp_path / "shards")
    path.rename(path.with_name("cifar10.safetensors"))
    assert load("cifar10", data_dir=path.parent, watcher=Watcher()).train.fingerprint() == data.train.fingerprint()


def test_shards_are_read_by_their_path_too(tmp_path: Path) -> None:
    data = toy_data()
    paths = write_shards(data, "toy", tmp_path, megabytes=0.016)
    assert len(paths) > 1
    assert torch.equal(load(str(paths[1]), watcher=Watcher()).train.images, data.train.images)


def test_a_changed_shard_is_read_anew(tmp_path: Path) -> None:
    data = toy_data()
    paths = write_shards(data, "toy", tmp_path, megabytes=0.016)
    before = load(str(paths[0]), watcher=Watcher()).train
    write_shards(toy_data(noise=10), "toy", tmp_path, megabytes=0.016)
    assert not torch.equal(load(str(paths[0]), watcher=Watcher()).train.images, before.images)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    paths = write_shards(toy_data(), "mnist", tmp_path, megabytes=0.016)
    paths[-1].unlink()
    with pytest.raises(InputError, match=f"{paths[-1].name}: no such file.* all are needed"):
        load("mnist", data_dir=tmp_path, watcher=Watcher())


def test_shards_that_do_not_fit_together_are_named(tmp_path: Path) -> None:
    paths = write_shards(toy_data(), "mnist", tmp_path, megabytes=0.016)
    save_file({"images": torch.zeros(2, 3, 8, 8, dtype=torch.uint8)}, paths[1])
    with pytest.raises(InputError, match=f"{paths[1].name}: the array .*label.* is not in all shards"):
        load("mnist", data_dir=tmp_path, watcher=Watcher())


@pytest.mark.parametrize("stated", ['{"a": 1}', "[1, 2]", "not json"])
def test_names_of_classes_must_be_a_list_of_text(tmp_path: Path, stated: str) -> None:
    arrays = {"images": torch.zeros(4, 3, 8, 8, dtype=torch.uint8), "labels": torch.tensor([0, 1, 0, 1])}
    save_file(arrays, tmp_path / "x.safetensors", metadata={"class_names": stated})
    with pytest.raises(InputError, match=r"x\.safetensors"):
        load(str(tmp_path / "x.safetensors"), watcher=Watcher())
