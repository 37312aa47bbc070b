"""DC and DSA against their equation in float64, finite differences, and what their page promises."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from distillset.data.real import RealSet
from distillset.engine import Engine, compiler
from distillset.errors import InputError
from distillset.keys import Key, fold, permutation
from distillset.methods import DC, DSA, Matcher, Task
from distillset.methods.dc import GradientMatching
from distillset.nets import build
from distillset.nets.pools import pool
from distillset.presets.papers import loops
from tests import toys
from tests.methods.exact import Exact, inputs_of, shown_to, update_of
from tests.oracles import dc_oracle as oracle
from tests.oracles.formation_oracle import unpacked


@dataclass
class Update:
    """The first update of an episode of the fast path, and the inputs it drew."""

    loss: Tensor
    gradient: Tensor
    terms: int
    method: DC
    task: Task
    images: Tensor
    matcher: Matcher

    @classmethod
    def of(
        cls, real: RealSet, ipc: int, name: str, method: DC, engine: Engine, dtype: torch.dtype = torch.float64
    ) -> "Update":
        exact = Exact(real.images, real.labels, real.spec) if dtype == torch.float64 else real
        task = Task(exact, ipc, build(name, real.spec).to(dtype), engine)
        method = method.resolve(real.spec, ipc)
        generator = torch.Generator().manual_seed(3)
        shape = (ipc * real.spec.classes, *real.spec.shape)
        images = torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
        before = images.clone()
        matcher = method.prepare(task)
        loss, gradients = update_of(matcher, {"images": images})
        assert torch.equal(images, before)
        return cls(loss, gradients["images"], len(matcher.blocks), method, task, images, matcher)

    def expected(self, width: int, depth: int, norm: str = "instance") -> tuple[Tensor, Tensor]:
        """Loss and pixel gradient of the oracle, in float64."""
        task, ipc = self.task, self.task.ipc
        drawn = self.matcher.begin(inputs_of(self.matcher))
        state = {name: value.double() if value.is_floating_point() else value for name, value in drawn.items()}
        network = oracle.network(task.spec.shape, width, depth, norm, state)
        classes = range(task.spec.classes)
        real, draws = shown_to(self.matcher)
        assert [len(images) for images in real] == [min(self.method.batch_real, int(n)) for n in task.real.counts]
        real = [images.double() for images in real]
        leaf = self.images.double().requires_grad_()
        synthetic = [unpacked(leaf[c * ipc : (c + 1) * ipc], self.method.formation) for c in classes]
        loss = oracle.loss(network, real, synthetic, draws, self.method.distance, self.method.match)
        (gradient,) = torch.autograd.grad(loss, leaf)
        return loss.detach(), gradient


@pytest.mark.parametrize("match", ["class", "all"])
@pytest.mark.parametrize("distance", ["layerwise", "cos", "mse"])
@pytest.mark.parametrize(
    ("counts", "shape", "ipc", "batch_real", "micro_batch"),
    [
        ((12, 7, 5), (3, 8, 8), 1, 6, 64),
        ((12, 7, 5), (3, 8, 8), 4, 6, 64),
        ((12, 7, 5), (3, 8, 8), 4, 256, 3),  # in two passes, of micro-batches
        ((6, 6), (1, 9, 14), 3, 5, 64),
        ((4, 4), (1, 28, 28), 2, 4, 64),
    ],
)
def test_equals_the_equation(
    counts: tuple[int, ...],
    shape: tuple[int, int, int],
    ipc: int,
    batch_real: int,
    micro_batch: int,
    distance: str,
    match: str,
) -> None:
    depth = 2 if shape == (1, 28, 28) else 1
    method = DSA(batch_real=batch_real, distance=distance, match=match)
    update = Update.of(toys.toy(counts, shape), ipc, f"ConvNetD{depth}W8", method, toys.engine(micro_batch))
    assert match == "class" or update.terms == 1
    loss, gradient = update.expected(8, depth)
    torch.testing.assert_close(update.loss, loss, rtol=1e-9, atol=0)
    torch.testing.assert_close(update.gradient, gradient, rtol=1e-8, atol=1e-12)
    assert all(float(part.abs().max()) > 0 for part in update.gradient.split(ipc))


@pytest.mark.parametrize("match", ["class", "all"])
@pytest.mark.parametrize("micro_batch", [3, 64])
def test_tiles_equal_the_equation(micro_batch: int, match: str) -> None:
    method = DSA(batch_real=6, formation=2, match=match)
    update = Update.of(toys.toy(), 2, "ConvNetD1W8", method, toys.engine(micro_batch))
    loss, gradient = update.expected(8, 1)
    torch.testing.assert_close(update.loss, loss, rtol=1e-9, atol=0)
    torch.testing.assert_close(update.gradient, gradient, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("operation", ["none", "color", "crop", "cutout", "flip", "scale", "rotate"])
def test_each_augmentation_is_shared_by_real_and_synthetic(operation: str) -> None:
    update = Update.of(toys.toy(), 2, toys.NETWORK, DC(batch_real=6, augment=operation), toys.engine())
    loss, gradient = update.expected(8, 1)
    torch.testing.assert_close(update.loss, loss, rtol=1e-9, atol=0)
    torch.testing.assert_close(update.gradient, gradient, rtol=1e-8, atol=1e-12)


def test_batch_norm_is_calibrated_and_frozen() -> None:
    update = Update.of(toys.toy(), 2, "ConvNetD1W8BN", DC(batch_real=6), toys.engine(5))
    loss, gradient = update.expected(8, 1, "batch")
    torch.testing.assert_close(update.loss, loss, rtol=1e-9, atol=0)
    torch.testing.assert_close(update.gradient, gradient, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 28, 28)])
@pytest.mark.parametrize("ipc", [1, 7, 10])
def test_float32_equals_float64(shape: tuple[int, int, int], ipc: int) -> None:
    update = Update.of(toys.toy((12, 12, 12), shape), ipc, "ConvNetD2W16", DSA(), toys.engine(7), torch.float32)
    loss, gradient = update.expected(16, 2)
    assert update.gradient.dtype == torch.float32
    torch.testing.assert_close(update.loss.double(), loss, rtol=1e-5, atol=0)
    assert float((update.gradient - gradient).norm() / gradient.norm()) < 1e-3


def test_bf16_points_the_same_way() -> None:
    real = toys.toy((24, 20, 16), (3, 16, 16))
    update = Update.of(real, 3, "ConvNetD2W32", DSA(batch_real=16), toys.engine(precision="bf16"), torch.float32)
    _, gradient = update.expected(32, 2)
    cosine = F.cosine_similarity(update.gradient.double().flatten(), gradient.flatten(), dim=0)
    assert update.gradient.dtype == torch.float32
    assert 0.98 < float(cosine) < 0.9999999, "bf16 was asked for"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's own, in the modules of its compiler
@pytest.mark.skipif(compiler() is None, reason="no C++ compiler")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28)])
@pytest.mark.parametrize("ipc", [1, 7, 10])
def test_compiled_equals_float64(shape: tuple[int, int, int], ipc: int, precision: str) -> None:
    """The network of the published table, through the compiler: two classes, 64 real images each."""
    engine = toys.engine(64, precision, compiled=True)
    update = Update.of(toys.toy((70, 70), shape), ipc, "ConvNet", DSA(batch_real=64), engine, torch.float32)
    loss, gradient = update.expected(128, 3)
    cosine = float(F.cosine_similarity(update.gradient.double().flatten(), gradient.flatten(), dim=0))
    error = float((update.gradient - gradient).norm() / gradient.norm())
    print(f"{shape}, ipc {ipc}, {precision}: cosine {cosine:.5f}, relative error {error:.2g}")
    torch.testing.assert_close(update.loss.double(), loss, rtol=0.02, atol=0)
    assert cosine > 0.99
    assert precision == "bf16" or error < 1e-3


@pytest.mark.parametrize("match", ["class", "all"])
def test_finite_differences(match: str) -> None:
    """The pixel gradient is the slope of the loss, independently of any second derivative."""
    real = toys.toy((4, 4), (1, 8, 8))
    exact = Exact(real.images, real.labels, real.spec)
    task = Task(exact, 2, build("ConvNetD1W4ASwish", real.spec).double(), toys.engine())
    matcher = DSA(batch_real=4, match=match).resolve(real.spec, 2).prepare(task)
    images = torch.randn(4, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def at(images: Tensor) -> tuple[Tensor, Tensor]:
        loss, gradients = update_of(matcher, {"images": images})
        return loss, gradients["images"]

    _, gradient = at(images)
    for seed in range(3):
        direction = torch.randn(images.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        slope = (at(images + 1e-5 * direction)[0] - at(images - 1e-5 * direction)[0]) / 2e-5
        torch.testing.assert_close((gradient * direction).sum(), slope, rtol=1e-6, atol=1e-9)


EVERY = dict.fromkeys(name for letter in "MBAPN" for name in pool(letter))
DEEP = ("VGG11", "ResNet18")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * name.startswith(DEEP)) for name in EVERY]
)
def test_every_network_equals_the_equation_and_its_slope(name: str) -> None:
    real = toys.toy((3, 3), (1, 8, 8))
    task = Task(Exact(real.images, real.labels, real.spec), 1, build(name, real.spec).double(), toys.engine())
    method = DC(batch_real=2).resolve(real.spec, 1)
    matcher = method.prepare(task)
    images = torch.randn(2, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def at(images: Tensor) -> tuple[Tensor, Tensor]:
        loss, gradients = update_of(matcher, {"images": images})
        return loss, gradients["images"]

    loss, gradient = at(images)
    network = build(name, real.spec).double().eval()
    network.load_state_dict(matcher.begin(inputs_of(matcher)))
    drawn, _ = shown_to(matcher)
    leaf = images.clone().requires_grad_()
    expected = oracle.loss(network, drawn, list(leaf.split(1)), [lambda x: x] * 2)
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-8, atol=0)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, leaf)[0], rtol=1e-6, atol=1e-10)
    direction = torch.randn(images.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    slope = (at(images + 1e-7 * direction)[0] - at(images - 1e-7 * direction)[0]) / 2e-7
    torch.testing.assert_close((gradient * direction).sum(), slope, rtol=1e-3, atol=1e-4)


def test_a_dead_row_has_a_gradient() -> None:
    """A filter that no image excites has no gradient; its row is at distance 1, and nothing becomes NaN."""
    real = toys.toy((4, 4))
    matcher = (
        DC(batch_real=4).resolve(real.spec, 1).prepare(Task(real, 1, build("ConvNetD1W4NN", real.spec), toys.engine()))
    )
    state = matcher.begin(inputs_of(matcher))
    state["features.0.bias"][0] = -1e4
    images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    piece = matcher.term({"images": images}, state, matcher.draw(inputs_of(matcher)), slice(0, 1))
    _, gradient = piece.gradients["images"]
    assert torch.isfinite(gradient).all()
    assert float(gradient.abs().max()) > 0


STEP = Key(7)("step", 4)


class Record:
    """Pixel updates of an episode, made by plain SGD at rate 1."""

    def __init__(self, method: DC, ipc: int = 2, network: str = toys.NETWORK) -> None:
        real = toys.toy()
        self.task = Task(
            Exact(real.images, real.labels, real.spec), ipc, build(network, real.spec).double(), toys.engine()
        )
        self.matcher: GradientMatching = method.resolve(real.spec, ipc).prepare(self.task)
        self.images = torch.randn(3 * ipc, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        self.losses: list[Tensor] = []
        leaves = {"images": self.images}
        state = self.matcher.begin(inputs_of(self.matcher))
        for turn in range(self.matcher.turns):
            if turn:
                state = self.matcher.between(leaves, state, STEP("between", turn))
            loss, gradients = update_of(self.matcher, leaves, STEP("update", turn), state)
            self.losses.append(loss)
            self.images -= gradients["images"]


def test_an_episode_is_a_curriculum_on_updated_images() -> None:
    """Matched, moved, then trained by plain SGD on what was moved; the oracle does the same by `torch.optim`."""
    record = Record(DC(outer=3, inner=2, batch_train=4, lr_net=0.05, batch_real=6))
    task, ipc = record.task, 2
    state = record.matcher.begin(inputs_of(record.matcher))
    network = oracle.network(task.spec.shape, 8, 1, "instance", {n: v.double() for n, v in state.items()})
    images = torch.randn(6, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(3).repeat_interleave(ipc)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.05)
    for turn in range(3):
        for epoch in range(2 if turn else 0):
            stream = fold(STEP("between", turn)("train")("order").words(), epoch)
            order = permutation(stream, 6, 6)
            for rows in order.split(4):
                optimiser.zero_grad()
                F.cross_entropy(network(images[rows]), labels[rows]).backward()
                optimiser.step()
        real, _ = shown_to(record.matcher, STEP("update", turn))
        leaf = images.clone().requires_grad_()
        loss = oracle.loss(network, real, list(leaf.split(ipc)), [lambda x: x] * 3)
        torch.testing.assert_close(record.losses[turn], loss.detach(), rtol=1e-8, atol=0)
        images = images - torch.autograd.grad(loss, leaf)[0]
    assert len(record.losses) == 3
    torch.testing.assert_close(record.images, images, rtol=1e-8, atol=1e-10)


def test_the_network_of_dsa_is_trained_with_augmentation() -> None:
    plain, augmented = (
        Record(DSA(outer=2, inner=2, batch_real=6, augment=augment)).matcher.trainer for augment in ("none", "auto")
    )
    assert (plain.recipe.augmentation, augmented.recipe.augmentation) == (
        "none",
        "color_crop_cutout_flip_scale_rotate",
    )
    assert (plain.recipe.momentum, plain.recipe.weight_decay, plain.recipe.rate, plain.recipe.decay) == (0, 0, 0.01, 1)


def test_batch_norm_may_learn_between_updates() -> None:
    record = Record(DC(outer=2, inner=2, batch_real=6), network="ConvNetD1W8BN")
    assert all(torch.isfinite(loss) for loss in record.losses)
    assert not record.task.network.training


def test_the_published_loops() -> None:
    """The table of the authors' code."""
    table = {1: (1, 1), 10: (10, 50), 20: (20, 25), 30: (30, 20), 40: (40, 15), 50: (50, 10)}
    assert {ipc: loops(ipc) for ipc in table} == table
    assert all(
        a <= b for a, b in zip([loops(i)[0] for i in range(1, 99)], [loops(i)[0] for i in range(2, 100)], strict=True)
    )


def test_the_published_settings() -> None:
    """Protocols of the authors' code: rates, batch, momentum, distance; DSA from real images with its strategy."""
    assert DC().resolve(toys.toy().spec, 10).values() == {
        "lr": 0.1,
        "momentum": 0.5,
        "batch_real": 256,
        "distance": "layerwise",
        "match": "class",
        "outer": 10,
        "inner": 50,
        "lr_net": 0.01,
        "batch_train": 256,
        "augment": "none",
        "formation": 1,
    }
    assert (DC.name, DC.init, DC.steps) == ("dc", "noise", 1000)
    assert (DSA.name, DSA.init, DSA.steps) == ("dsa", "real", 1000)
    digits = dataclasses.replace(toys.toy().spec, flip=False)
    assert DSA().resolve(digits, 1).augment == "color_crop_cutout_scale_rotate"
    assert issubclass(DSA, DC)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"momentum": 1.0}, "momentum=1.0"),
        ({"batch_real": 0}, "batch_real=0"),
        ({"batch_train": 0}, "batch_train=0"),
        ({"outer": 0}, "outer=0"),
        ({"inner": -1}, "inner=-1"),
        ({"lr_net": 0.0}, "lr_net=0.0"),
        ({"distance": "ours"}, "distance='ours': choose one of layerwise, cos, mse"),
        ({"match": "classes"}, "match='classes': choose one of class, all"),
        ({"augment": "colour"}, "colour"),
    ],
)
def test_bad_fields_are_named(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        DC(**fields)


def test_a_network_with_nothing_to_match_is_refused() -> None:
    real = toys.toy()
    network = torch.nn.Sequential(torch.nn.AvgPool2d(8), torch.nn.Flatten())
    with pytest.raises(InputError, match="no parameters"):
        DC().resolve(real.spec, 1).prepare(Task(real, 1, network, toys.engine()))
