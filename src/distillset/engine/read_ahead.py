"""Prepares a step's data on the host while the device works on the step before."""

from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import torch
from torch import Tensor

K = TypeVar("K", bound=Hashable)
PINNED = 4096
"""Bytes from which a tensor goes through memory that the device can read while the host goes on."""


class ReadAhead(Generic[K]):
    """Calls a function one step ahead, in a thread, and hands over what it gave.

    Args:
        make: gives CPU tensors for a step. It must depend on nothing but its argument.
        device: where they go.
    """

    def __init__(self, make: Callable[[K], dict[str, Tensor]], device: torch.device) -> None:
        self._make, self._pins = make, device.type == "cuda"
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
        self._begun: tuple[K, Future[dict[str, Tensor]]] | None = None

    def take(self, at: K, next_at: K | None) -> dict[str, Tensor]:
        """What ``make(at)`` gives; ``make(next_at)`` is begun."""
        begun, self._begun = self._begun, None
        tensors = begun[1].result() if begun and begun[0] == at else self._pinned(at)
        if next_at is not None:
            self._begun = next_at, self._thread.submit(self._pinned, next_at)
        return tensors

    def _pinned(self, at: K) -> dict[str, Tensor]:
        tensors = self._make(at)
        if not self._pins:
            return tensors
        return {name: value.pin_memory() if value.nbytes >= PINNED else value for name, value in tensors.items()}
