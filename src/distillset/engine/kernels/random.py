"""Uniform random numbers on a CPU: `distillset.keys.uniform` in one call.

A fresh network takes hundreds of thousands of them. In tensor operations they cost as much as twenty of its images;
here, next to nothing. The kernel is in ``random.cpp``.
"""

import ctypes
from pathlib import Path

import torch
from torch import Tensor

from distillset.engine.kernels import library, places

SOURCE = Path(__file__).with_suffix(".cpp")


def uniform(words: Tensor, count: int) -> Tensor:
    """Of every stream ``[k, 2]`` on a CPU its first ``count`` numbers in [0, 1): float32 ``[k, count]``.

    The same bits as ``distillset.keys.uniform(words, (count,))``.
    """
    streams, results = words.contiguous(), torch.empty(len(words), count)  # both stay while the kernel works
    sizes = map(ctypes.c_int64, (len(words), count))
    library(SOURCE).distillset_uniform(*places([streams, results]), *sizes, torch.get_num_threads())
    return results
