"""Ranks that share the work of a run. One process is a mesh of one; `torchrun` starts more.

The launcher, the rendezvous and the transport (nccl on GPUs, gloo on CPUs) are PyTorch's own. Nothing but tensors goes
from rank to rank: what is not a tensor travels as JSON.
"""

import atexit
import json
import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor
from torch import distributed as dist
from torch.distributed.rendezvous import rendezvous

from distillset.errors import InputError, LostRankError

T = TypeVar("T")
TIMEOUT = 600.0
"""Seconds after which ranks that wait for one that does not come give up, unless DISTILLSET_TIMEOUT says otherwise."""


class Mesh(Protocol):
    """What a run asks of the ranks it runs on."""

    size: int

    @property
    def writes(self) -> bool:
        """Whether this rank writes to disk and speaks to the user: one does."""

    def share(self, terms: Sequence[T]) -> Sequence[T]:
        """The terms that this rank computes."""

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Sum each tensor over the ranks, in place."""

    def copy(self, tensors: Sequence[Tensor]) -> None:
        """Make each tensor that of the writing rank, in place."""

    def agree(self, value: Any) -> Any:
        """The writing rank's ``value``, which JSON can hold, on every rank."""

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on any rank."""

    def lead(self, work: Callable[[Callable[[], object]], T]) -> T | None:
        """``work(beat)`` on the writing rank while the others wait, to whom it gives None.

        It calls ``beat`` now and then, so that none of them gives up.
        """


class Solo:
    """The mesh of one process."""

    size = 1
    writes = True

    def share(self, terms: Sequence[T]) -> Sequence[T]:
        return terms

    def add(self, tensors: Sequence[Tensor]) -> None:
        return None

    def copy(self, tensors: Sequence[Tensor]) -> None:
        return None

    def agree(self, value: Any) -> Any:
        return value

    def any(self, flag: bool) -> bool:
        return flag

    def lead(self, work: Callable[[Callable[[], object]], T]) -> T | None:
        return work(lambda: None)


class Torch:
    """The ranks of a `torch.distributed` process group; rank 0 writes.

    Rank r of n computes the terms r, r + n, ... Where terms own disjoint rows, the sum over ranks adds zeros to each
    number but once, so it is exact in any order.

    Args:
        device: where the tensors of the run are.
        rank: of this process.
        size: number of processes.
    """

    def __init__(self, device: torch.device, rank: int, size: int) -> None:
        self.device, self.rank, self.size = device, rank, size

    @property
    def writes(self) -> bool:
        return self.rank == 0

    def share(self, terms: Sequence[T]) -> Sequence[T]:
        return terms[self.rank :: self.size]

    def add(self, tensors: Sequence[Tensor]) -> None:
        self._together(tensors, dist.all_reduce)

    def copy(self, tensors: Sequence[Tensor]) -> None:
        self._together(tensors, lambda tensor: dist.broadcast(tensor, 0))

    def agree(self, value: Any) -> Any:
        text = torch.tensor(list(json.dumps(value).encode() if self.writes else b""), dtype=torch.uint8)
        length = torch.tensor([len(text)], device=self.device)
        self._call(lambda tensor: dist.broadcast(tensor, 0), length)
        text = text.to(self.device) if self.writes else torch.empty(int(length), dtype=torch.uint8, device=self.device)
        self._call(lambda tensor: dist.broadcast(tensor, 0), text)
        return json.loads(bytes(text.cpu().tolist()))

    def any(self, flag: bool) -> bool:
        total = torch.tensor([float(flag)], device=self.device)
        self._call(dist.all_reduce, total)
        return bool(total.item())

    def lead(self, work: Callable[[Callable[[], object]], T]) -> T | None:
        if not self.writes:
            while self.any(False):
                pass
            return None
        result = work(lambda: self.any(True))
        self.any(False)
        return result

    def _together(self, tensors: Sequence[Tensor], operation: Callable[[Tensor], object]) -> None:
        """One message for all tensors of a type."""
        for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
            same = [tensor for tensor in tensors if tensor.dtype == dtype]
            message = torch.cat([tensor.detach().to(self.device).flatten() for tensor in same])
            self._call(operation, message)
            for tensor, part in zip(same, message.split([tensor.numel() for tensor in same]), strict=True):
                tensor.detach().copy_(part.view(tensor.shape))

    def _call(self, operation: Callable[[Tensor], object], tensor: Tensor) -> None:
        try:
            operation(tensor)
        except RuntimeError as error:
            said = str(error).splitlines()[0][:200]
            raise LostRankError(
                f"rank {self.rank} of {self.size}: another rank has stopped or does not answer; the last checkpoint is "
                f"whole, and run the same command again to resume from it ({said})"
            ) from error


def join(device: str) -> Mesh:
    """The mesh this process belongs to: that of `torchrun`, or itself alone.

    Args:
        device: ``cpu``, ``cuda`` or ``auto``; each rank takes the GPU of its local rank.

    Raises:
        InputError: a GPU is named by its number, which only the local rank can say.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 or not dist.is_available():
        return Solo()
    if device.startswith("cuda:"):
        raise InputError("device", device, "each rank takes the GPU of its local rank; choose auto, cuda or cpu")
    cuda = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(place)
    if not dist.is_initialized():
        patience = timedelta(seconds=float(os.environ.get("DISTILLSET_TIMEOUT", TIMEOUT)))
        store, rank, size = next(rendezvous("env://", timeout=patience))
        # The launcher's store outlives a restart, with the addresses of ranks that are gone.
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        store = dist.PrefixStore(f"attempt-{attempt}", store)  # type: ignore[attr-defined]
        backend = "nccl" if cuda else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=patience)
        atexit.register(_drop)
    return Torch(place, dist.get_rank(), dist.get_world_size())


def leave() -> None:
    """Part from the other ranks when all have come here: a transport that is torn down while others talk may abort."""
    if dist.is_available() and dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()


def _drop() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()
