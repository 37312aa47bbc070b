"""The store: whole files or none, and no damage goes unseen."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from distillset.coresets import select
from distillset.errors import InputError
from distillset.store import (
    checksum,
    locked,
    read_json,
    read_tensors,
    write_atomically,
    write_json,
    write_tensors,
    write_text,
)
from tests import toys

TENSORS = {"images": torch.arange(6.0).reshape(2, 3), "labels": torch.tensor([1, 2])}
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8, torch.bool]


def test_tensors_come_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.safetensors"
    write_tensors(path, TENSORS, {"step": 3, "nested": {"name": "é"}})
    tensors, meta = read_tensors(path)
    assert meta == {"step": 3, "nested": {"name": "é"}}
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


@given(
    dtype=st.sampled_from(DTYPES),
    shape=st.lists(st.integers(0, 4), max_size=3),
    meta=st.dictionaries(st.text(max_size=5), st.one_of(st.integers(), st.text(max_size=5), st.none()), max_size=3),
)
def test_any_type_shape_and_meta(
    tmp_path_factory: pytest.TempPathFactory, dtype: torch.dtype, shape: list[int], meta: dict[str, object]
) -> None:
    path = tmp_path_factory.mktemp("store") / "a.safetensors"
    tensor = torch.randint(0, 2, shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    write_tensors(path, {"a": tensor}, meta)
    tensors, found = read_tensors(path)
    assert found == meta
    assert tensors["a"].dtype == dtype
    assert torch.equal(tensors["a"], tensor)


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600), (0o027, 0o640)])
def test_files_follow_the_umask(tmp_path: Path, umask: int, mode: int) -> None:
    """0666 without the bits of the umask, whatever writes: safetensors by itself makes files of 0600."""
    before = os.umask(umask)
    try:
        write_tensors(tmp_path / "new" / "a.safetensors", TENSORS)
        write_text(tmp_path / "a.txt", "a")
        select(toys.toy(), "random", 1).save(tmp_path / "set")
    finally:
        os.umask(before)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 6
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in files if path.stat().st_mode & 0o777 != mode} == {}


def test_a_view_is_written_as_it_looks(tmp_path: Path) -> None:
    tensor = torch.arange(12.0).reshape(3, 4).t()[1:]
    write_tensors(tmp_path / "a.safetensors", {"a": tensor.requires_grad_()})
    assert torch.equal(read_tensors(tmp_path / "a.safetensors")[0]["a"], tensor.detach())


def test_any_changed_byte_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_tensors(path, TENSORS, {"step": 1})
    content = path.read_bytes()
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 1
        path.write_bytes(changed)
        with pytest.raises(InputError, match="damaged") as caught:
            read_tensors(path)
        assert "\n" not in str(caught.value).strip()
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(InputError, match="damaged"):
            read_tensors(path)


def test_a_file_without_a_checksum_is_not_ours(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="checksum"):
        read_tensors(tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="no such file"):
        read_tensors(tmp_path / "b.safetensors")


def test_checksum_depends_on_all_and_not_on_the_order() -> None:
    base = checksum(TENSORS)
    assert checksum(dict(reversed(TENSORS.items()))) == base
    images, labels = TENSORS["images"], TENSORS["labels"]
    for other in (
        {"images": images + 1, "labels": labels},
        {"images": images.reshape(3, 2), "labels": labels},
        {"images": images.view(torch.int32), "labels": labels},
        {"pictures": images, "labels": labels},
        {"images": images},
    ):
        assert checksum(other) != base


def test_a_failing_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="Out of range"):
        write_json(path, {"a": float("nan")})

    def half(temporary: Path) -> None:
        temporary.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, half)
    assert read_json(path) == {"a": 1}
    assert os.listdir(tmp_path) == ["card.json"]  # noqa: PTH208


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"nan?"])
def test_what_is_not_json(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match="not readable as JSON"):
        read_json(tmp_path / "a.json")
    with pytest.raises(InputError, match="no such file"):
        read_json(tmp_path / "b.json")
    with pytest.raises(InputError, match="not readable"):
        read_json(tmp_path)


def test_json_is_utf8_and_readable(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"name": "café"})
    assert json.loads((tmp_path / "a.json").read_bytes()) == {"name": "café"}
    assert "café" in (tmp_path / "a.json").read_text(encoding="utf-8")


def test_the_lock_is_for_one_and_goes_with_its_process(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(InputError, match="another run is using this folder"), locked(tmp_path):
        pass
    code = """
import os, sys
from pathlib import Path
from distillset.store.locks import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    os.kill(os.getpid(), 9)
"""
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, capture_output=True, text=True)
    assert (killed.returncode, killed.stdout) == (-9, "held\n")
    assert (tmp_path / ".lock").is_file()
    with locked(tmp_path):
        pass


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"), locked(tmp_path / "file" / "run"):
        pass
