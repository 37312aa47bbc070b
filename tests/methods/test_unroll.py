"""The exact adjoint against the full graph in float64, finite differences, and its promise about memory."""

import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from distillset.augment import Augmentation
from distillset.engine import Engine, GradientAndVJP, compiler
from distillset.keys import Key
from distillset.methods.unroll import Batch, Unrolled, unroll
from distillset.nets import build, fresh, mixes_images
from distillset.training import Layout, flat_loss
from tests import toys
from tests.oracles import mtt_oracle as oracle

STRATEGY = "color_crop_cutout_flip_scale_rotate"


class Case:
    """A student on random images, between two states that are not far apart."""

    def __init__(
        self,
        steps: int = 5,
        batch: int = 4,
        count: int = 6,
        name: str = toys.NETWORK,
        shape: tuple[int, int, int] = (3, 8, 8),
        strategy: str = STRATEGY,
        soft: bool = False,
        rate: float = 0.1,
        dtype: torch.dtype = torch.float64,
        engine: Engine | None = None,
    ) -> None:
        generator = torch.Generator().manual_seed(steps)
        spec = toys.spec_of(*shape, classes=3)
        network = build(name, spec).to(dtype)
        layout = Layout(network)
        self.gradient_and_vjp = GradientAndVJP(
            engine or toys.engine(), flat_loss(network, layout), mixes_images(network)
        )
        self.images = torch.randn(count, *shape, generator=generator, dtype=torch.float64).to(dtype)
        self.labels = torch.arange(count) % 3
        if soft:
            self.labels = torch.randn(count, 3, generator=generator, dtype=torch.float64).softmax(1).to(dtype)
        self.rate = torch.tensor([rate], dtype=dtype)
        self.start = layout.flatten(fresh(network, Key(0))).to(dtype)
        step = torch.randn(len(self.start), generator=generator, dtype=torch.float64).to(dtype)
        self.target = self.start + 0.02 * step
        orders = [torch.randperm(count, generator=generator)[:batch] for _ in range(steps)]
        augmentation = Augmentation.parse(strategy)
        self.batches = [
            Batch(rows, augmentation.draw(Key(3)("augment", i).words(), shape, len(rows)))
            for i, rows in enumerate(orders)
        ]

    def run(self, images: Tensor | None = None, rate: Tensor | None = None, limit: float = float("inf")) -> Unrolled:
        return unroll(
            self.gradient_and_vjp,
            self.images if images is None else images,
            self.labels,
            self.rate if rate is None else rate,
            self.start,
            self.target,
            self.batches,
            limit,
        )

    def expected(
        self, width: int, depth: int, norm: str = "instance", equation: Callable[..., Tensor] = oracle.loss
    ) -> tuple[Tensor, dict[str, Tensor]]:
        network = partial(oracle.convnet, width=width, depth=depth, classes=3, norm=norm)
        leaves = {name: getattr(self, name).double().clone().requires_grad_() for name in ("images", "rate")}
        labels = self.labels
        if labels.is_floating_point():
            labels = leaves["labels"] = labels.double().clone().requires_grad_()
        steps = [(batch.rows, batch.table.apply) for batch in self.batches]
        value = equation(
            network, leaves["images"], labels, leaves["rate"], self.start.double(), self.target.double(), steps
        )
        gradients = torch.autograd.grad(value, list(leaves.values()))
        return value.detach(), dict(zip(leaves, gradients, strict=True))


def assert_equal(found: Unrolled, expected: tuple[Tensor, dict[str, Tensor]]) -> None:
    value, gradients = expected
    torch.testing.assert_close(found.loss, value, rtol=1e-9, atol=0)
    for name, wanted in gradients.items():
        scale = float(wanted.abs().max())
        torch.testing.assert_close(getattr(found, name), wanted, rtol=1e-9, atol=1e-9 * scale)
        assert scale > 0


@pytest.mark.parametrize(("steps", "batch"), [(1, 6), (2, 6), (5, 4), (12, 1)])
@pytest.mark.parametrize("micro_batch", [3, 100])
def test_equals_the_full_graph(steps: int, batch: int, micro_batch: int) -> None:
    case = Case(steps, batch, engine=toys.engine(micro_batch))
    assert_equal(case.run(), case.expected(8, 1))


def test_equals_the_full_graph_of_fifty_steps() -> None:
    case = Case(50, 6, strategy="none", rate=0.05)
    assert_equal(case.run(), case.expected(8, 1))


@pytest.mark.parametrize("operation", ["none", "color", "crop", "cutout", "flip", "scale", "rotate"])
def test_every_augmentation_is_replayed(operation: str) -> None:
    case = Case(3, 5, strategy=operation)
    assert_equal(case.run(), case.expected(8, 1))


def test_soft_labels() -> None:
    case = Case(4, 5, soft=True)
    found = case.run()
    assert found.labels is not None
    assert_equal(found, case.expected(8, 1))


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 16, 12)])
def test_deeper_networks_and_grey_images(shape: tuple[int, int, int]) -> None:
    case = Case(3, 4, name="ConvNetD2W4", shape=shape)
    assert_equal(case.run(), case.expected(4, 2))


def test_batch_norm_uses_the_batch() -> None:
    case = Case(4, 5, name="ConvNetD1W8BN", engine=toys.engine(2))
    assert_equal(case.run(), case.expected(8, 1, "batch"))


@pytest.mark.parametrize("what", ["images", "rate"])
def test_gradient_equals_finite_differences(what: str) -> None:
    case = Case(6, 4, strategy="scale", name="ConvNetD1W8ASwish")
    found = getattr(case.run(), what)
    generator = torch.Generator().manual_seed(0)
    point = getattr(case, what)
    for _ in range(2):
        direction = torch.randn(point.shape, generator=generator, dtype=torch.float64)
        h = 1e-6
        up, down = (float(case.run(**{what: point + sign * h * direction}).loss) for sign in (1, -1))
        assert (up - down) / (2 * h) == pytest.approx(float((found * direction).sum()), rel=1e-5)


def test_what_tesla_leaves_out_is_there() -> None:
    """At a rate of 0.1 over 20 steps the detached form is far off, so the exact one is worth its way back."""
    case = Case(20, 6, strategy="none")
    exact, short = case.expected(8, 1)[1]["images"], case.expected(8, 1, equation=oracle.truncated)[1]["images"]
    assert float((short - exact).norm() / exact.norm()) > 0.01
    assert float((case.run().images - exact).norm() / exact.norm()) < 1e-9


def test_a_perfect_student_has_no_loss_and_one_that_stays_has_one() -> None:
    case = Case(3, 6)
    case.target = case.start - case.rate * 0 + 1.0
    assert float(case.run(rate=torch.zeros(1, dtype=torch.float64)).loss) == 1.0
    reached = case.start
    for batch in case.batches:
        weights = torch.full((len(batch.rows),), 1 / len(batch.rows), dtype=torch.float64)
        images = batch.table.apply(case.images[batch.rows])
        reached = (
            reached - case.rate * case.gradient_and_vjp.gradient(reached, images, case.labels[batch.rows], weights)[0]
        )
    case.target = reached
    found = case.run()
    assert float(found.loss) == 0.0
    assert float(found.images.abs().max()) == 0.0


@pytest.mark.parametrize("rate", [1e30, float("nan")])
def test_above_the_limit_there_is_no_way_back(rate: float) -> None:
    case = Case(5, 6)
    found = case.run(rate=torch.tensor([rate], dtype=torch.float64), limit=10.0)
    assert not float(found.loss) <= 10
    assert float(found.images.abs().max()) == float(found.rate) == 0.0


def test_float32_equals_float64() -> None:
    case = Case(10, 6, name="ConvNetD2W16", dtype=torch.float32)
    found, (value, gradients) = case.run(), case.expected(16, 2)
    assert found.images.dtype == torch.float32
    torch.testing.assert_close(found.loss.double(), value, rtol=1e-4, atol=0)
    for name in ("images", "rate"):
        scale = float(gradients[name].abs().max())
        torch.testing.assert_close(getattr(found, name).double(), gradients[name], rtol=1e-2, atol=2e-3 * scale)


class Live(TorchDispatchMode):
    """Counts the bytes of tensors that are alive, those of the compute graph included."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now, self.most = 0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        inputs = {t.untyped_storage().data_ptr() for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor) and tensor.untyped_storage().data_ptr() not in inputs:  # not a view
                size = tensor.numel() * tensor.element_size()
                self.now += size
                self.most = max(self.most, self.now)
                weakref.finalize(tensor, self._gone, size)
        return out

    def _gone(self, size: int) -> None:
        self.now -= size


def test_only_parameter_vectors_grow_with_the_steps() -> None:
    """Peak at N = 50 beside N = 5, parameter vectors apart; the full graph's grows with N, so the count sees it."""
    peaks = {}
    for steps in (5, 50):
        case = Case(steps, 6)
        with Live() as live:
            found = case.run()
        assert found.vectors == steps + 1
        peaks[steps] = live.most - found.vectors * 8 * len(case.start)
        with Live() as graph:
            case.expected(8, 1)
        peaks[-steps] = graph.most
    assert 0 < peaks[50] <= 1.2 * peaks[5]
    assert peaks[-50] > 5 * peaks[-5]
    assert peaks[50] < 0.1 * peaks[-50]


def test_bf16_points_the_same_way() -> None:
    case = Case(50, 12, 12, "ConvNetD2W32", (3, 16, 16), rate=0.01, dtype=torch.float32, engine=toys.engine(64, "bf16"))
    found, (value, gradients) = case.run(), case.expected(32, 2)
    cosine = torch.nn.functional.cosine_similarity(
        found.images.double().flatten(), gradients["images"].flatten(), dim=0
    )
    assert 0.99 < float(cosine) < 0.9999999, "bf16 was asked for"
    torch.testing.assert_close(found.loss.double(), value, rtol=0.01, atol=0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's own, in the modules of its compiler
@pytest.mark.skipif(compiler() is None, reason="no C++ compiler")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_compiled_is_the_eager_one(precision: str) -> None:
    eager = Case(6, 5, dtype=torch.float32).run()
    compiled = Case(6, 5, dtype=torch.float32, engine=toys.engine(3, precision, compiled=True)).run()
    cosine = torch.nn.functional.cosine_similarity(compiled.images.flatten(), eager.images.flatten(), dim=0)
    assert float(cosine) > (0.9999 if precision == "fp32" else 0.97)
    torch.testing.assert_close(compiled.loss, eager.loss, rtol=0.01, atol=0)
