"""The small sets of `distillset.testing.toys`, and what the tests of this library compute them with."""

from pathlib import Path

import numpy as np
import torch

from distillset.engine import Compute, Engine
from distillset.engine.kernels import available
from distillset.machine import Machine
from distillset.testing.toys import NETWORK, pixels, spec_of, toy, toy_data

__all__ = ["EAGER", "NETWORK", "engine", "pixels", "spec_of", "toy", "toy_data", "toy_file"]

EAGER = Machine("cpu", "fp32", "off")
"""Compute choices that no machine's hardware changes."""


def toy_file(path: Path) -> Path:
    """The sets of `toy_data` as an ``.npz`` file."""
    arrays = [tensor.numpy() for tensor in (*pixels(), *pixels((10, 10, 10), seed=1))]
    np.savez(path, images=arrays[0], labels=arrays[1], test_images=arrays[2], test_labels=arrays[3])
    return path


def engine(
    micro_batch: int = 64, precision: str = "fp32", compiled: bool = False, defers: bool | None = None
) -> Engine:
    """``defers`` takes the way of a GPU: nothing is read back while steps go on, and all could be captured."""
    kernels = compiled and available()
    return Engine(Compute("cpu", precision, compiled, torch.get_num_threads(), micro_batch, kernels), defers=defers)
