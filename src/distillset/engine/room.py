"""Free memory and disk: work that cannot fit is refused before it begins."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import torch

from distillset.errors import InputError

CGROUPS = Path("/sys/fs/cgroup")
UNITS = ("bytes", "KB", "MB", "GB", "TB")


def free_memory(device: torch.device | str = "cpu") -> int | None:
    """Bytes that may still be taken: of a GPU, or of this machine (with its swap) and of the container; None where the
    system does not tell.
    """
    if torch.device(device).type == "cuda":
        try:
            cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
            return torch.cuda.mem_get_info(device)[0] + cached
        except (AssertionError, RuntimeError):  # what computes there says it
            return None
    fields = _table(Path("/proc/meminfo"))
    if "MemAvailable:" not in fields:
        return None
    machine = (fields["MemAvailable:"] + fields.get("SwapFree:", 0)) * 1024
    return max(0, min([machine, *_containers()]))


def free_disk(folder: Path) -> int:
    """Bytes free where ``folder`` is, or would be made."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
    return shutil.disk_usage(there).free


def check_memory(field: str, value: object, what: str, needed: int, device: torch.device | str = "cpu") -> None:
    """Whether so many bytes of memory can be had.

    Args:
        field: the argument that asks for them, or the thing that takes them.
        value: of the argument; None where ``field`` is a thing.
        what: what takes them, such as ``learning 30 images``.
        needed: bytes, rather too few than too many.
        device: where.

    Raises:
        InputError: they cannot.
    """
    free = free_memory(device)
    if free is not None and needed > free:
        raise _refused(
            field, value, f"{what} takes {size(needed)} of memory at least; {size(free)} are free on {device}"
        )


def check_disk(field: str, value: object, what: str, needed: int, folder: Path) -> None:
    """The same of the disk that ``folder`` is on.

    Raises:
        InputError: there is less.
    """
    try:
        free = free_disk(folder)
    except OSError:  # what writes there says it
        return
    if needed > free:
        raise _refused(field, value, f"{what} takes {size(needed)}; {size(free)} are free on the disk of {folder}")


def _refused(field: str, value: object, fault: str) -> InputError:
    return InputError.about(field, fault) if value is None else InputError(field, value, fault)


def size(count: float) -> str:
    """Bytes for a person: three digits and a unit."""
    for unit in UNITS[:-1]:
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.0f} {UNITS[-1]}" if count >= 1000 else f"{count:.3g} {UNITS[-1]}"


def _containers() -> Iterator[int]:
    """Bytes left in each control group above this process, files that are only cached not counted."""
    v2 = ("", "memory.max", "anon")
    v1 = ("memory", "memory.limit_in_bytes", "total_rss")
    for line in _read(Path("/proc/self/cgroup")).splitlines():
        _, controllers, name = [*line.split(":", 2), "", ""][:3]
        if controllers and "memory" not in controllers.split(","):
            continue
        top, limit, used = v1 if controllers else v2
        root = CGROUPS / top
        group = root / name.lstrip("/")
        for folder in (group, *group.parents):
            if not folder.is_relative_to(root):
                break
            if (text := _read(folder / limit).strip()).isdecimal():
                yield int(text) - _table(folder / "memory.stat").get(used, 0)


def _table(path: Path) -> dict[str, int]:
    """Names and numbers of a file of ``name number`` lines."""
    rows = (line.split() for line in _read(path).splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdecimal()}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
