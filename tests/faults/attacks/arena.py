"""Where attacks happen: a folder that may be written to, everything around it watched, and the verdict."""

import io
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import traceback
import unicodedata
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from distillset.commands import main
from distillset.errors import DistillsetError
from distillset.escapes import DIRECTIONS, printable

PATIENCE = 100.0
"""Seconds by the clock after which an attack hangs."""

MEMORY = 12 * 2**30
"""Bytes of address space: what unpacks to more fails here, and not on the machine."""

SECRET = "the secret that lies outside"
CHANGES = {
    "os.rename": (0, 1), "os.remove": (0,), "os.mkdir": (0,), "os.rmdir": (0,), "os.truncate": (0,), "os.symlink": (1,),
    "os.link": (1,), "os.chmod": (0,), "os.utime": (0,),
}  # fmt: skip
"""Audit events that change the disk, with the places of the paths among their arguments; ``open`` besides."""

HARMLESS = ("/dev/null", "/proc/", "/dev/shm/")


class HangingError(BaseException):
    """An attack that does not end: no `Exception`, which somebody on the way might catch."""


@dataclass
class Outcome:
    """How an attack ended: exit code, what was printed and returned, and the end of a traceback if there was one."""

    code: int = 0
    out: str = ""
    err: str = ""
    value: Any = None
    traceback: str = ""


@dataclass(frozen=True)
class Attack:
    """One attack.

    Args:
        what: in words, for whoever looks into a failure.
        arguments: the command line; or None, and ``call`` is called.
        call: a call of the library.
        wrong: says what is wrong with the outcome of an attack that was not refused, such as a number; or nothing.
        refused: whether it has to be.
    """

    what: str
    arguments: list[str] | None = None
    call: Callable[[], Any] | None = None
    wrong: Callable[[Outcome], str | None] = lambda outcome: None
    refused: bool = False


@dataclass
class Arena:
    """The folders of a battery.

    Args:
        root: of everything: ``inputs`` (made once, never written to), ``work`` (of one attack), ``outside`` (watched).
        name: of the folder ``work``, where several processes attack at once.
    """

    root: Path
    name: str = "work"
    truths: dict[str, Any] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    watching: bool = False

    @property
    def inputs(self) -> Path:
        return self.root / "inputs"

    @property
    def work(self) -> Path:
        return self.root / self.name

    @property
    def outside(self) -> Path:
        return self.root / "outside"

    def input(self, name: str) -> Path:
        return self.inputs / name

    def copy(self, name: str) -> Path:
        """A copy of an input in the folder of the attack."""
        source, to = self.inputs / name, self.work / name
        if source.is_dir():
            shutil.copytree(source, to, symlinks=True)
        else:
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, to)
        return to

    def own_cache(self) -> Path:
        """A copy of the warm cache, which the attack then uses."""
        cache = self.work / "cache"
        shutil.copytree(self.inputs / "warm", cache)  # the one in use may change meanwhile
        os.environ["DISTILLSET_CACHE"] = str(cache)
        return cache

    def prepare(self) -> None:
        """What is watched, and this process made ready; once."""
        (self.outside / "home").mkdir(parents=True, exist_ok=True)
        for name in ("secret.txt", "secret.json", "home/.netrc"):
            if not (self.outside / name).is_file():  # several processes may attack at once
                (self.outside / name).write_text(SECRET)
        os.environ.update(HOME=str(self.outside / "home"), HF_HUB_OFFLINE="1", HF_HOME=str(self.work / "hf"))
        for name in ("MPLCONFIGDIR", "TORCHINDUCTOR_CACHE_DIR", "TMPDIR"):  # not the library's own to choose
            (self.root / "elsewhere" / self.name).mkdir(parents=True, exist_ok=True)
            os.environ[name] = str(self.root / "elsewhere" / self.name)
        tempfile.tempdir = None
        for name in ("DISTILLSET_DATA", "DISTILLSET_CACHE"):
            os.environ.pop(name, None)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
        sys.addaudithook(self._audit)

    def _audit(self, event: str, given: tuple[Any, ...]) -> None:
        """Every path that Python changes, or reads where the secrets lie."""
        if not self.watching:
            return
        try:
            if event == "open" and isinstance(given[0], str | bytes | os.PathLike):
                flags = given[2] if len(given) > 2 and isinstance(given[2], int) else 0
                writes = bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
                self._note(given[0], writes, follow=not flags & os.O_NOFOLLOW)
            elif event in CHANGES:
                for place in CHANGES[event]:
                    if isinstance(given[place], str | bytes | os.PathLike):
                        self._note(given[place], True, follow=False)
        except (OSError, ValueError):
            return  # a path that is none: nothing is changed there

    def _note(self, given: Any, writes: bool, follow: bool = True) -> None:
        if not Path(os.fsdecode(os.fspath(given))).is_absolute():
            return  # of a folder that is open already, or of the one the attack is made in
        self.watching = False  # what is asked here is no part of the attack
        try:
            named = Path(os.fsdecode(os.fspath(given)))
            # What is renamed or removed is the link itself, and not what it leads to.
            path = os.path.realpath(named) if follow else str(Path(os.path.realpath(named.parent), named.name))
        finally:
            self.watching = True
        inside = path == str(self.work) or path.startswith(
            (f"{self.work}/", f"{self.inputs}/cache", f"{self.root}/elsewhere/")
        )
        if writes and not inside and not path.startswith(HARMLESS):
            self.seen.append(f"wrote {path}")
        if not writes and path.startswith(f"{self.outside}/"):
            self.seen.append(f"read {path}")

    def state(self) -> list[tuple[Any, ...]]:
        """Everything that no attack may change."""
        found = []
        for root in (self.outside, self.inputs):
            for folder, folders, names in os.walk(root):
                if folder == str(self.inputs / "cache"):
                    folders.clear()
                    continue
                for name in [*folders, *names]:
                    status = os.lstat(os.path.join(folder, name))  # noqa: PTH118 (thousands of times)
                    stamp = (status.st_size, status.st_mtime_ns) if name in names else ()
                    found.append((folder, name, status.st_mode, status.st_ino, *stamp))
        return sorted(found)

    def attack(self, make: Callable[["Arena", random.Random], Attack], draw: random.Random) -> tuple[Attack, list[str]]:
        """Make an attack and see it through: with it, what went wrong."""
        shutil.rmtree(self.work, ignore_errors=True)
        (self.work / "here").mkdir(parents=True)
        os.chdir(self.work / "here")
        os.environ["DISTILLSET_CACHE"] = str(self.inputs / "cache")
        attack = make(self, draw)
        before = self.state()
        self.seen, self.watching = [], True
        try:
            outcome = run(attack)
        finally:
            self.watching = False
        failures = judged(attack, outcome) + [f"outside: {told}" for told in dict.fromkeys(self.seen)]
        if (after := self.state()) != before:
            changed = {entry[:2] for entry in set(after) ^ set(before)}
            failures.append(f"outside: changed {sorted(changed)[:3]}")
        return attack, failures


def run(attack: Attack) -> Outcome:
    """The attack, in this process, as far as it comes."""
    outcome, out, err = Outcome(), io.StringIO(), io.StringIO()
    with _timed(), warnings.catch_warnings(), redirect_stdout(out), redirect_stderr(err):
        warnings.simplefilter("ignore")
        try:
            if attack.arguments is not None:
                outcome.code = main(attack.arguments)
            elif attack.call is not None:
                outcome.value = attack.call()
        except SystemExit as ended:
            outcome.code = ended.code if isinstance(ended.code, int) else 1
        except DistillsetError as error:
            outcome.code = error.exit_code
            err.write(f"distillset: error: {printable(' '.join(str(error).split()))}\n")
            if attack.arguments is not None:
                outcome.traceback = "the error left `main`"
        except HangingError:
            outcome.traceback = f"no end after {PATIENCE:g} s"
        except BaseException as error:
            frames = traceback.extract_tb(error.__traceback__)[-1:]
            where = "; ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)
            own = [frame for frame in traceback.extract_tb(error.__traceback__) if "/distillset/" in frame.filename][
                -1:
            ]
            inner = "; ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in own)
            outcome.traceback = f"{type(error).__name__}: {str(error)[:200]} at {where} by {inner}"
    outcome.out, outcome.err = out.getvalue(), err.getvalue()
    return outcome


@contextmanager
def _timed() -> Iterator[None]:
    def ring(number: int, frame: FrameType | None) -> None:
        raise HangingError

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def judged(attack: Attack, outcome: Outcome) -> list[str]:
    """What is wrong with an outcome."""
    told = []
    if outcome.traceback or "Traceback" in outcome.err:
        told.append(f"traceback: {outcome.traceback or outcome.err[-300:]}")
        return told
    errors = [line for line in outcome.err.splitlines() if line.startswith("distillset: error: ")]
    if outcome.code not in (0, 2, 3) and not (outcome.code == 1 and "memory" in outcome.err):
        told.append(f"exit code {outcome.code}: {outcome.err[-300:]}")
    elif outcome.code and (len(errors) != 1 or outcome.err.splitlines()[-1] != errors[0]):
        told.append(f"not one line: {outcome.err[-300:]!r}")
    if outcome.code == 0 and attack.refused:
        told.append(f"accepted: {outcome.out[-200:]!r}")
    if outcome.code == 0 and (wrong := attack.wrong(outcome)):
        told.append(f"wrong number: {wrong}")
    odd = {c for c in outcome.out + outcome.err if c not in "\n\t" and _odd(c)}
    if odd:
        told.append(f"terminal: {sorted(map(ascii, odd))}")
    if SECRET in outcome.out + outcome.err:
        told.append("outside: the secret was shown")
    return told


def _odd(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs") or character in DIRECTIONS
