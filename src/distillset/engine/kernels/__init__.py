"""Builds the project's own C++ kernels for CPUs, each source once, and keeps them in the cache."""

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

from distillset.engine.hardware import processor
from distillset.engine.kernels.shelf import load
from distillset.errors import DiskError
from distillset.store import cache_folder

P = ParamSpec("P")
T = TypeVar("T")

FLAGS = ("-O3", "-march=native", "-std=c++17", "-fopenmp", "-fPIC", "-shared")


def sources() -> list[Path]:
    """The C++ files, headers too."""
    return sorted(path for path in Path(__file__).parent.iterdir() if path.suffix in (".cpp", ".h"))


def compiler() -> str | None:
    """The C++ compiler that ``torch.compile`` runs on a CPU: ``CXX``, else g++ (clang++ on macOS); None if missing."""
    return shutil.which(os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++"))


@functools.cache
def available() -> bool:
    """Whether the kernels can be used here: Linux, a C++ compiler, and a cache that can be written.

    Raises:
        InputError: others can write in the cache.
    """
    if not sys.platform.startswith("linux") or compiler() is None:
        return False
    try:
        for source in sources():
            if source.suffix == ".cpp":
                library(source)
    except (DiskError, OSError, subprocess.SubprocessError):
        return False
    return True


@functools.cache
def library(source: Path) -> ctypes.CDLL:
    """The functions of a C++ file, built for this processor if the cache does not hold them.

    Raises:
        DiskError, OSError, subprocess.SubprocessError: they cannot be built, kept or loaded.
        InputError: others can write in the cache.
    """
    headers = [path.read_bytes() for path in sources() if path.suffix == ".h"]
    made_of = (source.read_bytes(), *headers, _version(str(compiler())), processor().encode(), *map(str.encode, FLAGS))
    name = f"{source.stem}-{hashlib.sha256(b'|'.join(made_of)).hexdigest()[:24]}"
    return load(cache_folder("kernels"), name, lambda made: _build(source, made))


def _build(source: Path, target: Path) -> None:
    subprocess.run([str(compiler()), *FLAGS, str(source), "-o", str(target)], capture_output=True, check=True)


@functools.cache
def _version(compiler: str) -> bytes:
    return subprocess.run([compiler, "--version"], capture_output=True, check=True).stdout


def ready(*tensors: Tensor) -> list[Tensor]:
    """As the kernels read them: images, which have four dimensions, channels-last, and everything else contiguous."""
    return [
        tensor.contiguous(memory_format=torch.channels_last if tensor.dim() == 4 else torch.contiguous_format)
        for tensor in tensors
    ]


def places(tensors: Sequence[Tensor]) -> list[ctypes.c_void_p]:
    """Where the numbers of tensors lie."""
    return [ctypes.c_void_p(tensor.data_ptr()) for tensor in tensors]


def listed(tensors: Sequence[Tensor]) -> Any:
    """The same as an array for C."""
    return (ctypes.c_void_p * len(tensors))(*places(tensors))


_OPERATIONS = torch.library.Library("distillset", "FRAGMENT")


def operation(empty: Callable[P, T]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """A decorator: a function that runs a kernel becomes an operation of PyTorch, ``torch.ops.distillset.NAME``, which
    the compiler calls as it is. It writes to none of its arguments and has no derivative of its own.

    ``torch.library.custom_op`` does the same and looks after more at every call: 118 in place of 62 microseconds for a
    call of the smallest convolution, on a loaded core.

    Args:
        empty: gives empty results for the same arguments.
    """

    def registered(function: Callable[P, T]) -> Callable[P, T]:
        name = function.__name__
        _OPERATIONS.define(name + torch.library.infer_schema(function, mutates_args=()))
        _OPERATIONS.impl(name, function, "CPU")
        torch.library.register_fake(f"distillset::{name}", empty, lib=_OPERATIONS)
        kernel: Callable[P, T] = getattr(torch.ops.distillset, name).default
        return kernel

    return registered
