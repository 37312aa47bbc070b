"""Whole steps as CUDA graphs: one launch for all that a step computes, random numbers and updates included.

Where a GPU works for less time than Python needs to hand it its kernels one by one, Python would set the pace.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from distillset.watch import Watcher

T = TypeVar("T")

WARM = 2
"""Plain calls before a capture: the first compiles, and libraries choose kernels. They are work like any other."""


class Launch:
    """A function that reads its arguments and what it holds, and writes to what it holds.

    On a GPU the first `WARM` calls run plainly, the next is captured, and from then on a call copies its arguments to
    where the graph reads them and launches it. The shapes of the arguments stay what they were; what is written keeps
    its place. What cannot be captured (a user's network that looks at its numbers, too little memory for the graph's
    own) runs plainly, and a note says so.

    Args:
        function: gives nothing back; takes the gradients it needs itself.
        device: where it computes.
        capture: whether it may be captured.
        pool: memory that graphs share which never run at the same time; None is one of its own.
        watcher: is notified of what cannot be captured.
    """

    def __init__(
        self,
        function: Callable[..., None],
        device: torch.device,
        capture: bool = True,
        pool: Any = None,
        watcher: Watcher | None = None,
    ) -> None:
        self.function, self.device, self.pool = function, device, pool
        self.watcher = watcher or Watcher()
        self._plain = not capture or device.type != "cuda"
        self._calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: list[Tensor] = []

    def __call__(self, *arguments: Any) -> None:
        """Arguments are tensors, or lists, tuples and dicts of them, on the CPU or the device."""
        if self._graph is None and not self._plain and self._calls >= WARM:
            self._capture(arguments)
        self._calls += 1
        if self._graph is None:
            self.function(*tree_map(self._there, arguments))
            return
        for fixed, value in zip(self._inputs, tree_flatten(arguments)[0], strict=True):
            fixed.copy_(value, non_blocking=True)
        self._graph.replay()

    def _there(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device, non_blocking=True)

    def _capture(self, arguments: tuple[Any, ...]) -> None:
        leaves, tree = tree_flatten(arguments)
        self._inputs = [self._there(leaf).clone() for leaf in leaves]
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, pool=self.pool, capture_error_mode="thread_local"):
                self.function(*tree_unflatten(self._inputs, tree))
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            self._give_up("there is too little memory for a CUDA graph of a step")
        except RuntimeError as error:  # what the device refuses while it captures
            torch.cuda.synchronize()
            self._give_up(f"a step cannot be a CUDA graph ({str(error).splitlines()[0][:120]})")
        else:
            self._graph = graph

    def _give_up(self, why: str) -> None:
        self._plain, self._inputs = True, []
        self.watcher.note(f"{why}: it runs operation by operation, slower")


def side_by_side(calls: Sequence[Callable[[], T]]) -> list[T]:
    """The results of calls that do not depend on each other; within a capture their kernels may overlap."""
    if len(calls) == 1 or not (torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()):
        return [call() for call in calls]
    here, results = torch.cuda.current_stream(), []
    streams = [torch.cuda.Stream() for _ in calls]
    for call, stream in zip(calls, streams, strict=True):
        stream.wait_stream(here)
        with torch.cuda.stream(stream):
            results.append(call())
    for stream in streams:
        here.wait_stream(stream)
    return results
