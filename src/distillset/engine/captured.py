"""Small calls on a GPU, replayed as CUDA graphs: one launch for all kernels of a gradient.

Where images are few, what Python takes to hand over kernels one by one would count for more than what they compute.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

T = TypeVar("T")

WARM = 2
"""Plain calls before a capture: the first compiles, and libraries choose their kernels."""


class Captured:
    """A pure function of CUDA tensors (in lists, tuples and dicts) as a CUDA graph for each set of shapes.

    Results are copies, the caller's to keep. What cannot be captured (a user's network that looks at its numbers, too
    little memory for the graph's own) is called plainly, as are arguments that are not all on a GPU.

    Args:
        function: reads its arguments and writes to none of them; takes the gradients it needs itself.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self._graphs: dict[Any, _Graph | None] = {}

    def __call__(self, *arguments: Any) -> Any:
        leaves, tree = tree_flatten(arguments)
        if not all(isinstance(leaf, Tensor) and leaf.is_cuda for leaf in leaves):
            return self.function(*arguments)
        # What a function is called with differs in shapes only: its structure follows from them.
        shapes = tuple((leaf.shape, leaf.dtype) for leaf in leaves)
        if shapes not in self._graphs:
            self._graphs[shapes] = _captured(self.function, leaves, tree)
        graph = self._graphs[shapes]
        return self.function(*arguments) if graph is None else graph(leaves)


class _Graph:
    """A captured call, its arguments and results in memory of their own."""

    def __init__(self, function: Callable[..., Any], inputs: list[Tensor], tree: TreeSpec) -> None:
        self.inputs = inputs
        for _ in range(WARM):
            function(*tree_unflatten(inputs, tree))
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
            found = function(*tree_unflatten(inputs, tree))
        self.outputs, self.tree = tree_flatten(found)

    def __call__(self, leaves: list[Tensor]) -> Any:
        torch._foreach_copy_(self.inputs, leaves)
        self.graph.replay()
        copies = torch._foreach_mul(self.outputs, 1) if self.outputs else []
        return tree_unflatten(list(copies), self.tree)


def _captured(function: Callable[..., Any], leaves: list[Tensor], tree: TreeSpec) -> _Graph | None:
    """The graph; None where the call cannot be one."""
    try:
        with torch.no_grad():
            return _Graph(function, [leaf.detach().clone() for leaf in leaves], tree)
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
    except RuntimeError:  # what the device refuses while it captures
        torch.cuda.synchronize()
    return None


def side_by_side(calls: Sequence[Callable[[], T]]) -> list[T]:
    """The results of calls that do not depend on each other; within a capture their kernels may overlap."""
    if len(calls) == 1 or not (torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()):
        return [call() for call in calls]
    here, found = torch.cuda.current_stream(), []
    streams = [torch.cuda.Stream() for _ in calls]
    for call, stream in zip(calls, streams, strict=True):
        stream.wait_stream(here)
        with torch.cuda.stream(stream):
            found.append(call())
    for stream in streams:
        here.wait_stream(stream)
    return found
