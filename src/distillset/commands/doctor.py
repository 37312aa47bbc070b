"""``distillset doctor``: show versions, the machine, and what ``auto`` chooses on it."""

import argparse
import json
import os
import platform
import shutil
import subprocess
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from distillset.augment import OPERATIONS
from distillset.commands.process import waiting
from distillset.coresets import SELECTORS
from distillset.engine import Compute, Work, compiler, has_bf16
from distillset.engine.hardware import processor
from distillset.evaluation import PROTOCOLS
from distillset.methods import METHODS
from distillset.nets import NETWORKS
from distillset.sources.forms import FORMS
from distillset.sources.known import KNOWN
from distillset.store import cache_path
from distillset.tables import PluginTable
from distillset.trackers import TRACKERS

PACKAGES = ("distillset", "torch", "numpy", "safetensors", "datasets", "scikit-learn", "pillow", "tqdm")
CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
TABLES: tuple[PluginTable[Any], ...] = (NETWORKS, SELECTORS, OPERATIONS, PROTOCOLS, KNOWN, FORMS, TRACKERS, METHODS)
"""What other packages can add to."""
PUBLISHED = Work(flops=5.8e15, numbers=3.2e13)
"""DM on CIFAR-10 at 10 images per class: 20,000 steps of 2,560 real and 100 synthetic images, 0.1 GFLOP each way."""


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("doctor", help="show versions, devices, and what auto chooses")
    parser.add_argument("--json", action="store_true", help="print everything as one JSON object")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Look, and print a page or JSON."""
    facts = examine()
    print(json.dumps(facts, indent=2) if options.json else page(facts))
    return 0


def examine() -> dict[str, Any]:
    """What there is, as plain JSON values. Sizes are in bytes; None stands for what is missing or unknown."""
    return {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "machine": {
            "platform": platform.platform(),
            "processor": processor(),
            "cores": _cores(),
            "threads": torch.get_num_threads(),
            "waiting": waiting(),
            "memory": _memory(),
        },
        "devices": _devices(),
        "compiler": _compiler(),
        "cache": _cache(),
        "auto": asdict(Compute.resolve("auto", PUBLISHED)),
        "packages": packages(),
    }


def page(facts: dict[str, Any]) -> str:
    """The same for reading."""
    machine, compiler, cache, auto = facts["machine"], facts["compiler"], facts["cache"], facts["auto"]
    lines = {
        "versions": [f"{name} {number or 'not installed'}" for name, number in facts["versions"].items()],
        "machine": [
            machine["platform"],
            machine["processor"],
            f"{machine['cores']} cores, {machine['threads']} threads, {_size(machine['memory'])} memory",
            machine["waiting"],
        ],
        "devices": [
            f"{device['device']}: {device['name']}, {_size(device['memory'])}, bf16 {'yes' if device['bf16'] else 'no'}"
            for device in facts["devices"]
        ],
        "compiler": [
            f"{compiler['command']}: {compiler['version'] or 'does not run'}" if compiler else "no C++ compiler"
        ],
        "cache": [f"{cache['folder']}: {_size(cache['free'])} free"],
        "auto, for DM as published on CIFAR-10": [*auto["reasons"], f"threads {auto['threads']}"],
        "from other packages": [
            f"{row['noun']} {row['name']} of {row['package']}{': ' + row['fault'] if row['fault'] else ''}"
            for row in facts["packages"]
        ]
        or ["nothing"],
    }
    return "\n".join(f"{title}\n" + "\n".join(f"  {line}" for line in part) for title, part in lines.items())


def packages() -> list[dict[str, str | None]]:
    """What other packages add to the tables, each with what is wrong with it, if anything is."""
    return [
        {"noun": table.noun, "name": name, "package": package, "fault": table.fault(name)}
        for table in TABLES
        for name in table
        if (package := table.package(name)) is not None
    ]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cores() -> int:
    """Cores that this process may use: fewer than the machine's where it is pinned to some."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1


def _memory() -> int | None:
    """Bytes of memory of the machine, or of the container where that is less."""
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not on Windows
        return None
    limits = [int(text) for path in CGROUP_LIMITS if (text := _read(path)).isdigit()]
    return min([total, *limits])


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _devices() -> list[dict[str, Any]]:
    cpu = {"device": "cpu", "name": processor(), "memory": _memory(), "bf16": has_bf16("cpu")}
    gpus = [
        {
            "device": f"cuda:{index}",
            "name": torch.cuda.get_device_name(index),
            "memory": torch.cuda.get_device_properties(index).total_memory,
            "bf16": has_bf16(f"cuda:{index}"),
        }
        for index in range(torch.cuda.device_count())
    ]
    return [cpu, *gpus]


def _compiler() -> dict[str, str | None] | None:
    command = compiler()
    if command is None:
        return None
    try:
        process = subprocess.run([command, "--version"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return {"command": command, "version": None}
    return {"command": command, "version": next(iter(process.stdout.splitlines()), "")}


def _cache() -> dict[str, Any]:
    """Where decoded data is kept, and the bytes free on that disk. The folder need not be there yet."""
    folder = cache_path()
    there = next((path for path in (folder, *folder.absolute().parents) if path.is_dir()), None)
    return {"folder": str(folder), "free": shutil.disk_usage(there).free if there else None}


def _size(count: int | None) -> str:
    return "unknown" if count is None else f"{count / 2**30:.1f} GiB"
