"""What a run computes on: device, precision, compilation, threads and micro-batch, and how ``auto`` chooses them."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from distillset.engine.kernels import available, compiler
from distillset.engine.room import check_memory
from distillset.errors import InputError
from distillset.machine import Machine, bytes_of
from distillset.trust import own_folder

# Bytes of the widest layer for one micro-batch on a CPU, so that activations stay in cache: 64 images of ConvNet-3 at
# 32x32 (131,072 numbers there) in bf16, 32 in fp32; four times as many where the first block is one operation. Measured
# without that: in bf16 32 to 64 images are about twice as fast as 256; in fp32 64 gradients take 158, 157 and 198 ms in
# micro-batches of 16, 32 and 64. With it a step of DC, 2,560 gradients, takes 2.6, 2.4, 2.3 and 2.5 s in those of 32,
# 64, 128 and 256 at best, fp32, on a machine that varied by a third; in bf16 that was not measured.
CPU_ACTIVATIONS = 64 * 131_072 * 2
# On a GPU many images a call win; this many numbers in the widest layer stay under about 4 GB with all layers counted.
GPU_ACTIVATIONS = 4096 * 131_072
# Eager float32 networks, per thread: products at 0.12 TFLOP/s, and norms, activations and poolings at 4.5 ns for each
# number that a layer puts out; measured on ConvNet-3 at 32x32 (3.4 ms per image) and ConvNet-1 at 8x8 (0.12 ms).
# Compiling costs 12 to 22 s per function.
EAGER_FLOPS = 0.12e12
EAGER_NUMBERS = 1 / 4.5e-9
WORTH_COMPILING = 90.0
# On an H200 in bf16 the same network takes 2.2 ms eagerly and 0.5 ms compiled for the gradient of 100 images, 39 and 7
# to 11 for that of 2,560. Compiling costs 13 to 20 s per function there.
EAGER_FLOPS_GPU = 14e12
WORTH_COMPILING_GPU = 40.0
# Bytes that an image takes in a call for each number that layers put out for it, by first and second derivatives.
# Measured eagerly on ConvNet-3 at 32x32: 9 and 32; on ConvNet-5 at 128x128: 7 and 24.
FIRST, SECOND = 10, 32


@dataclass(frozen=True)
class Work:
    """What is about to be computed, as far as ``auto`` needs to know.

    Args:
        flops: floating point operations of the whole run.
        numbers: numbers that layers put out in the whole run.
        activations: numbers in the widest layer for one image.
        fewest: the same without the layers that kernels never write out (`Compute.kernels`); None is ``activations``.
        held: numbers that all layers together put out for one image.
        second: whether second derivatives are taken, whose calls hold more.
    """

    flops: float = 0.0
    numbers: float = 0.0
    activations: int = 131_072
    fewest: int | None = None
    held: int = 559_114
    second: bool = False


@dataclass(frozen=True)
class Compute:
    """A resolved choice, stored with every result. ``reasons`` says in a line each why it is what it is.

    Args:
        device: ``"cpu"`` or ``"cuda"`` (or ``"cuda:N"``).
        precision: ``"fp32"``, or ``"bf16"`` for convolutions and matrix products (statistics, losses and sums stay
            fp32).
        compile: whether functions are compiled.
        threads: CPU threads that PyTorch has. They are recorded here, not set.
        micro_batch: the most images in one call.
        kernels: whether compiled functions take the project's own (`distillset.engine.kernels`).
    """

    device: str
    precision: str
    compile: bool
    threads: int
    micro_batch: int
    kernels: bool = False
    reasons: tuple[str, ...] = ()

    @classmethod
    def resolve(cls, machine: Machine | str = "auto", work: Work | None = None) -> "Compute":
        """Choose what is left to ``auto``.

        Args:
            machine: what was asked for.
            work: what is to be computed.

        Raises:
            InputError: a device or compiler that is not there, or a limit of memory below what an image takes.
        """
        machine = Machine.of(machine)
        work, known = work or Work(), work is not None
        threads = torch.get_num_threads()
        device, why_device = _device(machine.device)
        precision, why_precision = _precision(machine.precision, device)
        compiled, why_compile = _compile(machine.compile, device, threads, work)
        if compiled:
            _own_compiled()
        kernels = compiled and device == "cpu" and available()
        activations = work.fewest if kernels and work.fewest else work.activations
        micro_batch, why_micro = _micro_batch(machine.memory, device, precision, replace(work, activations=activations))
        if known and machine.memory == "auto":
            # Half of what was measured: what fits must not be refused, and kernels write less.
            check_memory("network", None, "a single image", _bytes_each(work) // 2, device)
        reasons = [why_device, why_precision, why_compile, why_micro]
        if kernels:
            reasons.append("kernels: those of this library, as the run is compiled on a CPU")
        return cls(device, precision, compiled, threads, micro_batch, kernels, tuple(reasons))

    def to_json(self) -> dict[str, str | bool | int]:
        return {
            "device": self.device,
            "precision": self.precision,
            "compile": self.compile,
            "threads": self.threads,
            "micro_batch": self.micro_batch,
            "kernels": self.kernels,
        }


def has_bf16(device: str) -> bool:
    """Whether the hardware computes bf16 products faster than fp32 ones."""
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _device(device: str) -> tuple[str, str]:
    if device == "auto":
        return (
            ("cuda", "device cuda: there is one") if torch.cuda.is_available() else ("cpu", "device cpu: no CUDA GPU")
        )
    if device == "cpu":
        return "cpu", "device cpu: as asked"
    index = int(device.partition(":")[2] or 0)
    if index >= torch.cuda.device_count():
        raise InputError(
            "device", device, f"this machine has {torch.cuda.device_count()} CUDA devices; use auto or cpu"
        )
    return device, f"device {device}: as asked"


def _precision(precision: str, device: str) -> tuple[str, str]:
    if precision != "auto":
        return precision, f"precision {precision}: as asked"
    if has_bf16(device):
        return "bf16", "precision bf16: the hardware has it"
    return "fp32", "precision fp32: the hardware has no fast bf16"


def _bytes_each(work: Work) -> int:
    """Bytes that an image takes in a call."""
    return (SECOND if work.second else FIRST) * work.held


def _micro_batch(memory: str, device: str, precision: str, work: Work) -> tuple[int, str]:
    in_cache = CPU_ACTIVATIONS // (2 if precision == "bf16" else 4)
    fast = max(1, (in_cache if device == "cpu" else GPU_ACTIVATIONS) // work.activations)
    budget, each = bytes_of(memory), _bytes_each(work)
    if budget is None:
        where = "in cache" if device == "cpu" else "within memory"
        return fast, f"micro-batch {fast}: the activations of one stay {where}"
    if budget < each:
        raise InputError(
            "memory",
            memory,
            f"a single image of this network takes about {each / 2**20:,.0f}M; smaller images or networks need less",
        )
    # On a CPU more than the cache holds is only slower; on a GPU what is there may be used.
    fits = budget // each if device != "cpu" else min(fast, budget // each)
    return fits, f"micro-batch {fits}: one takes about {fits * each / 2**20:,.0f}M of the {memory} allowed"


def _own_compiled() -> None:
    """PyTorch's compiler keeps code, and pickles, in a folder of /tmp that anybody can guess, and make first.

    Raises:
        InputError: others have, or can write in it.
    """
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    if "TORCHINDUCTOR_CACHE_DIR" not in os.environ:  # which is the user's own choice
        own_folder(Path(default_cache_dir()), "TORCHINDUCTOR_CACHE_DIR")


def _compile(compile: str, device: str, threads: int, work: Work) -> tuple[bool, str]:  # noqa: A002
    if compile == "off":
        return False, "not compiled: as asked"
    if device == "cpu" and compiler() is None:
        if compile == "on":
            raise InputError(
                "compile", compile, "no C++ compiler (CXX, g++) is installed; install one, or use `compile='off'`"
            )
        return (
            False,
            "not compiled: no C++ compiler (CXX, g++) is installed; one makes long runs several times faster",
        )
    if compile == "on":
        return True, "compiled: as asked"
    if device == "cpu":
        seconds, worth = (work.flops / EAGER_FLOPS + work.numbers / EAGER_NUMBERS) / threads, WORTH_COMPILING
    else:
        seconds, worth = work.flops / EAGER_FLOPS_GPU, WORTH_COMPILING_GPU
    if seconds >= worth:
        return (
            True,
            f"compiled: without compiling the run would take about {seconds:.0f} s, long enough to gain from it",
        )
    return False, "not compiled: the run has too little work to gain from compiling"
