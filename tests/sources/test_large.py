"""Data larger than memory: decoded in blocks, interrupted and gone on with; draws read only what they draw."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from distillset import store
from distillset.commands import main
from distillset.data.real import RealSet
from distillset.data.spec import Spec
from distillset.engine.hardware import memory
from distillset.errors import InterruptedRun
from distillset.keys import Key
from distillset.sources import cache, decode, pictures
from distillset.sources.load import Data, load
from tests.sources.on_disk import picture, write_classes
from tests.watchers import Notes, StopWhen


@pytest.fixture
def blocks_of_two(monkeypatch: pytest.MonkeyPatch) -> list[range]:
    """Decoding in blocks of two images; the rows that were read."""
    read: list[range] = []

    def noting(block: list[Path], *rest: object) -> object:
        read.append(range(len(block)))
        return pictures.decode(block, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(decode, "BLOCK_IMAGES", 2)
    monkeypatch.setattr(decode, "decode", noting)
    return read


def write_source(folder: Path, kind: str) -> Path:
    pictures = [picture(n) for n in range(9)]
    if kind == "widened":  # the form changes on the way
        pictures = [*(picture(n, channels=1) for n in range(3)), *pictures[3:]]
    if kind == "held out":
        return write_classes(folder, {"cat": pictures[:5], "dog": pictures[5:]})
    write_classes(folder / "train", {"cat": pictures[:4], "dog": pictures[4:7]})
    write_classes(folder / "test", {"cat": pictures[7:8], "dog": pictures[8:]})
    return folder


def loaded(source: Path, blocks: int | None = None) -> Data:
    """The data; or an interruption after so many blocks."""
    asked = iter(range(10_000))
    return load(source, watcher=StopWhen(lambda: blocks is not None and next(asked) + 1 >= blocks))


@pytest.mark.parametrize("kind", ["held out", "test split", "widened"])
def test_decoding_goes_on_where_it_was_interrupted(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blocks_of_two: list[range]
) -> None:
    source, read = write_source(tmp_path / "source", kind), blocks_of_two
    expected = loaded(source)
    whole = len(read)
    for stop in (1, 3):
        monkeypatch.setenv("DISTILLSET_CACHE", str(tmp_path / f"cache-{stop}"))
        with pytest.raises(
            InterruptedRun, match=r"stopped after decoding \d of 9 images; run the same command again to resume"
        ):
            loaded(source, stop)
        read.clear()
        found = loaded(source)
        assert len(read) < whole
        for part in ("train", "test"):
            mine, theirs = getattr(found, part), getattr(expected, part)
            assert torch.equal(mine.images, theirs.images)
            assert mine.fingerprint() == theirs.fingerprint()
            assert mine.spec == theirs.spec
        assert found.notes == expected.notes
        assert [path.name.startswith(".") for path in (tmp_path / f"cache-{stop}").iterdir()] == [False]


KILLED = """
import os, signal, sys
from pathlib import Path
from distillset.sources import decode, load

decode.BLOCK_IMAGES, decode.PROGRESS_SECONDS = 2, 0
add, count = decode._Done.write, 0

def write(*arguments):
    global count
    count += 1
    add(*arguments)
    if count == 2:
        for path in Path(os.environ["DISTILLSET_CACHE"]).rglob("*.bin"):
            path.open("ab").write(b"torn")
        os.kill(os.getpid(), signal.SIGKILL)

decode._Done.write = write
load.load(Path(sys.argv[1]))
"""


def test_decoding_goes_on_after_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written after the last record is not trusted."""
    source = write_source(tmp_path / "source", "held out")
    expected = loaded(source).train.fingerprint()
    monkeypatch.setenv("DISTILLSET_CACHE", str(tmp_path / "killed"))
    assert subprocess.run([sys.executable, "-c", KILLED, str(source)], check=False).returncode == -9
    notes: list[str] = []
    found = load(source, watcher=Notes(notes))
    assert "source: resuming after 4 of 9 images" in notes
    assert found.train.fingerprint() == expected
    assert RealSet(found.train.images, found.train.labels, found.train.spec).fingerprint() == expected


def test_less_on_the_disk_than_was_kept_begins_anew(tmp_path: Path, blocks_of_two: list[range]) -> None:
    source, read = write_source(tmp_path / "source", "held out"), blocks_of_two
    with pytest.raises(InterruptedRun):
        loaded(source, 3)
    (file,) = store.cache_folder().rglob("train.bin")
    file.write_bytes(file.read_bytes()[:10])
    read.clear()
    found = loaded(source).train
    assert len(read) == 5
    assert RealSet(found.images, found.labels, found.spec).fingerprint() == found.fingerprint()


def test_the_command_line_stops_while_it_decodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("distillset.commands.progress.Terminal.stop", lambda terminal: True)
    source = write_source(tmp_path / "source", "test split")
    command = ["distill", "dm", "--data", str(source), "--ipc", "1", "--out", str(tmp_path / "out")]
    monkeypatch.setattr(decode, "BLOCK_IMAGES", 2)
    assert main(command) == 130
    assert "stopped after decoding 2 of 9 images; run the same command again to resume" in capsys.readouterr().err


CLASSES, EACH, SIZE = 200, 2000, 64


def test_draws_touch_only_the_rows_that_are_drawn(tmp_path: Path) -> None:
    """4.9 GB of images that take no place on the disk (a hole in a file), and none in memory."""
    shape = (3, SIZE, SIZE)
    file = tmp_path / "train.bin"
    with file.open("wb") as hole:
        hole.truncate(CLASSES * EACH * SIZE * SIZE * 3)
    images = cache._mapped(file, (CLASSES * EACH, *shape))
    names = tuple(map(str, range(CLASSES)))
    before, start = memory(torch.device("cpu")), time.monotonic()
    real = RealSet(images, torch.arange(CLASSES * EACH) % CLASSES, Spec("hole", *shape, names, (0.5,) * 3, (1.0,) * 3))
    resident = _resident(file)
    for c in range(CLASSES):
        assert real.draw(c, 2, Key(0)(c)).shape == (2, *shape)
    assert memory(torch.device("cpu")) - before < 100e6
    assert resident is None or (_resident(file) or 0) - resident < 200e6
    assert time.monotonic() - start < 30


def _resident(file: Path) -> int | None:
    """Bytes of a mapped file in this process's memory."""
    try:
        lines = Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    at = next(number for number, line in enumerate(lines) if line.endswith(str(file)))
    return next(int(line.split()[1]) * 1024 for line in lines[at:] if line.startswith("Rss:"))
