"""3x3 convolutions by Winograd's minimal filtering F(4x4, 3x3), a quarter of the direct sum's multiplications, on CPUs.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (CVPR 2016, section 4.3); the gradients of images
and of weights are the adjoints of the same algorithm. PyTorch's own CPU kernels take the direct sum. Measured on an AMD
EPYC with AVX2, 64 images of 128 channels and 16x16 pixels, one thread: 18 against 48 ms, the gradients 18 against 49
and 20 against 72 ms. The relative error of a result is 2e-6, four times that of the direct sum.

The kernels (``winograd.cpp``) are built once, by the compiler that `torch.compile` needs too, and kept in the cache.
`distillset.engine.graphs` puts them in the place of convolutions that are being compiled.
"""

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import torch
from torch import Tensor

from distillset.engine.hardware import processor
from distillset.errors import DiskError
from distillset.store import cache_folder, write_atomically

SOURCE = Path(__file__).with_suffix(".cpp")
FLAGS = ("-O3", "-march=native", "-std=c++17", "-fopenmp", "-fPIC", "-shared")
CHANNELS = 32
"""The kernels take multiples of it."""


def compiler() -> str | None:
    """The C++ compiler that ``torch.compile`` runs on a CPU: ``CXX``, else g++ (clang++ on macOS); None if missing."""
    return shutil.which(os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++"))


@functools.cache
def available() -> bool:
    """Whether the kernels can be used here: Linux, a C++ compiler, and a cache that can be written."""
    if not sys.platform.startswith("linux") or compiler() is None:
        return False
    try:
        kernels()
    except (DiskError, OSError, subprocess.SubprocessError):
        return False
    return True


@functools.cache
def kernels() -> ctypes.CDLL:
    """The kernels, built for this processor if the cache does not hold them.

    Raises:
        DiskError, OSError, subprocess.SubprocessError: they cannot be built, kept or loaded.
    """
    built_by = subprocess.run([str(compiler()), "--version"], capture_output=True, check=True).stdout
    made_of = (SOURCE.read_bytes(), built_by, processor().encode(), *map(str.encode, FLAGS))
    path = cache_folder() / "kernels" / f"winograd-{hashlib.sha256(b'|'.join(made_of)).hexdigest()[:24]}.so"
    if not path.exists():
        command = [str(compiler()), *FLAGS, str(SOURCE), "-o"]
        write_atomically(path, lambda made: subprocess.run([*command, str(made)], capture_output=True, check=True))
    library = ctypes.CDLL(str(path))
    pointers, sizes = [ctypes.c_void_p] * 3, [ctypes.c_int64] * 5
    library.distillset_convolve.argtypes = [*pointers, *sizes, ctypes.c_int, ctypes.c_int]
    library.distillset_convolve_weights.argtypes = [*pointers, *sizes, ctypes.c_int]
    library.distillset_convolve.restype = library.distillset_convolve_weights.restype = None
    return library


def _like(images: Tensor, channels: int) -> Tensor:
    n, _, height, width = images.shape
    return images.new_empty((n, channels, height, width)).to(memory_format=torch.channels_last)


def _ready(images: Tensor) -> Tensor:
    return images.contiguous(memory_format=torch.channels_last)


def _run(images: Tensor, weights: Tensor, turned: bool) -> Tensor:
    images, weights = _ready(images), weights.contiguous()
    outputs, inputs = weights.shape[:2]
    n, _, height, width = images.shape
    results = torch.empty((n, inputs if turned else outputs, height, width), memory_format=torch.channels_last)
    kernels().distillset_convolve(
        images.data_ptr(), weights.data_ptr(), results.data_ptr(),
        n, height, width, outputs, inputs, turned, torch.get_num_threads(),
    )  # fmt: skip
    return results


@torch.library.custom_op("distillset::convolve", mutates_args=())
def convolve(images: Tensor, weights: Tensor) -> Tensor:
    """``images [n, in, H, W]`` convolved with ``weights [out, in, 3, 3]``, stride 1 and padding 1: ``[n, out, H, W]``.

    Float32 on a CPU, channels multiples of `CHANNELS`; the result is channels-last.
    """
    return _run(images, weights, turned=False)


@torch.library.custom_op("distillset::convolve_images", mutates_args=())
def convolve_images(results: Tensor, weights: Tensor) -> Tensor:
    """The gradient of the images from that of the results of `convolve`, ``[n, out, H, W]`` to ``[n, in, H, W]``."""
    return _run(results, weights, turned=True)


@torch.library.custom_op("distillset::convolve_weights", mutates_args=())
def convolve_weights(images: Tensor, results: Tensor) -> Tensor:
    """The gradient of the weights ``[out, in, 3, 3]`` from the images and the gradient of the results of `convolve`."""
    images, results = _ready(images), _ready(results)
    n, inputs, height, width = images.shape
    outputs = results.shape[1]
    weights = torch.empty(outputs, inputs, 3, 3)
    kernels().distillset_convolve_weights(
        images.data_ptr(), results.data_ptr(), weights.data_ptr(),
        n, height, width, outputs, inputs, torch.get_num_threads(),
    )  # fmt: skip
    return weights


convolve.register_fake(lambda images, weights: _like(images, weights.shape[0]))
convolve_images.register_fake(lambda results, weights: _like(results, weights.shape[1]))
convolve_weights.register_fake(lambda images, results: images.new_empty(results.shape[1], images.shape[1], 3, 3))
