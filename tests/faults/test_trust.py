"""What lies in the cache is executed, followed and believed only where it is this user's own."""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from distillset.engine import Compute, compiler, kernels
from distillset.engine.kernels import available, library, shelf, sources
from distillset.errors import DiskError, InputError
from distillset.machine import Machine
from distillset.store import cache_folder
from distillset.trust import doubt, own_folder, sound
from tests.runs import Recorder, distil

STRANGER = 54321
"""A user who is neither this one nor root."""


def give_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``path`` belong to another user, or be another user where only root could do that."""
    if os.getuid() == 0:
        os.chown(path, STRANGER, STRANGER, follow_symlinks=False)
    else:
        monkeypatch.setattr("os.getuid", lambda: STRANGER)


def library_of(source: str) -> Callable[[Path], object]:
    """Builds a library of one line of C."""

    def build(made: Path) -> None:
        command = [str(compiler()), "-x", "c", "-", "-shared", "-fPIC", "-o", str(made)]
        subprocess.run(command, input=source.encode(), check=True)

    return build


built = library_of("int answer(void) { return 42; }")


def hostile(marker: Path) -> Callable[[Path], object]:
    """Builds one that leaves a file when it is loaded."""
    code = f'#include <stdio.h>\n__attribute__((constructor)) void run(void) {{ fclose(fopen("{marker}", "w")); }}\n'
    return library_of(code + "int answer(void) { return 666; }")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return own_folder(tmp_path / "kernels")


def answer(folder: Path) -> int:
    found: int = shelf.load(folder, "one", built).answer()
    return found


@pytest.mark.skipif(compiler() is None, reason="no C++ compiler")
class TestCode:
    """Libraries of the cache."""

    def test_it_is_built_once_and_kept_from_others(self, folder: Path) -> None:
        assert answer(folder) == 42
        assert folder.stat().st_mode & 0o777 == 0o700
        assert sorted(path.suffix for path in folder.iterdir()) == [".sha256", ".so"]
        before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
        shelf.load(folder, "one", lambda made: pytest.fail("it is there"))
        assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before

    def test_it_is_found_again_whatever_new_files_may_be(self, folder: Path) -> None:
        before = os.umask(0)
        try:
            assert answer(folder) == 42
            shelf.load(folder, "one", lambda made: pytest.fail("it is there"))
        finally:
            os.umask(before)

    def test_a_foreign_library_in_its_place_is_not_loaded(self, folder: Path, tmp_path: Path) -> None:
        answer(folder)
        (kept,) = folder.glob("*.so")
        hostile(tmp_path / "ran")(tmp_path / "foreign.so")
        ctypes.CDLL(str(tmp_path / "foreign.so"))
        assert (tmp_path / "ran").exists(), "it does something where it is loaded"
        (tmp_path / "ran").unlink()
        hostile(tmp_path / "ran2")(tmp_path / "other.so")  # one that this process has not loaded yet
        kept.unlink()
        shutil.copy(tmp_path / "other.so", kept)
        assert answer(folder) == 42
        assert not (tmp_path / "ran2").exists()

    @pytest.mark.parametrize("how", ["empty", "cut", "bit", "record", "no record", "link", "pipe"])
    def test_whatever_is_damaged_is_built_again(self, folder: Path, tmp_path: Path, how: str) -> None:
        """A library cut in the middle was a bus error at every try."""
        answer(folder)
        (kept,), (record,) = folder.glob("*.so"), folder.glob("*.sha256")
        whole = kept.read_bytes()
        if how in ("empty", "cut"):
            kept.unlink()  # this process has it mapped still
            kept.write_bytes(whole[: {"empty": 0, "cut": 5000}[how]])
        elif how == "bit":
            kept.unlink()
            kept.write_bytes(whole[:4000] + bytes([whole[4000] ^ 1]) + whole[4001:])
        elif how == "record":
            record.write_text("0" * 64)
        elif how == "no record":
            record.unlink()
        elif how == "pipe":  # whoever opens it waits for a writer
            record.unlink()
            os.mkfifo(record)
        else:
            (tmp_path / "elsewhere.so").write_bytes(whole)
            kept.unlink()
            kept.symlink_to(tmp_path / "elsewhere.so")
        assert answer(folder) == 42
        assert kept.read_bytes() == whole
        assert not kept.is_symlink()

    @pytest.mark.parametrize("which", ["*.so", "*.sha256"])
    @pytest.mark.parametrize("how", ["owner", "mode"])
    def test_what_others_could_have_changed_is_built_again(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, which: str, how: str
    ) -> None:
        """Also where it says of itself that it is whole: who writes a library writes its checksum, too."""
        answer(folder)
        (path,) = folder.glob(which)
        if how == "mode":
            path.chmod(0o666)
        elif os.getuid() != 0:
            pytest.skip("only root can give a file away")
        else:
            give_away(path, monkeypatch)
        calls: list[Path] = []

        def again(made: Path) -> None:
            calls.append(made)
            built(made)

        shelf.load(folder, "one", again)
        assert calls
        assert doubt(path) is None

    @pytest.mark.parametrize("how", ["owner", "mode", "link"])
    def test_a_folder_that_others_can_write_is_not_loaded_from(
        self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
    ) -> None:
        answer(folder)
        if how == "link":
            folder.rename(tmp_path / "moved")
            folder.symlink_to(tmp_path / "moved")
        elif how == "mode":
            folder.chmod(0o777)
        else:
            give_away(folder, monkeypatch)
        with pytest.raises(OSError, match=r"symbolic link|Not a directory|others can write|belongs to user"):
            answer(folder)

    def test_a_library_that_another_process_swaps_at_once_is_refused(self, folder: Path) -> None:
        def swapped(path: Path, write: Callable[[Path], object]) -> None:
            path.write_bytes(b"something else")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(shelf, "write_atomically", swapped)
            with pytest.raises(DiskError, match="is not what was built"):
                answer(folder)

    def test_our_own_kernels(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The issue of the first edition: a file of the right name in the cache was loaded, whoever wrote it."""
        monkeypatch.setenv("DISTILLSET_CACHE", str(tmp_path / "cache"))
        source = next(path for path in sources() if path.name == "narrow.cpp")
        library.cache_clear()
        try:
            library(source)
            (kept,) = (tmp_path / "cache" / "kernels").glob("*.so")
            library.cache_clear()
            kept.unlink()
            hostile(tmp_path / "ran")(kept)
            library(source)
        finally:
            library.cache_clear()
        assert not (tmp_path / "ran").exists()
        assert oct((tmp_path / "cache" / "kernels").stat().st_mode)[-3:] == "700"

    def test_a_cache_of_others_is_said_and_not_passed_over(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "cache").mkdir()
        (tmp_path / "cache").chmod(0o777)
        monkeypatch.setenv("DISTILLSET_CACHE", str(tmp_path / "cache"))
        available.cache_clear()
        library.cache_clear()
        try:
            with pytest.raises(InputError, match=r"cache: others can write there \(mode 0777\)"):
                Compute.resolve(Machine("cpu", "fp32", "on"))
        finally:
            available.cache_clear()
            library.cache_clear()

    def test_the_folder_that_the_compiler_keeps_code_in(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """PyTorch's own is /tmp/torchinductor_USER, and holds pickles: whoever makes it first runs code of theirs."""
        monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        assert Compute.resolve(Machine("cpu", "fp32", "on")).compile
        (made,) = tmp_path.glob("torchinductor_*")
        assert made.stat().st_mode & 0o777 == 0o700
        made.chmod(0o777)
        with pytest.raises(InputError, match=r"others can write there \(mode 0777\).*TORCHINDUCTOR_CACHE_DIR"):
            Compute.resolve(Machine("cpu", "fp32", "on"))
        assert not Compute.resolve(Machine("cpu", "fp32", "off")).compile
        monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(made))
        assert Compute.resolve(Machine("cpu", "fp32", "on")).compile, "what the user names is the user's choice"
        assert kernels.compiler()


class TestFolders:
    """The cache's own folders."""

    def test_they_are_made_for_this_user_alone(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DISTILLSET_CACHE", str(tmp_path / "cache"))
        before = os.umask(0)
        try:
            folders = [cache_folder(), cache_folder("accuracies")]
        finally:
            os.umask(before)
        assert [folder.stat().st_mode & 0o777 for folder in folders] == [0o700, 0o700]

    @pytest.mark.parametrize("mode", [0o777, 0o1777, 0o757])
    def test_one_that_others_can_write_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
    ) -> None:
        monkeypatch.setenv("DISTILLSET_CACHE", str(tmp_path / "cache"))
        cache_folder().chmod(mode)
        with pytest.raises(InputError, match=f"cache: others can write there \\(mode {mode:04o}\\)"):
            cache_folder()
        (tmp_path / "link").symlink_to(tmp_path / "cache")
        monkeypatch.setenv("DISTILLSET_CACHE", str(tmp_path / "link"))
        with pytest.raises(InputError, match="link: others can write there"):
            cache_folder()

    def test_one_of_another_user_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DISTILLSET_CACHE", str(tmp_path / "cache"))
        give_away(cache_folder(), monkeypatch)
        if os.getuid() != 0 and tmp_path.stat().st_uid == 0:
            pytest.skip("root is trusted")
        with pytest.raises(InputError, match=f"cache: belongs to user .*{STRANGER}"):
            cache_folder()

    def test_one_that_anybody_can_put_another_in_the_place_of(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DISTILLSET_CACHE", str(tmp_path / "open" / "cache"))
        assert cache_folder().is_dir()
        (tmp_path / "open").chmod(0o777)
        with pytest.raises(InputError, match=r"others can write in .*open and replace it"):
            cache_folder()
        (tmp_path / "open").chmod(0o1777)  # as /tmp: only the owner may rename what lies there
        assert cache_folder().is_dir()

    def test_a_link_to_ones_own_folder_elsewhere_is_fine(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "large disk").mkdir(mode=0o700)
        (tmp_path / "cache").symlink_to(tmp_path / "large disk")
        monkeypatch.setenv("DISTILLSET_CACHE", str(tmp_path / "cache"))
        assert cache_folder("kernels").is_dir()

    def test_a_home_that_is_not_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DISTILLSET_CACHE", "~nobody-of-that-name/cache")
        with pytest.raises(InputError, match="there is no such home"):
            cache_folder()


def test_what_is_sound(tmp_path: Path) -> None:
    folder = own_folder(tmp_path / "stage")
    (folder / "in").mkdir()
    (folder / "in" / "file").write_text("x")
    assert sound(folder)
    (tmp_path / "precious").write_text("x")
    planted = folder / "in" / "planted"

    def writable() -> None:
        planted.touch()
        planted.chmod(0o666)

    plants: list[Callable[[], object]] = [
        lambda: planted.symlink_to(tmp_path / "precious"),
        lambda: planted.symlink_to(tmp_path),
        lambda: planted.hardlink_to(tmp_path / "precious"),
        lambda: os.mkfifo(planted),
        writable,
    ]
    for plant in plants:
        plant()
        assert not sound(folder)
        planted.unlink()
    assert sound(folder)
    assert not sound(tmp_path / "nowhere")
    assert not sound(tmp_path / "precious")


def test_a_whitening_that_cannot_be_kept_ends_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a full disk, or in a cache that can only be read."""
    monkeypatch.setenv("DISTILLSET_CACHE", str(tmp_path / "cache"))
    cache_folder("whitenings").rmdir()
    (tmp_path / "cache" / "whitenings").write_text("a file in its place")
    recorder = Recorder()
    distil(steps=1, whiten="zca", watcher=recorder)
    assert recorder.told("the whitening is not stored")
