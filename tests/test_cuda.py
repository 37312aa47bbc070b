"""What only a GPU can show: replays equal plain calls, and every path runs there. Skipped where there is none."""

import itertools

import pytest
import torch
from torch import Tensor
from torch.func import grad

from distillset import DC, DM, DSA, MTT, distill, evaluate
from distillset.engine import Compute, Engine, GradientAndVJP
from distillset.keys import Key
from distillset.machine import Machine
from distillset.methods import Method
from distillset.nets import build, fresh
from distillset.training import Layout, Recipe, Trainer, TrainingSet, cross_entropy, flat_loss
from tests import toys
from tests.engine.test_layers import ClassGradients
from tests.test_check_method import Right
from tests.watchers import Notes

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")
REAL = toys.toy()
GPU = torch.device("cuda")


def engine(micro_batch: int = 4096, precision: str = "fp32", compiled: bool = False) -> Engine:
    return Engine(Compute("cuda", precision, compiled, 4, micro_batch))


def test_a_launch_is_the_call_however_often() -> None:
    calls, kept = itertools.count(), torch.zeros(2, 7, device=GPU)

    def function(numbers: dict[str, Tensor], other: Tensor) -> None:
        next(calls)
        kept[0] += grad(lambda x: (x.sin() * other).sum())(numbers["x"])
        kept[1] += other * 2

    run, wanted = Engine(engine().compute).launch(function), torch.zeros(2, 7, device=GPU)
    generator = torch.Generator().manual_seed(0)
    for _ in range(6):
        x, other = torch.randn(2, 7, generator=generator)
        run({"x": x}, other)  # from the CPU
        wanted += torch.stack((x.cos() * other, other * 2)).to(GPU)
        torch.testing.assert_close(kept, wanted)
    assert next(calls) == 3  # two plainly, one captured


def test_what_cannot_be_captured_runs_plainly_and_says_so() -> None:
    notes: list[str] = []
    kept = torch.zeros(3, device=GPU)

    def looks(x: Tensor) -> None:
        kept.add_(x * float(x.sum()))

    run = Engine(engine().compute, Notes(notes)).launch(looks)
    for _ in range(5):
        run(torch.arange(3.0))
    assert kept.tolist() == [0.0, 15.0, 30.0]
    assert len(notes) == 1
    assert "cannot be a CUDA graph" in notes[0]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("micro_batch", [4096, 10])  # at once, and in parts
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
    images, labels = REAL.rows(rows, GPU), REAL.labels.to(GPU)
    run = engine(micro_batch, compiled=compiled).gradient(cross_entropy(module))
    for _ in range(2):
        for state, expected in zip(there, wanted, strict=True):
            found = run(state, names, (images, labels), weights.to(GPU), 24)
            for name in names:
                torch.testing.assert_close(found[name].cpu(), expected[name], rtol=2e-3, atol=2e-5)


@pytest.mark.parametrize("network", [toys.NETWORK, f"{toys.NETWORK}BN"])
def test_networks_trained_side_by_side_are_those_trained_alone(network: str) -> None:
    trainer = Trainer(engine(), build(network, REAL.spec), Recipe(epochs=5, batch=10, augmentation="color_flip_crop"))
    assert trainer.together(REAL.spec.shape, 24) == 10
    images = REAL.rows(torch.arange(24), GPU)
    sets = [TrainingSet.held(images, REAL.labels, Key(i)) for i in range(3)]
    here = Trainer(toys.engine(), trainer.module, trainer.recipe)
    for state, own in zip(trainer.fit_together(sets), sets, strict=True):
        alone = trainer.fit(own)
        there = here.fit(TrainingSet.held(images.cpu(), REAL.labels, own.key))
        for name, value in state.items():
            torch.testing.assert_close(value, alone[name], rtol=1e-3, atol=1e-5)
            torch.testing.assert_close(value.cpu(), there[name], rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("compiled", [False, True])
def test_second_derivatives_equal_float64(compiled: bool) -> None:
    module = build(toys.NETWORK, REAL.spec).double()
    layout = Layout(module)
    parameters = layout.flatten(fresh(module, Key(0))).double()
    direction = torch.randn(len(parameters), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    images, weights = REAL.rows(torch.arange(24)).double(), torch.full((24,), 1 / 24, dtype=torch.float64)
    wanted = GradientAndVJP(toys.engine(), flat_loss(module, layout)).product(
        parameters, images, REAL.labels, weights, direction
    )
    single = build(toys.NETWORK, REAL.spec)
    gradient_and_vjp = GradientAndVJP(engine(compiled=compiled), flat_loss(single, Layout(single)))
    p, x, w, d = (tensor.float().to(GPU) for tensor in (parameters, images, weights, direction))
    for _ in range(2):
        found = gradient_and_vjp.product(p, x, REAL.labels.to(GPU), w, d)
        for i in (0, 1):
            exact, close = wanted[i], found[i]
            assert exact is not None
            assert close is not None
            assert (close.double().cpu() - exact).norm() < 1e-3 * exact.norm()


METHODS = [
    DM(), DM(formation=2), DC(), DC(match="all"), DSA(outer=2, inner=3),
    MTT(expert_count=2, max_start=2, expert_epochs=1, syn_steps=3, lr=10.0), Right(), ClassGradients(),
]  # fmt: skip


@pytest.mark.parametrize("compiled", ["off", "on"])
@pytest.mark.parametrize("method", METHODS, ids=str)
def test_every_method_learns_there(method: Method, compiled: str) -> None:
    """Eight steps: two plainly, the rest by graphs."""
    data, notes = toys.toy_data(), list[str]()
    start = distill(data, method, 2, steps=0, network=toys.NETWORK, machine="cpu").images
    here = distill(data, method, 2, steps=8, network=toys.NETWORK, machine=Machine("cpu", "fp32")).images

    found = distill(
        data, method, 2, steps=8, network=toys.NETWORK, machine=Machine("cuda", "fp32", compiled),
        watcher=Notes(notes),
    )  # fmt: skip
    assert not [note for note in notes if "CUDA graph" in note], "what our own networks do can be captured"
    # The same streams: the same set, but for rounding.
    assert (found.images - here).norm() < 0.05 * (here - start).norm()
    row = evaluate(found, data, networks=(toys.NETWORK,), repeats=3, machine="cuda", beside=("random",))[0]
    assert row.n == 3
    assert row.mean > 0.3


def test_a_set_that_does_not_fit_is_read_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distillset.data.real.RESIDENT", 0.0)
    data = toys.toy_data()
    here = distill(data, DM(), 2, steps=6, network=toys.NETWORK, machine=Machine("cpu", "fp32")).images
    found = distill(data, DM(), 2, steps=6, network=toys.NETWORK, machine=Machine("cuda", "fp32")).images
    start = distill(data, DM(), 2, steps=0, network=toys.NETWORK, machine="cpu").images
    assert (found - here).norm() < 0.05 * (here - start).norm()
