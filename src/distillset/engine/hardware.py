"""A description of this machine, for cards and results."""

import contextlib
import platform
import sys
from pathlib import Path

import torch


def hardware(device: torch.device) -> dict[str, str | int]:
    """Processor, threads and, for a GPU, its name."""
    description: dict[str, str | int] = {
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "device": str(device),
    }
    if device.type == "cuda":
        description["gpu"] = torch.cuda.get_device_name(device)
    return description


def processor() -> str:
    """The processor's name, with the instruction sets that matter here."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    flags = fields.get("flags", "").split()
    known = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in flags]
    return " ".join([fields.get("model name", platform.machine()), *known])


def forget_peak(device: torch.device) -> None:
    """Let `peak` begin anew, where the system allows that."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak(device: torch.device) -> int:
    """Most bytes in use since `forget_peak`: on a GPU what tensors took, else this process's resident memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return _status("VmHWM") or _most_resident()


def memory(device: torch.device) -> int:
    """Bytes in use: the peak on a GPU, else this process's anonymous resident memory (its peak where that is not
    told).
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return _status("RssAnon") or _most_resident()


def _most_resident() -> int:
    """Most bytes that this process had in memory; 0 on Windows, where Python does not say."""
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _status(field: str) -> int:
    """A field of this process's status in bytes; 0 where the system does not tell."""
    try:
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0
