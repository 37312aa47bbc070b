"""The same numbers eager, compiled, traced and mapped; nothing asks the host; few operations, whatever the batch."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode

from distillset.keys import Key, Sizes, bits, fold, integers, normal, permutation, uniform, words

STREAM = Key(0)("test").words()
STREAMS = words([Key(0)("test", index) for index in range(3)])
DIFFERENT_SIZES = [40, 300, 5000]

DRAWS: dict[str, Callable[[Tensor], Tensor]] = {
    "fold": lambda words: fold(fold(words, -3), torch.arange(5, device=words.device)[:, None, None]),
    "bits": lambda words: bits(words, (7, 3)),
    "uniform": lambda words: uniform(words, (5,)),
    "uniform of a range": lambda words: uniform(words, (5,), -1, 2, torch.float64),
    "integers": lambda words: integers(words, (4,), -3, 10),
    "sorted": lambda words: permutation(words, 20, 40),
    "walked": lambda words: permutation(words, 20, 1000),
}
quiet = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's own, in the modules of its compiler
draws = pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS.keys())


class Operations(TorchDispatchMode):
    """Counts the operations, and refuses those that ask the host for a number."""

    count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        assert func not in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default), func
        self.count += 1
        return func(*args, **(kwargs or {}))


def operations(draw: Callable[[Tensor], Tensor], words: Tensor) -> int:
    mode = Operations()  # type: ignore[no-untyped-call]
    with mode:
        draw(words)
    return mode.count


@draws
def test_nothing_asks_the_host(draw: Callable[[Tensor], Tensor]) -> None:
    # Tensors on the meta device have no numbers to look at, and refuse company of other devices.
    value = draw(STREAMS.to("meta"))
    assert value.device.type == "meta"
    assert value.shape == draw(STREAMS).shape


@pytest.mark.parametrize("draw", [*DRAWS.values(), lambda words: normal(words, (5,))])
def test_no_global_generator_is_read_or_written(draw: Callable[[Tensor], Tensor]) -> None:
    value = draw(STREAMS)
    torch.rand(5), np.random.rand(5), random.random()  # noqa: NPY002
    before = torch.get_rng_state(), repr(np.random.get_state()), random.getstate()  # noqa: NPY002
    assert torch.equal(draw(STREAMS), value)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (repr(np.random.get_state()), random.getstate()) == before[1:]  # noqa: NPY002


@draws
def test_traced_with_other_streams(draw: Callable[[Tensor], Tensor]) -> None:
    traced = make_fx(draw, tracing_mode="fake")(STREAMS)
    others = fold(STREAMS, 5)
    assert torch.equal(traced(others), draw(others))


@draws
def test_mapped(draw: Callable[[Tensor], Tensor]) -> None:
    mapped = torch.func.vmap(lambda words: draw(words[None]))(STREAMS)
    for value, stream in zip(mapped, STREAMS, strict=True):
        assert torch.equal(value, draw(stream[None]))


@draws
def test_form_of_compiled_functions(draw: Callable[[Tensor], Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    value = draw(STREAMS)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert torch.equal(draw(STREAMS), value)


def test_mapped_over_numbers_with_requests_that_are_worked_on_in_parts() -> None:
    mapped = torch.func.vmap(lambda number: bits(fold(STREAM, number), (40_000,)))(torch.arange(2))
    assert torch.equal(mapped[1], bits(fold(STREAM, 1), (40_000,)))


def test_within_a_gradient() -> None:
    def loss(x: Tensor) -> Tensor:
        return (x * normal(STREAM, (3,)) + uniform(STREAM, (3,), 0, 2)).sum()

    assert torch.equal(torch.func.grad(loss)(torch.ones(3)), normal(STREAM, (3,)))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")
@draws
def test_on_a_gpu_and_captured(draw: Callable[[Tensor], Tensor]) -> None:
    words = STREAMS.cuda()
    assert torch.equal(draw(words).cpu(), draw(STREAMS))
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        value = draw(words)
    for streams in (STREAMS, fold(STREAMS, 5)):
        words.copy_(streams)
        graph.replay()
        assert torch.equal(value.cpu(), draw(streams))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")
def test_sizes_and_normal_numbers_on_a_gpu() -> None:
    words, there = STREAMS.cuda(), Sizes(DIFFERENT_SIZES, "cuda")
    assert torch.equal(permutation(words, 30, there).cpu(), permutation(STREAMS, 30, Sizes(DIFFERENT_SIZES)))
    assert torch.allclose(normal(words, (1000,)).cpu(), normal(STREAMS, (1000,)), rtol=0, atol=2e-6)


@draws
def test_in_inference_mode(draw: Callable[[Tensor], Tensor]) -> None:
    with torch.inference_mode():
        value = draw(STREAMS)
    assert torch.equal(value, draw(STREAMS))


@pytest.mark.parametrize(
    ("draw", "most"),
    [
        (lambda words: fold(words, torch.arange(len(words))), 95),
        (lambda words: bits(words, (16,)), 90),
        (lambda words: uniform(words, (16,)), 90),
        (lambda words: normal(words, (16,)), 105),
        (lambda words: integers(words, (16,), 0, 10), 95),
        (lambda words: permutation(words, 4, 100), 95),
        (lambda words: permutation(words, 4, 500), 150),
        (lambda words: permutation(words, 16, 5000), 150),
    ],
)
def test_number_of_operations(draw: Callable[[Tensor], Tensor], most: int) -> None:
    # An operation on a CPU takes a few microseconds without compilation, whatever is in it.
    one, many = operations(draw, fold(STREAM, torch.arange(1))), operations(draw, fold(STREAM, torch.arange(16)))
    assert one == many <= most


@draws
def test_one_graph_for_any_batch(draw: Callable[[Tensor], Tensor]) -> None:
    # What `torch.compile` sees, without its code: nothing breaks the graph, also where the number of streams is open.
    traced = torch.compile(draw, fullgraph=True, dynamic=True, backend="eager")
    for streams in (STREAMS, fold(STREAM, torch.arange(7))):
        assert torch.equal(traced(streams), draw(streams))


@quiet
@pytest.mark.slow
@draws
def test_compiled(draw: Callable[[Tensor], Tensor]) -> None:
    compiled = torch.compile(draw, fullgraph=True, dynamic=False)
    for streams in (STREAMS, fold(STREAMS, 5), STREAMS - 2**32):  # the last is no stream, but the same in both
        assert torch.equal(compiled(streams), draw(streams))


@quiet
@pytest.mark.slow
def test_compiled_where_words_and_sizes_differ() -> None:
    # More numbers than a vector of the processor holds: an index times a large constant once went wrong there.
    edges = torch.cartesian_prod(*[torch.tensor([0, 1, 2**31 - 1, 2**31, 2**32 - 1])] * 2)
    compiled = torch.compile(lambda words: bits(words, (64,)), fullgraph=True, dynamic=False)
    assert torch.equal(compiled(edges), bits(edges, (64,)))
    different = Sizes(DIFFERENT_SIZES)
    shuffle = torch.compile(lambda words: permutation(words, 30, different), fullgraph=True, dynamic=False)
    assert torch.equal(shuffle(STREAMS), permutation(STREAMS, 30, different))


@quiet
@pytest.mark.slow
def test_compiled_normal_numbers_are_equal_to_rounding() -> None:
    compiled = torch.compile(lambda words: normal(words, (1000,)), fullgraph=True, dynamic=False)
    assert torch.allclose(compiled(STREAMS), normal(STREAMS, (1000,)), rtol=0, atol=2e-6)
