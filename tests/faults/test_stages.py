"""Decoded images in the cache: nothing of others is followed, gone on from or believed; all may be removed."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch

from distillset import Data, load, store
from distillset.commands import main
from distillset.data.synthetic import SyntheticSet
from distillset.distillation.run_folder import RunFolder
from distillset.errors import DiskError, InputError, InterruptedRun
from distillset.sources import decode, pictures
from distillset.store import write_json, write_sealed
from tests.bad_input.case import EAGER
from tests.runs import distil
from tests.sources.on_disk import picture, write_classes
from tests.watchers import StopWhen

PRECIOUS = "precious"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and decoding in blocks of two images whose end is kept at once."""
    monkeypatch.setenv("DISTILLSET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(decode, "BLOCK_IMAGES", 2)
    monkeypatch.setattr(decode, "PROGRESS_SECONDS", 0)
    return store.cache_folder()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Nine images, of which two are held out."""
    return write_classes(
        tmp_path / "source", {"ant": [picture(n) for n in range(5)], "bee": [picture(n) for n in (5, 6, 7, 8)]}
    )


def loaded(source: Path, stop_after: int | None = None, notes: list[str] | None = None) -> Data:
    """The set; interrupted after some blocks."""
    asked = [0]

    def stop() -> bool:
        asked[0] += 1
        return asked[0] == stop_after

    return load(source, watcher=StopWhen(stop, notes))


@pytest.fixture
def expected(source: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The fingerprint of the training set, from another cache."""
    with monkeypatch.context() as patch:
        patch.setenv("DISTILLSET_CACHE", str(tmp_path / "other"))
        return loaded(source).train.fingerprint()


@pytest.fixture
def stage(source: Path, cache: Path) -> Path:
    """What an interrupted decoding left."""
    with pytest.raises(InterruptedRun):
        loaded(source, 2)
    (found,) = cache.glob(".building-*")
    return found


def assert_right(source: Path, cache: Path, expected: str, notes: list[str] | None = None) -> None:
    """Decoded as from an empty cache, and nothing else lies there."""
    found = loaded(source, notes=notes)
    assert found.train.fingerprint() == expected
    (entry,) = cache.iterdir()
    assert not entry.name.startswith(".")
    assert not entry.is_symlink()
    assert loaded(source).train.fingerprint() == expected


@pytest.mark.parametrize("name", ["train.bin", "test.bin", "progress.json", "labels.safetensors", "card.json", ".lock"])
@pytest.mark.parametrize("how", ["symlink", "hard link"])
def test_a_link_planted_in_a_stage_is_not_followed(
    source: Path, stage: Path, cache: Path, tmp_path: Path, expected: str, name: str, how: str
) -> None:
    """Decoding wrote its pixels into whatever ``train.bin`` led to, and a lock emptied it."""
    target = tmp_path / "target"
    target.write_text(PRECIOUS)
    (stage / name).unlink(missing_ok=True)
    if how == "symlink":
        (stage / name).symlink_to(target)
    else:
        (stage / name).hardlink_to(target)
    if name == ".lock":
        with pytest.raises(InputError, match=r"\.lock|cannot be written"):
            loaded(source)
        (stage / name).unlink()
    assert_right(source, cache, expected)
    assert target.read_text() == PRECIOUS


@pytest.mark.parametrize("how", ["stage", "entry", "nowhere", "scratch"])
def test_nor_one_in_the_place_of_a_folder(
    source: Path, stage: Path, cache: Path, tmp_path: Path, expected: str, how: str
) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "train.bin").write_text(PRECIOUS)
    entry = cache / stage.name.removeprefix(".building-")
    if how == "stage":
        shutil.rmtree(stage)
        stage.symlink_to(target)
    elif how == "scratch":
        (stage / "scratch").symlink_to(target)
    else:
        entry.symlink_to(target if how == "entry" else tmp_path / "nowhere")
    assert_right(source, cache, expected)
    assert [path.name for path in target.iterdir()] == ["train.bin"]
    assert (target / "train.bin").read_text() == PRECIOUS


def test_nor_one_that_was_left_for_a_week(source: Path, cache: Path, tmp_path: Path, expected: str) -> None:
    (tmp_path / "target").mkdir()
    (cache / ".building-x-damaged").symlink_to(tmp_path / "target")
    assert_right(source, cache, expected)
    assert list((tmp_path / "target").iterdir()) == []


@pytest.mark.parametrize("how", ["swapped", "flipped", "grown"])
def test_foreign_pixels_are_not_gone_on_from(source: Path, stage: Path, cache: Path, expected: str, how: str) -> None:
    file, notes = stage / "train.bin", list[str]()
    pixels = bytearray(file.read_bytes())
    if how == "swapped":
        pixels[:] = bytes(len(pixels))
    elif how == "flipped":
        pixels[len(pixels) // 2] ^= 1
    else:
        pixels += bytes(1000)  # torn: what came after the last record is cut off
    file.write_bytes(pixels)
    assert_right(source, cache, expected, notes)
    assert any("resuming after" in note for note in notes) == (how == "grown")


HOSTILE: list[object] = [
    {"rows": 4},
    {"rows": "4", "widened": 0, "channels": 3, "prints": {}},
    {"rows": 4.0, "widened": 0, "channels": 3, "prints": {}},
    {"rows": True, "widened": 0, "channels": 3, "prints": {}},
    {"rows": -4, "widened": 0, "channels": 3, "prints": {}},
    {"rows": 10**30, "widened": 0, "channels": 3, "prints": {}},
    {"rows": 9, "widened": 0, "channels": 3, "prints": {}},
    {"rows": 4, "widened": 10**9, "channels": 3, "prints": {}},
    {"rows": 4, "widened": 0, "channels": 10**6, "prints": {}},
    {"rows": 4, "widened": 0, "channels": 0, "prints": {}},
    {"rows": 4, "widened": 0, "channels": 4, "prints": {}},
    {"rows": 4, "widened": 0, "channels": 3, "prints": 7},
    {"rows": 4, "widened": 0, "channels": 3, "prints": {"train": "x"}},
    {"rows": 4, "widened": 0, "channels": 3, "prints": {}, "more": 1},
    {"rows": [4], "widened": {}, "channels": None, "prints": None},
    [],
    "x",
    None,
]


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("sealed", [False, True])
def test_hostile_progress(source: Path, stage: Path, cache: Path, expected: str, value: object, sealed: bool) -> None:
    """Whoever writes it may seal it, too."""
    if sealed and isinstance(value, dict):
        write_sealed(stage / "progress.json", value)
    else:
        write_json(stage / "progress.json", value)
    assert_right(source, cache, expected)


def test_progress_without_its_seal(source: Path, stage: Path, cache: Path, expected: str) -> None:
    found = json.loads((stage / "progress.json").read_text())
    assert found.pop("seal")
    write_json(stage / "progress.json", found)
    notes: list[str] = []
    assert_right(source, cache, expected, notes)
    assert not any("resuming after" in note for note in notes)


@pytest.mark.parametrize("what", ["card.json", "train.bin", "labels.safetensors", "."])
@pytest.mark.parametrize("how", ["mode", "owner", "link"])
def test_an_entry_that_others_could_have_changed_is_made_again(
    source: Path, cache: Path, tmp_path: Path, expected: str, what: str, how: str
) -> None:
    loaded(source)
    (entry,) = cache.iterdir()
    path = entry / what
    if how == "mode":
        path.chmod(0o777)
    elif how == "owner":
        if os.getuid() != 0:
            pytest.skip("only root can give a file away")
        os.chown(path, 54321, 54321)
    else:
        path.resolve().rename(tmp_path / "moved")
        (entry if what == "." else path).symlink_to(tmp_path / "moved")
    notes: list[str] = []
    assert_right(source, cache, expected, notes)
    assert any("decoded 9 images" in note for note in notes)


def test_a_cache_that_others_can_write_is_refused(
    source: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache.chmod(0o777)
    out = source.parent / "set"
    assert main(["select", "random", "--data", str(source), "--ipc", "1", "--out", str(out), *EAGER]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "cache: others can write there (mode 0777), so what lies there may be theirs" in line
    assert list(cache.iterdir()) == []
    assert not out.exists()


class TestRemoved:
    """The cache may be removed at any time."""

    @pytest.mark.parametrize("what", ["cache", "stage"])
    @pytest.mark.parametrize("block", [1, 3, 5])
    def test_while_it_decodes(
        self, source: Path, cache: Path, expected: str, monkeypatch: pytest.MonkeyPatch, what: str, block: int
    ) -> None:
        calls, decoded, notes = [0], pictures.decode, list[str]()

        def remove(*arguments: object) -> object:
            calls[0] += 1
            if calls[0] == block:
                shutil.rmtree(cache if what == "cache" else next(cache.glob(".building-*")))
            return decoded(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(decode, "decode", remove)
        assert_right(source, cache, expected, notes)
        assert f"{cache}: the cache was removed while {source} was decoded; beginning again" in notes

    def test_again_and_again(self, source: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        decoded = pictures.decode

        def remove(*arguments: object) -> object:
            shutil.rmtree(cache, ignore_errors=True)
            return decoded(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(decode, "decode", remove)
        with pytest.raises(DiskError, match="was removed or replaced"):
            loaded(source)
        assert not cache.exists()

    def test_after_it_was_opened(self, source: Path, cache: Path, expected: str) -> None:
        found = loaded(source)
        shutil.rmtree(cache)
        assert found.train.images.sum() > 0
        assert_right(source, store.cache_folder(), expected)


class TestVerify:
    """`verify --real` asks the source, and not the cache that it should check."""

    def made(self, source: Path, out: Path) -> Path:
        run = ["select", "random", "--data", str(source), "--ipc", "1", "--out", str(out), *EAGER]
        assert main(run) == 0
        return out

    def test_a_source_that_changed_under_its_cache(
        self, source: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A file of the same size and time of change, as an attacker or a faulty disk leaves it."""
        out = self.made(source, tmp_path / "set")
        assert main(["verify", str(out), "--real"]) == 0
        file = source / "ant" / "000.png"
        status, whole = file.stat(), file.read_bytes()
        for number in range(9, 2000):
            other = write_classes(tmp_path / f"other{number}", {"x": [picture(number)]}) / "x" / "000.png"
            if len(other.read_bytes()) == len(whole):
                break
        file.write_bytes(other.read_bytes())
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert loaded(source).train.fingerprint() == SyntheticSet.load(out).card["data"]["fingerprint"], "the cache"
        capsys.readouterr()
        assert main(["verify", str(out), "--real"]) == 2
        assert "the training set: its fingerprint is" in capsys.readouterr().err

    def test_a_cache_of_other_pixels(
        self, source: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Sealed, and with the right checksums: only the source tells."""
        out = self.made(source, tmp_path / "set")
        (entry,) = cache.iterdir()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DISTILLSET_CACHE", str(tmp_path / "theirs"))
            loaded(
                write_classes(tmp_path / "else", {"ant": [picture(n + 50) for n in range(9)], "bee": [picture(70)] * 4})
            )
            (foreign,) = (tmp_path / "theirs").iterdir()
        shutil.rmtree(entry)
        shutil.copytree(foreign, entry)
        assert main(["verify", str(out), "--real"]) == 0, "the source is what the set was made from"
        assert "9 images" not in capsys.readouterr().out

    def test_nothing_is_left(self, source: Path, cache: Path, tmp_path: Path) -> None:
        out = self.made(source, tmp_path / "set")
        before = sorted(cache.rglob("*"))
        assert main(["verify", str(out), str(out), "--real", "--json"]) == 0
        assert main(["verify", str(out)]) == 0
        assert sorted(cache.rglob("*")) == before


class TestRuns:
    """A run's folder, where a stranger may have put links."""

    def test_its_log_and_lock(self, tmp_path: Path) -> None:
        target, out = tmp_path / "target", tmp_path / "run"
        target.write_text(PRECIOUS)
        distil(out, steps=1)
        for name in ("metrics.jsonl", ".lock"):
            kept = (out / name).read_bytes()
            (out / name).unlink()
            (out / name).symlink_to(target)
            with pytest.raises((DiskError, InputError), match=r"symbolic link|cannot be written"):
                distil(out, steps=2)
            assert target.read_text() == PRECIOUS
            (out / name).unlink()
            (out / name).write_bytes(kept)
        assert torch.isfinite(distil(out, steps=2).images).all()

    @pytest.mark.parametrize("name", ["checkpoints", "snapshots"])
    def test_its_folders(self, tmp_path: Path, name: str) -> None:
        """Older checkpoints are removed: in a folder elsewhere they would be another run's."""
        mine, theirs = tmp_path / "mine", tmp_path / "theirs"
        distil(theirs, steps=2)
        distil(mine, steps=1)
        before = sorted(theirs.rglob("*"))
        shutil.rmtree(mine / name)
        (mine / name).symlink_to(theirs / name)
        with pytest.raises(InputError, match=f"{name}': is a symbolic link"), RunFolder.open(mine):
            pass
        assert sorted(theirs.rglob("*")) == before

    def test_a_run_whose_own_folder_is_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "large").mkdir()
        (tmp_path / "run").symlink_to(tmp_path / "large")
        distil(tmp_path / "run", steps=1)
        assert (tmp_path / "large" / "card.json").is_file()
