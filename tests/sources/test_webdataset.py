"""Shards of webdataset."""

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distillset.errors import InputError
from tests.sources import published
from tests.sources.arrays import quietly
from tests.sources.on_disk import channels_first, picture, png, write_classes

PICTURES = [picture(n) for n in range(8)]


def samples(first: int, last: int, label: Callable[[int], dict[str, bytes]]) -> list[dict[str, bytes]]:
    return [{"png": png(PICTURES[n]), **label(n)} for n in range(first, last)]


def cls(n: int) -> dict[str, bytes]:
    return {"cls": str(n % 2).encode()}


@pytest.mark.parametrize(
    "label",
    [
        cls,
        lambda n: {"cls": f"{n % 2}\n".encode()},
        lambda n: {"json": json.dumps({"label": n % 2, "key": n}).encode()},
        lambda n: {"json": json.dumps({"cls": n % 2, "index": n}).encode(), "txt": b"a caption"},
        lambda n: {"cls": ("cat", "dog")[n % 2].encode()},
    ],
)
@pytest.mark.parametrize(
    "names",
    [("train/00000.tar", "train/00001.tar", "test/00000.tar"), ("x-train-000.tar", "x-train-001.tar", "x-val-000.tar")],
)
def test_shards_of_webdataset(tmp_path: Path, names: tuple[str, ...], label: Any) -> None:
    for name, (first, last) in zip(names, ((0, 3), (3, 6), (6, 8)), strict=True):
        published.shard(tmp_path / "w" / name, samples(first, last, label), first)
    data = quietly(tmp_path / "w")
    assert data.train.images.tolist() == channels_first(PICTURES[:6]).tolist()
    assert data.test.images.tolist() == channels_first(PICTURES[6:]).tolist()
    assert data.train.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert data.test.labels.tolist() == [0, 1]
    assert data.notes == ()


def test_one_shard_by_path_and_members_that_are_no_samples(tmp_path: Path) -> None:
    published.shard(tmp_path / "w.tar", [*samples(0, 8, cls), {"__meta__": b"x"}])
    data = quietly(tmp_path / "w.tar")
    assert (len(data.train), len(data.test)) == (6, 2)


def test_shards_that_cannot_be_used(tmp_path: Path) -> None:
    published.shard(tmp_path / "w.tar", [*samples(0, 3, cls), {"png": png(PICTURES[3])}])
    with pytest.raises(InputError, match=r"w\.tar, sample 000003: it has no label \(\.cls or \.json\)"):
        quietly(tmp_path / "w.tar")
    published.shard(tmp_path / "w.tar", [{"txt": b"hello"}])
    with pytest.raises(InputError, match=r"w\.tar: no sample of an image and a label; .* unpacked: tar xf"):
        quietly(tmp_path / "w.tar")
    published.shard(tmp_path / "w.tar", samples(0, 3, lambda n: {"json": b'{"caption": 1}'}))
    with pytest.raises(InputError, match=r"sample 000000: its \.json has no field label; the fields that are read are"):
        quietly(tmp_path / "w.tar")
    published.shard(tmp_path / "w.tar", samples(0, 3, lambda n: {"json": b"[" * 100_000}))
    with pytest.raises(InputError, match=r"sample 000000: its json is not a label as text"):
        quietly(tmp_path / "w.tar")
    whole = published.shard(tmp_path / "w.tar", samples(0, 4, cls)).read_bytes()
    for cut in (100, 700, len(whole) // 2):
        (tmp_path / "w.tar").write_bytes(whole[:cut])
        with pytest.raises(InputError, match=r"w\.tar"):
            quietly(tmp_path / "w.tar")
    (tmp_path / "w.tar").write_bytes(os.urandom(5000))
    with pytest.raises(InputError, match=r"w\.tar: damaged, or not a \.tar file"):
        quietly(tmp_path / "w.tar")


def test_links_in_a_shard_lead_nowhere(tmp_path: Path) -> None:
    import tarfile

    (tmp_path / "secret.png").write_bytes(png(PICTURES[0]))
    with tarfile.open(tmp_path / "w.tar", "w") as archive:
        for n in range(4):
            member = tarfile.TarInfo(f"{n}.png")
            member.type, member.linkname = tarfile.SYMTYPE, str(tmp_path / "secret.png")
            archive.addfile(member)
            member = tarfile.TarInfo(f"{n}.cls")
            member.size = 1
            archive.addfile(member, io.BytesIO(b"01"[n % 2 : n % 2 + 1]))
    with pytest.raises(InputError, match=r"w\.tar: no sample of an image and a label"):
        quietly(tmp_path / "w.tar")


def test_an_archive_left_beside_folders_of_classes_is_not_a_shard(tmp_path: Path) -> None:
    write_classes(tmp_path / "d", {"a": PICTURES[:4], "b": PICTURES[4:]})
    published.shard(tmp_path / "d" / "backup.tar", [{"txt": b"hello"}])
    assert quietly(tmp_path / "d").train.spec.class_names == ("a", "b")
