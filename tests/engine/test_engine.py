"""The engine's ways of computing are the computation itself."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from distillset.engine import blocks, compiler, embedding, logits, measure
from distillset.engine.networks import State
from distillset.keys import Key
from distillset.nets import build, fresh
from tests import toys

SPEC = toys.spec_of(3, 8, 8, classes=3)


needs_compiler = pytest.mark.skipif(compiler() is None, reason="needs a C++ compiler")
quiet = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's own, in the modules of its compiler


def state_of(name: str = toys.NETWORK, dtype: torch.dtype = torch.float64) -> State:
    return {key: value.to(dtype) for key, value in fresh(build(name, SPEC), Key(0)).items()}


def images_of(n: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(n, 3, 8, 8, generator=torch.Generator().manual_seed(n), dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("count", [1, 5, 8, 13])
@pytest.mark.parametrize("micro_batch", [1, 3, 4, 100])
def test_rowwise_in_any_micro_batch(count: int, micro_batch: int) -> None:
    function, state, images = logits(build(toys.NETWORK, SPEC)), state_of(), images_of(count)
    expected = function(state, images)
    apply = toys.engine(micro_batch).rowwise(function)
    for full in (None, count, 2 * count):
        result = apply(state, images, full)
        assert not result.requires_grad
        torch.testing.assert_close(result, expected, rtol=1e-12, atol=1e-12)


def loss_of(name: str = toys.NETWORK) -> tuple[State, list[str]]:
    module = build(name, SPEC)
    return state_of(name), [key for key, _ in module.named_parameters()]


@pytest.mark.parametrize("count", [1, 5, 8, 13])
@pytest.mark.parametrize("micro_batch", [1, 3, 4, 100])
def test_gradient_in_any_micro_batch(count: int, micro_batch: int) -> None:
    function, (state, names) = logits(build(toys.NETWORK, SPEC)), loss_of()
    images, targets = images_of(count), torch.arange(count) % 3
    weights = torch.rand(count, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def loss(state: State, images: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        return (F.cross_entropy(function(state, images), targets, reduction="none") * weights).sum()

    leaves = {name: state[name].clone().requires_grad_() for name in names}
    expected = torch.autograd.grad(loss({**state, **leaves}, images, targets, weights), list(leaves.values()))
    apply = toys.engine(micro_batch).gradient(loss)
    for full in (count, count + 3):
        found = apply(state, names, (images, targets), weights, full)
        assert list(found) == names
        for gradient, wanted in zip(found.values(), expected, strict=True):
            torch.testing.assert_close(gradient, wanted, rtol=1e-9, atol=1e-12)


def test_what_mixes_images_goes_in_one_call() -> None:
    images = images_of(7)

    def spread(state: State, images: Tensor, weights: Tensor) -> Tensor:
        return (state["scale"] * (images - images.mean(0)).square().sum((1, 2, 3)) * weights).sum()

    state, weights = {"scale": torch.ones((), dtype=torch.float64)}, torch.ones(7, dtype=torch.float64)
    found = toys.engine(2).gradient(spread, mixes=True)(state, ["scale"], (images,), weights, 7)
    torch.testing.assert_close(found["scale"], (images - images.mean(0)).square().sum(), rtol=1e-12, atol=0)


def test_micro_batches_are_even_and_at_most_the_limit() -> None:
    sizes: list[int] = []

    def note(state: State, images: Tensor) -> Tensor:
        sizes.append(len(images))
        return images.sum((1, 2, 3))

    toys.engine(64).rowwise(note)({}, images_of(130))
    assert sizes == [44, 44, 42]  # not 64, 64, 2


def test_precision() -> None:
    function, images = logits(build(toys.NETWORK, SPEC)), images_of(4, torch.float32)
    state = state_of(dtype=torch.float32)
    exact = toys.engine().whole(function)(state, images)
    rounded = toys.engine(precision="bf16").whole(function)(state, images)
    assert exact.dtype == rounded.dtype == torch.float32
    assert torch.equal(exact, function(state, images))
    assert not torch.equal(exact, rounded)
    torch.testing.assert_close(rounded, exact, rtol=0.05, atol=0.02)
    assert toys.engine().whole(function)(state_of(), images_of(4)).dtype == torch.float64


def test_whole_is_differentiable() -> None:
    function, state = embedding(build(toys.NETWORK, SPEC)), state_of()
    leaf = images_of(2).requires_grad_()
    (found,) = torch.autograd.grad(toys.engine().whole(function)(state, leaf).square().sum(), leaf)
    (expected,) = torch.autograd.grad(function(state, leaf).square().sum(), leaf)
    assert torch.equal(found, expected)


def test_pure_functions_use_the_state_they_are_given() -> None:
    network = build(toys.NETWORK, SPEC)
    images = images_of(3, torch.float32)
    state = state_of(dtype=torch.float32)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    features, out = embedding(network)(state, images), logits(network)(state, images)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    network.load_state_dict(state)
    assert torch.equal(features, network.embed(images))  # type: ignore[operator]
    assert torch.equal(out, network(images))


@given(count=st.integers(1, 60), rows=st.integers(1, 40), limit=st.integers(1, 300))
def test_blocks_cover_all_classes_evenly(count: int, rows: int, limit: int) -> None:
    runs = blocks(count, rows, limit)
    assert [c for run in runs for c in range(run.start, run.stop)] == list(range(count))
    sizes = [run.stop - run.start for run in runs]
    assert min(sizes) >= 1
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) == 1 or max(sizes) * rows <= limit
    assert len(runs) == -(-count // max(1, limit // rows))  # and no more of them than needed


def test_measured_work_by_hand() -> None:
    # Convolution 3 -> 8, 3x3, on 8x8: 2 * 27 * 8 * 64; classifier 8 * 4 * 4 -> 3: 2 * 128 * 3.
    network = build(toys.NETWORK, SPEC)
    work = measure(network, SPEC.shape, 10)
    assert work.flops == 10 * (2 * 27 * 8 * 64 + 2 * 128 * 3)
    assert work.activations == 8 * 64
    assert network.training
    assert not any(layer._forward_hooks for layer in network.modules())


def test_the_published_network_is_a_tenth_of_a_gflop() -> None:
    spec = toys.spec_of(3, 32, 32)
    work = measure(build("convnet", spec), spec.shape, 1)
    # 2 * 1024 * 27 * 128 + 2 * 256 * 1152 * 128 + 2 * 64 * 1152 * 128 + 2 * 2048 * 10.
    assert work.flops == 7_077_888 + 75_497_472 + 18_874_368 + 40_960
    assert work.activations == 131_072


@pytest.mark.parametrize("name", ["AlexNet", "ResNet18BN", "MLP"])
def test_work_is_counted_as_pytorch_counts_it(name: str) -> None:
    network = build(name, toys.spec_of(3, 32, 32)).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, 32, 32))
    assert measure(network, (3, 32, 32), 1).flops == counter.get_total_flops() > 1e5


@quiet
@needs_compiler
def test_compiled_rows_are_the_eager_ones() -> None:
    """With a short last micro-batch, which is padded."""

    def spread(state: State, images: Tensor) -> Tensor:
        return (images.flatten(1) * state["weight"]).square().sum(1)

    state, images = (
        {"weight": torch.randn(192, generator=torch.Generator().manual_seed(0))},
        images_of(5, torch.float32),
    )
    result = toys.engine(3, compiled=True).rowwise(spread)(state, images)
    assert result.shape == (5,)
    torch.testing.assert_close(result, spread(state, images), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@quiet
@needs_compiler
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_compiled_gradients_are_the_eager_ones(precision: str) -> None:
    function, (_, names) = logits(build(toys.NETWORK, SPEC)), loss_of()
    state = state_of(dtype=torch.float32)

    def loss(state: State, images: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        return (F.cross_entropy(function(state, images).float(), targets, reduction="none") * weights).sum()

    images, targets, weights = images_of(7, torch.float32), torch.arange(7) % 3, torch.full((7,), 1 / 7)
    eager = toys.engine(100).gradient(loss)(state, names, (images, targets), weights, 7)
    compiled = toys.engine(4, precision, compiled=True).gradient(loss)
    scale = max(float(gradient.abs().max()) for gradient in eager.values())  # that of a bias before a norm is zero
    for full in (7, 8):
        found = compiled(state, names, (images, targets), weights, full)
        for name in names:
            tolerance = 1e-4 if precision == "fp32" else 0.05
            torch.testing.assert_close(found[name], eager[name], rtol=tolerance, atol=tolerance * scale)
