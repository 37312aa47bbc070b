"""Kernels in the place of convolutions of a graph that is being compiled, those of first and second derivatives
included: there they are convolutions again. Winograd's take those of many channels, `distillset.engine.kernels.narrow`
those of few.

Imported where something is compiled: it needs PyTorch's Inductor, which takes a second.
"""

import functools
import hashlib
from collections.abc import Callable, Sequence
from operator import getitem
from pathlib import Path
from typing import Any

import torch
from torch._inductor.custom_graph_pass import CustomGraphPass
from torch.fx import Graph, Node

from distillset.engine import kernels
from distillset.engine.hardware import processor
from distillset.engine.kernels.narrow import BORDER, INPUTS, OUTPUTS
from distillset.engine.kernels.normed import OPAQUE
from distillset.engine.kernels.winograd import CHANNELS

aten, operations = torch.ops.aten, torch.ops.distillset

KERNELS = Path(kernels.__file__).parent
AUTOCAST = ("torch.amp.autocast_mode._enter_autocast", "torch.amp.autocast_mode._exit_autocast")
"""What `torch.autocast` is in a graph."""

TAPS, POINTS, TILE = 9, 36, 4
"""Multiplications of a number of the result directly, and of a tile of 4x4 of them in the transformed domain."""
LEAST = 16
"""Tiles from which the transforms of the weights are repaid: measured, they take 0.45 ms at 128 channels, and a tile 16
in place of 46 microseconds.
"""


class Pass(CustomGraphPass):
    """Replaces the convolutions of a graph of ATen operations that the kernels do with fewer multiplications."""

    def __call__(self, graph: Graph) -> None:
        for node in list(graph.nodes):
            if node.target is aten.convolution.default:
                images, weights, bias, *how = node.args
                if _few(images, weights, how):
                    _replace(graph, node, operations.narrow.default, images, weights, bias, how[1][0])
                elif bias is None and _few(images, weights, how, turned=True):
                    _replace(graph, node, operations.narrow_images.default, images, weights, how[1][0])
                elif _suits(images, weights, how):
                    _replace(graph, node, operations.convolve.default, images, weights, bias)
                elif bias is None and _suits(images, weights, how, turned=True):
                    _replace(graph, node, operations.convolve_images.default, images, weights)
                elif bias is None and _correlates(images, weights, how):
                    _replace_correlation(graph, node, images, weights)
            elif node.target is aten.convolution_backward.default:
                results, images, weights, _, *how, _ = node.args
                if _few(images, weights, how):
                    _replace_backward_of_few(graph, node, results, images, weights, how[1][0])
                elif _suits(images, weights, how):
                    _replace_backward(graph, node, results, images, weights)

    def uuid(self) -> str:
        """What compiled graphs are cached by."""
        return code()


PASS = Pass()


def options(results: torch.dtype | None = None, apart: bool = False) -> dict[str, Any]:
    """The compiler's options for a function of the engine; ``results`` and ``apart`` are those of `in_use`.

    What is compiled is kept by PyTorch and found by later processes. They trace a function anew, and take all else from
    the cache if it knows that every call in its graph does the same for the same arguments: autocast, and what
    `distillset.engine.kernels.normed.opaque` hides, which the code of the kernels decides with what is in use. PyTorch
    does not ask which processor code was made for; a cache may be on a disk that machines share.
    """
    known = dict.fromkeys(AUTOCAST, f"{torch.__version__} {processor()}")
    if results is not None:
        known |= dict.fromkeys(OPAQUE, f"{code()} {results} {apart}")
    passes = {"post_grad_custom_pre_pass": PASS} if results == torch.float32 else {}
    return {"unsafe_marked_cacheable_functions": known, **passes}


@functools.cache
def code() -> str:
    """A checksum of the code that graphs are made of: this file and the kernels."""
    sources = (Path(__file__), *sorted(path for path in KERNELS.iterdir() if path.suffix in (".py", ".cpp", ".h")))
    return hashlib.sha256(b"\0".join(path.name.encode() + b"\0" + path.read_bytes() for path in sources)).hexdigest()


def _few(images: Node, weights: Node, how: list[Any], turned: bool = False) -> bool:
    """Whether a convolution of few channels, or with ``turned`` the gradient of its images, is one that has kernels of
    its own. Measured with AVX2, two threads, 64 images and channels: forward they can be slower (3 to 64 channels at
    32x32: 4.2 for 2.1 ms), the gradients are faster (weights 3.0 for 3.7, images 2.6 for 5.6 ms), most of all of grey
    images (at 28x28 1.0 for 7.2 and 1.1 for 6.5 ms).
    """
    outputs, inputs, *taps = weights.meta["val"].shape
    stride, padding, *rest = how
    plain = taps == [3, 3] and stride == [1, 1] and rest == [[1, 1], turned, [0, 0], 1]
    few = inputs <= INPUTS and outputs % OUTPUTS == 0
    return plain and few and padding[0] == padding[1] <= BORDER and _exact(images, weights)


def _suits(images: Node, weights: Node, how: list[Any], turned: bool = False) -> bool:
    """Whether a convolution, or with ``turned`` the gradient of its images written as one, is one the kernels take and
    are faster at.
    """
    taps = weights.meta["val"]
    plain = list(how) == [[1, 1], [1, 1], [1, 1], turned, [0, 0], 1] and tuple(taps.shape[2:]) == (3, 3)
    return plain and _exact(images, weights) and _worth(images.meta["val"].shape[0], images, taps.shape[:2])


def _correlates(images: Node, weights: Node, how: list[Any]) -> bool:
    """Whether a convolution is the gradient of weights as second derivatives have it: images as large as each other,
    with the roles of their numbers and channels changed.
    """
    seen, taps = images.meta["val"].shape, weights.meta["val"].shape
    plain = list(how) == [[1, 1], [1, 1], [1, 1], False, [0, 0], 1] and seen[2:] == taps[2:]
    return plain and _exact(images, weights) and _worth(seen[1], images, (seen[0], taps[0]))


def _exact(*nodes: Node) -> bool:
    tensors = [node.meta["val"] for node in nodes]
    return all(tensor.dtype == torch.float32 and tensor.device.type == "cpu" for tensor in tensors)


def _worth(n: int, images: Node, channels: Sequence[int]) -> bool:
    """Whether there are tiles enough, and images that fill them."""
    height, width = images.meta["val"].shape[2:]
    tiles = -(-height // TILE) * -(-width // TILE)
    worth = n * tiles >= LEAST and tiles * POINTS < height * width * TAPS
    return worth and not any(count % CHANNELS for count in channels)


def _added(graph: Graph, operation: Callable[..., Any], *arguments: Any) -> Node:
    """A new node of the graph that knows the shape of its result."""
    node = graph.call_function(operation, arguments)
    known = [argument.meta["val"] if isinstance(argument, Node) else argument for argument in arguments]
    node.meta["val"] = operation(*known)
    return node


def _replace(graph: Graph, node: Node, operation: Callable[..., Any], *arguments: Any) -> None:
    with graph.inserting_before(node):
        new = _added(graph, operation, *arguments)
    node.replace_all_uses_with(new)
    graph.erase_node(node)


def _replace_correlation(graph: Graph, node: Node, images: Node, weights: Node) -> None:
    swap = [1, 0, 2, 3]
    with graph.inserting_before(node):
        images, results = (_added(graph, aten.permute.default, tensor, swap) for tensor in (images, weights))
        correlation = _added(graph, operations.convolve_weights.default, images, results)
    _replace(graph, node, aten.permute.default, correlation, swap)


def _replace_backward_of_few(graph: Graph, node: Node, results: Node, images: Node, weights: Node, border: int) -> None:
    users = list(node.users)
    if any(user.args[1] != 0 for user in users):
        with graph.inserting_before(node):
            layer = _added(graph, operations.narrow_weights.default, images, results, border)
    for user in users:
        if user.args[1] == 0:
            _replace(graph, user, operations.narrow_images.default, results, weights, border)
        else:
            _replace(graph, user, getitem, layer, 0 if user.args[1] == 1 else 1)
    graph.erase_node(node)


def _replace_backward(graph: Graph, node: Node, results: Node, images: Node, weights: Node) -> None:
    for user in list(node.users):
        if user.args[1] == 0:
            _replace(graph, user, operations.convolve_images.default, results, weights)
        elif user.args[1] == 1:
            _replace(graph, user, operations.convolve_weights.default, images, results)
        else:
            _replace(graph, user, aten.sum.dim_IntList, results, [0, 2, 3])
    graph.erase_node(node)
