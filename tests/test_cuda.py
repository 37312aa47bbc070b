"""What only a GPU can show: replays equal plain calls, and every path runs there. Skipped where there is none."""

import itertools

import pytest
import torch
from torch import Tensor
from torch.func import grad

from distillset import DC, DM, DSA, MTT, distill, evaluate
from distillset.engine import Compute, Engine, Slopes
from distillset.engine.captured import Captured
from distillset.keys import Key
from distillset.methods import Method
from distillset.nets import build, fresh
from distillset.training import Layout, Recipe, Trainer, cross_entropy, flat_loss
from tests import toys

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")
REAL = toys.toy()
GPU = torch.device("cuda")


def engine(micro_batch: int = 4096, precision: str = "fp32", compiled: bool = False) -> Engine:
    return Engine(Compute("cuda", precision, compiled, 4, micro_batch))


def test_a_replay_is_the_call_and_its_results_are_the_callers() -> None:
    calls = itertools.count()

    def function(numbers: dict[str, Tensor], other: Tensor) -> tuple[Tensor, Tensor]:
        next(calls)
        return grad(lambda x: (x.sin() * other).sum())(numbers["x"]), other * 2

    run = Captured(function)
    torch.manual_seed(0)
    kept = []
    for _ in range(5):
        x, other = torch.randn(2, 6, 7, device=GPU)
        kept.append((run({"x": x}, other), (x.cos() * other, other * 2)))
    for found, wanted in kept:
        torch.testing.assert_close(found[0], wanted[0])
        assert torch.equal(found[1], wanted[1])
    assert next(calls) == 3  # two to warm up, one captured


def test_what_cannot_be_captured_is_called() -> None:
    run = Captured(lambda x: x * float(x.sum()))
    x = torch.arange(3.0, device=GPU)
    assert torch.equal(run(x), x * 3)
    assert torch.equal(run(x + 1), (x + 1) * 6)
    assert torch.equal((x + 1) * 2, torch.tensor([2.0, 4.0, 6.0], device=GPU))


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("micro_batch", [4096, 10])  # replayed, and in parts that are not
def test_gradients_equal_those_of_a_cpu(micro_batch: int, compiled: bool) -> None:
    module = build(toys.NETWORK, REAL.spec)
    names = [name for name, _ in module.named_parameters()]
    rows = torch.arange(24)
    states = [fresh(module, Key(i)) for i in range(3)]
    weights = torch.rand(24, generator=torch.Generator().manual_seed(0))
    wanted = [
        toys.engine().gradient(cross_entropy(module))(state, names, (REAL.rows(rows), REAL.labels), weights, 24)
        for state in states
    ]
    there = [{name: value.to(GPU) for name, value in state.items()} for state in states]
    batch = (REAL.rows(rows, GPU), REAL.labels.to(GPU), weights.to(GPU))
    run = engine(micro_batch, compiled=compiled).gradients(cross_entropy(module))
    for _ in range(2):
        for found, expected in zip(run(there, names, [batch] * 3, 24), wanted, strict=True):
            for name in names:
                torch.testing.assert_close(found[name].cpu(), expected[name], rtol=2e-3, atol=2e-5)


def test_networks_trained_side_by_side_are_those_trained_alone() -> None:
    trainer = Trainer(engine(), build(toys.NETWORK, REAL.spec), Recipe(epochs=3, batch=10, augmentation="color_flip"))
    assert trainer.together(REAL.spec.shape, 24) == 10
    sets = [(lambda rows: REAL.rows(rows, GPU), REAL.labels, Key(i)) for i in range(3)]
    for state, own in zip(trainer.fit_together(sets), sets, strict=True):
        alone = trainer.fit(*own)
        for name, value in state.items():
            torch.testing.assert_close(value, alone[name], rtol=1e-3, atol=1e-5)


def test_batch_norm_is_trained_alone() -> None:
    trainer = Trainer(engine(), build(f"{toys.NETWORK}BN", REAL.spec), Recipe(epochs=2, batch=10))
    assert trainer.together(REAL.spec.shape, 24) == 1
    state = trainer.fit(lambda rows: REAL.rows(rows, GPU), REAL.labels, Key(0))
    assert trainer.accuracy(state, lambda rows: REAL.rows(rows, GPU), REAL.labels) > 0.5


@pytest.mark.parametrize("compiled", [False, True])
def test_second_derivatives_equal_float64(compiled: bool) -> None:
    module = build(toys.NETWORK, REAL.spec).double()
    layout = Layout(module)
    parameters = layout.flatten(fresh(module, Key(0))).double()
    direction = torch.randn(len(parameters), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    images, weights = REAL.rows(torch.arange(24)).double(), torch.full((24,), 1 / 24, dtype=torch.float64)
    wanted = Slopes(toys.engine(), flat_loss(module, layout)).product(
        parameters, images, REAL.labels, weights, direction
    )
    single = build(toys.NETWORK, REAL.spec)
    slopes = Slopes(engine(compiled=compiled), flat_loss(single, Layout(single)))
    p, x, w, d = (tensor.float().to(GPU) for tensor in (parameters, images, weights, direction))
    for _ in range(2):
        found = slopes.product(p, x, REAL.labels.to(GPU), w, d)
        for i in (0, 1):
            exact, close = wanted[i], found[i]
            assert exact is not None
            assert close is not None
            assert (close.double().cpu() - exact).norm() < 1e-3 * exact.norm()


@pytest.mark.parametrize(
    "method", [DM(), DC(), DSA(), MTT(expert_count=2, max_start=2, expert_epochs=1, syn_steps=3, lr=10.0)]
)
def test_every_method_learns_there(method: Method) -> None:
    data = toys.toy_data()
    start = distill(data, method, 2, steps=0, network=toys.NETWORK, device="cpu").images
    here = distill(data, method, 2, steps=3, network=toys.NETWORK, device="cpu", precision="fp32").images
    found = distill(data, method, 2, steps=3, network=toys.NETWORK, device="cuda", precision="fp32")
    # The same streams: the same set, but for rounding.
    assert (found.images - here).norm() < 0.05 * (here - start).norm()
    row = evaluate(found, data, networks=(toys.NETWORK,), repeats=3, device="cuda", baseline=True)[0]
    assert row.n == 3
    assert row.mean > 0.3
