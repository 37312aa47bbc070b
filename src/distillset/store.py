"""Everything that must survive on disk is written here: whole files or none, with checksums, under a lock.

Tensors are kept as safetensors; no pickle is read or written anywhere in the library.
"""

import fcntl
import glob
import hashlib
import json
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from distillset.errors import DiskError, GoneError, InputError, reason, unwritable
from distillset.trust import open_own, own_folder

HEADER = "distillset"
LOCK = ".lock"
SEAL = "seal"
"""A field of a JSON file: the SHA-256 of the others."""

DEEPEST = 64
"""Levels of lists and objects in a JSON file; the library itself writes ten at most."""

MOST_DIGITS = 300
"""Of a whole number in a JSON file: so many have a float near them."""

LARGEST_JSON = 2**28

READING = (SafetensorError, OSError, ValueError, TypeError, LookupError, AttributeError, RuntimeError)
"""What reading safetensors may raise: besides its own errors, others for types that PyTorch does not have."""

_HELD: dict[Path, tuple[int, int]] = {}
"""Folders that this process holds, with device and inode of their locks: nothing is written where one went away."""


def cache_path() -> Path:
    """``DISTILLSET_CACHE``, or ``~/.cache/distillset``. It may be deleted at any time."""
    named = os.environ.get("DISTILLSET_CACHE") or "~/.cache/distillset"
    try:
        return Path(named).expanduser()
    except RuntimeError:
        raise InputError.about(
            named, "there is no such home; name a folder for the cache with DISTILLSET_CACHE"
        ) from None


def cache_folder(part: str = "") -> Path:
    """`cache_path`, or a folder in it, made for this user alone.

    Raises:
        InputError: others can write in it; see `distillset.trust`.
    """
    folder = own_folder(cache_path())
    return own_folder(folder / part) if part else folder


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, flush it to the disk and rename it over ``path``.

    Whoever reads ``path`` sees the old file or the whole new one, also after a crash or a power cut.

    Raises:
        DiskError: the disk is full or cannot be written, or a folder that this process holds went away.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent, _temporaries(path))
        temporary = _temporary(path)
        with temporary.open("xb") as mine:
            _claim(mine.fileno())
            try:
                write(temporary)
                # Some writers put a file of their own in its place, which only its owner may read.
                temporary.chmod(stat.S_IMODE(os.fstat(mine.fileno()).st_mode))
                with temporary.open("rb") as file:
                    os.fsync(file.fileno())
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_folder(path: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a temporary folder beside ``path`` and rename it to ``path``, which is missing or empty.

    Whoever looks sees nothing or the whole folder; what a crash leaves is hidden, and swept away the next time.

    Raises:
        DiskError: see `write_atomically`.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent, _temporaries(path))
        temporary = _temporary(path)
        temporary.mkdir()
        mine = os.open(temporary, os.O_RDONLY)
        _claim(mine)
        try:
            write(temporary)
            for file in temporary.rglob("*"):
                if file.is_file():
                    with file.open("rb") as opened:
                        os.fsync(opened.fileno())
            temporary.replace(path)
        finally:
            os.close(mine)
            shutil.rmtree(temporary, ignore_errors=True)


def append(path: Path, line: str) -> None:
    """Add a line to a log. A crash may cut it short; readers leave such a line out.

    Raises:
        DiskError: see `write_atomically`; or the log is a symbolic link.
    """
    with writing(path), _appended(path) as file:
        file.write(line + "\n")


def _appended(path: Path) -> TextIO:
    return os.fdopen(open_own(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "a", encoding="utf-8")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What the disk says while ``path`` is written, as one line.

    Raises:
        DiskError: it is full or cannot be written, or ``path`` is in a folder that this process holds and that went
            away: made anew it would be another one, without its lock.
    """
    for folder, mark in _HELD.items():
        if path.resolve().is_relative_to(folder) and _mark(folder / LOCK) != mark:
            raise GoneError(f"{folder}: was removed or replaced during the run; what lay in it is gone with it")
    try:
        yield
    except DiskError:
        raise
    except OSError as error:
        raise DiskError(f"{path}: cannot be written ({error.strerror or error}); what was whole is kept") from error
    except SafetensorError as error:
        raise DiskError(f"{path}: cannot be written ({error}); what was whole is kept") from error


def sweep(folder: Path, pattern: str = "**/.*.tmp") -> None:
    """Remove temporary files and folders that killed processes left; those being written are locked, and stay."""
    for path in list(folder.glob(pattern)):
        try:
            opened = os.open(path, os.O_RDONLY)
        except OSError:
            continue  # gone in the meantime
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        except OSError:
            continue
        finally:
            os.close(opened)


def _temporary(path: Path) -> Path:
    """Of this process alone: containers that share a folder may have equal process numbers."""
    return path.with_name(f".{path.name[:50]}.{os.getpid()}-{secrets.token_hex(4)}.tmp")


def _temporaries(path: Path) -> str:
    return f".{glob.escape(path.name[:50])}.*.tmp"


def _claim(opened: int) -> None:
    """Show those who sweep that this is being written."""
    with suppress(OSError):  # a file system without locks: nobody sweeps there either
        fcntl.flock(opened, fcntl.LOCK_EX)


def _mark(path: Path) -> tuple[int, int] | None:
    """What tells a file from another of the same name; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def write_text(path: Path, text: str) -> None:
    """Write ``text`` (UTF-8) to ``path`` atomically."""

    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8")

    write_atomically(path, write)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON atomically. NaN and infinity are refused (they are not JSON)."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_sealed(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object with a checksum of all its fields, which `read_json` verifies."""
    write_json(path, {**value, SEAL: _seal_of(value)})


def read_json(path: Path, sealed: bool = False) -> Any:
    """Read a JSON file. If it is sealed the seal is verified and left out.

    Args:
        path: the file.
        sealed: whether a file without a seal is refused; else it is taken as it is.

    Raises:
        InputError: the file is missing, unreadable, not JSON (see `parse`), or was changed after it was sealed.
    """
    try:
        if path.exists() and not path.is_file():
            raise InputError.about(path, "not readable as JSON (it is not a regular file)")
        if (size := path.stat().st_size) > LARGEST_JSON:
            raise InputError.about(path, f"{size:,} bytes; at most {LARGEST_JSON:,} of JSON are read")
        found = parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError.about(path, "no such file") from None
    except InputError:
        raise
    except (OSError, ValueError) as error:  # not UTF-8, not JSON
        raise InputError.about(path, f"not readable as JSON ({error})") from None
    if sealed and not (isinstance(found, dict) and SEAL in found):
        raise InputError.about(
            path, f"its field {SEAL} is missing; the file was not written by distillset, or was changed"
        )
    if isinstance(found, dict) and SEAL in found:
        seal = found.pop(SEAL)
        if seal != _seal_of(found):
            raise InputError.about(
                path,
                "its checksum does not match; the file is damaged or was changed "
                f"(without its field {SEAL} it is taken as it is)",
            )
    return found


def parse(text: str | bytes) -> Any:
    """JSON, strictly: every value can be written again, as JSON and as text.

    Raises:
        ValueError: it is not JSON, holds NaN, infinity or a number of a size that no float has, text that is not UTF-8
            (half a surrogate pair), or is nested deeper than `DEEPEST`.
    """
    try:
        found = json.loads(text, parse_constant=_no_number, parse_float=_finite, parse_int=_whole)
    except RecursionError:
        raise ValueError(f"nested deeper than {DEEPEST} levels") from None
    level = [found]
    for _ in range(DEEPEST):
        level = [part for outer in level for part in _parts(outer)]
        if not level:
            return found
    raise ValueError(f"nested deeper than {DEEPEST} levels")


def _parts(outer: Any) -> Iterable[Any]:
    """What a list or an object holds; text is checked on the way."""
    if isinstance(outer, str):
        outer.encode()
    if isinstance(outer, dict):
        for name in outer:
            name.encode()
        return list(outer.values())
    return outer if isinstance(outer, list) else ()


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def _finite(text: str) -> float:
    if (found := float(text)) in (float("inf"), -float("inf")):
        raise ValueError(f"{text[:40]} is larger than any number")
    return found


def _whole(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def _seal_of(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def checksum(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes of ``tensors``, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], meta: Mapping[str, Any] | None = None) -> None:
    """Write tensors and JSON metadata as one safetensors file, atomically, with a checksum over all of it."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(dict(meta or {}), allow_nan=False)
    # One entry only: safetensors writes several in no fixed order, and equal contents should be equal bytes.
    header = {HEADER: json.dumps({"meta": text, "sha256": _seal(plain, text)})}
    write_atomically(path, lambda temporary: save_file(plain, temporary, metadata=header))


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read what `write_tensors` wrote, and verify it.

    Raises:
        InputError: the file is missing, is not safetensors, or does not match its checksum.
    """
    if not path.is_file():
        raise InputError.about(path, "no such file")
    try:
        with safe_open(path, framework="pt") as file:
            header = parse((file.metadata() or {}).get(HEADER, "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except READING as error:
        raise InputError.about(path, f"damaged, or not a safetensors file ({reason(error)})") from None
    text = header.get("meta") if isinstance(header, dict) else None
    if not isinstance(text, str) or header.get("sha256") != _seal(tensors, text):
        raise InputError.about(path, "its checksum does not match; the file is damaged or was changed")
    try:
        meta = parse(text)
    except ValueError as error:
        raise InputError.about(path, f"its header is not readable as JSON ({error})") from None
    return tensors, meta if isinstance(meta, dict) else {}


def glance(path: Path) -> dict[str, Any]:
    """The ``meta`` of what `write_tensors` wrote, without its tensors and not verified; empty if there is none."""
    try:
        if not path.is_file():
            return {}
        with safe_open(path, framework="pt") as file:
            meta = parse(parse((file.metadata() or {})[HEADER])["meta"])
    except (SafetensorError, OSError, ValueError, TypeError, LookupError):
        return {}
    return meta if isinstance(meta, dict) else {}


def _seal(tensors: Mapping[str, torch.Tensor], meta: str) -> str:
    return hashlib.sha256((checksum(tensors) + meta).encode()).hexdigest()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold ``folder`` for this process. The lock goes with the process, so a crash leaves none behind.

    Raises:
        InputError: another process holds it, or it cannot be written.
    """
    place = folder.resolve()
    with _lock(folder) as mark:
        _HELD[place] = mark
        try:
            yield
        finally:
            if _HELD.get(place) == mark:  # else it was removed, and another holds one of that name
                del _HELD[place]


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """`locked`, without what a killed process was writing. If it was made for this and stays empty, it is gone again.

    Raises:
        InputError: see `locked`.
    """
    try:
        found = folder.exists()
    except OSError as error:  # a name that is too long, say
        raise InputError.about(folder, f"cannot be written ({error.strerror})") from None
    with locked(folder):
        sweep(folder)
        try:
            yield
        finally:
            ours = _mark(folder / LOCK) == _HELD.get(folder.resolve())  # else it was removed, and perhaps made anew
            if not found and ours and [path.name for path in folder.iterdir()] == [LOCK]:
                (folder / LOCK).unlink()
                folder.rmdir()


@contextmanager
def _lock(folder: Path) -> Iterator[tuple[int, int]]:
    """The lock itself; gives what tells it from a later one of the same name."""
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # Not emptied, and no link: it might lead to what is not ours.
            file = os.fdopen(open_own(folder / LOCK, os.O_RDWR | os.O_CREAT), "r+b")
        except OSError as error:
            raise unwritable(folder, error) from None
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InputError.about(
                    folder, "another run is using this folder; wait for it, or choose another `out`"
                ) from None
            status = os.fstat(file.fileno())
            mark = (status.st_dev, status.st_ino)
            if _mark(folder / LOCK) == mark:  # else whoever held it before removed it: it would lock nobody out
                yield mark
                return
