import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from distillset import store
from distillset.errors import InputError
from distillset.sources import cache, decode
from distillset.sources.load import Data, load
from distillset.watch import Watcher
from tests.sources.on_disk import picture, png, write_classes, write_parquet
from tests.watchers import Notes


def quietly(data: Path, resize: tuple[int, int] | None = None) -> Data:
    return load(data, watcher=Watcher(), resize=resize)


def entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.exists() else []


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    return write_classes(tmp_path / "pets", {"cat": [picture(n) for n in range(5)], "dog": [picture(9), picture(8)]})


SECOND_START = """
import sys
from pathlib import Path
from distillset.sources.load import load
data = load(Path(sys.argv[1]))
print(*data.notes, sep="\\n")
heavy = [name for name in ("datasets", "PIL", "sklearn", "pandas", "pyarrow") if name in sys.modules]
mapped = Path("/proc/self/maps").read_text() if sys.platform == "linux" else "train.bin test.bin"
assert not heavy, heavy
assert "train.bin" in mapped and "test.bin" in mapped
print(data.train.fingerprint(), data.test.fingerprint(), data.train.images.sum().item())
"""


def test_a_second_start_maps_the_pixels_and_imports_no_reader(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    images = [picture(n) for n in range(8)]
    write_parquet(folder, "train", images, [0, 1] * 4, names=["cat", "dog"])
    first = quietly(folder)
    command = [sys.executable, "-c", SECOND_START, str(folder)]
    second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert second.returncode == 0, second.stderr
    *notes, prints = second.stdout.splitlines()
    assert notes == list(first.notes)  # announced again
    total = int(first.train.images.sum())
    assert prints == f"{first.train.fingerprint()} {first.test.fingerprint()} {total}"


def test_what_is_read_back_is_what_was_decoded(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = quietly(pets)
    monkeypatch.setattr(decode, "write_entry", None)  # nothing is decoded again
    second = quietly(pets)
    for part in ("train", "test"):
        a, b = getattr(first, part), getattr(second, part)
        assert a.images.tolist() == b.images.tolist()
        assert a.labels.tolist() == b.labels.tolist()
        assert a.spec == b.spec
        # the fingerprint kept in the card is that of the content
        assert type(a)(b.images, b.labels, b.spec, partial=True).fingerprint() == a.fingerprint() == b.fingerprint()
    assert first.notes == second.notes


def test_a_changed_source_is_decoded_again(pets: Path, cache: Path) -> None:
    before = quietly(pets)
    file = pets / "dog" / "000.png"
    status = file.stat()
    file.write_bytes(png(picture(77)))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert quietly(pets).train.fingerprint() != before.train.fingerprint()
    (pets / "dog" / "002.png").write_bytes(png(picture(78)))
    assert len(quietly(pets).train) == len(before.train) + 1
    quietly(pets, resize=(3, 3))
    assert len(entries(cache)) == 4


def test_links_that_lead_round_are_followed_once(pets: Path) -> None:
    before = quietly(pets)
    (pets / "dog" / "up").symlink_to("..")
    (pets / "dog" / "here").symlink_to(".")
    started = time.monotonic()
    # followed without end, these would be 2**40 folders
    assert quietly(pets).train.fingerprint() == before.train.fingerprint()
    assert time.monotonic() - started < 60


def test_a_failure_leaves_nothing_behind(pets: Path, cache: Path) -> None:
    (pets / "dog" / "001.png").write_bytes(png(picture(1))[:60])
    with pytest.raises(InputError, match=r"dog/001\.png"):
        quietly(pets)
    assert entries(cache) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from distillset.sources import cache, load
cache.write_card = lambda *rest: os.kill(os.getpid(), signal.SIGKILL)
load.load(Path(sys.argv[1]))
"""


def test_a_kill_leaves_no_half_entry(pets: Path, cache: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(pets)], check=False)
    assert killed.returncode == -9
    (left,) = entries(cache)
    assert left.name.startswith(".building-")
    other = write_classes(cache.parent / "others", {"a": [picture(1)] * 2, "b": [picture(2)] * 2})
    quietly(other)
    assert left in entries(cache)  # somebody may go on with it
    os.utime(left, (0, 0))
    quietly(other, resize=(3, 3))
    assert left not in entries(cache)
    assert len(entries(cache)) == 2


def test_two_processes_at_once_do_the_work_once(pets: Path, cache: Path) -> None:
    """The second waits for the first's entry; where the first fails, it makes its own."""
    from distillset.sources import cache as module

    done = quietly(pets)
    (entry,) = entries(cache)
    shutil.move(entry, cache.parent / "made")
    for fails in (False, True):
        notes: list[str] = []
        found: list[Data] = []
        waiting = threading.Thread(target=lambda told=notes, out=found: out.append(load(pets, watcher=Notes(told))))
        with contextlib.suppress(ZeroDivisionError), module.building(entry) as stage:
            assert stage is not None
            waiting.start()
            while not notes:
                time.sleep(0.01)
            assert "another process is decoding these images; waiting for it" in notes[0]
            if fails:
                raise ZeroDivisionError
            shutil.copytree(cache.parent / "made", stage, dirs_exist_ok=True)
        waiting.join(60)
        assert found[0].train.fingerprint() == done.train.fingerprint()
        assert any("decoded 7 images" in note for note in notes) == fails
        assert entries(cache) == [entry]
        shutil.rmtree(entry)


@pytest.mark.parametrize("damage", ["card.json", "labels.safetensors", "train.bin"])
def test_a_damaged_entry_is_built_anew(pets: Path, cache: Path, damage: str) -> None:
    good = quietly(pets)
    (entry,) = entries(cache)
    content = (entry / damage).read_bytes()
    (entry / damage).write_bytes(content[: len(content) // 2])
    assert quietly(pets).train.fingerprint() == good.train.fingerprint()
    assert len((entry / damage).read_bytes()) == len(content)
    assert entries(cache) == [entry]


def test_an_entry_being_built_elsewhere_is_left_alone(pets: Path, cache: Path) -> None:
    from distillset.sources import cache as module

    with module.building(cache / "other") as stage:
        assert stage is not None
        os.utime(stage, (0, 0))
        quietly(pets)
        assert stage.is_dir()
        (stage / "x").touch()
    assert (cache / "other" / "x").exists()


def test_a_cache_that_cannot_be_written_is_named(pets: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DISTILLSET_CACHE", str(tmp_path / "file" / "x"))
    with pytest.raises(InputError, match="DISTILLSET_CACHE"):
        quietly(pets)


def test_the_cache_lies_in_the_home_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DISTILLSET_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert store.cache_folder() == tmp_path / ".cache" / "distillset"
    # what a folder is called may hold anything
    place = cache.place("../a b/ü", {"x": 1})
    assert place.parent == tmp_path / ".cache" / "distillset"
    assert place != cache.place("../a b/ü", {"x": 2})
