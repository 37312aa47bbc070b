"""DM against its equation in float64, finite differences, and what its page promises."""

from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from distillset.data.real import RealSet
from distillset.engine import Engine, compiler
from distillset.errors import InputError
from distillset.keys import Key, fold
from distillset.methods import DM, Matcher, Task, dm
from distillset.methods.dm import relative_rate
from distillset.nets import build, fresh
from distillset.nets.convnet import ConvNet, ConvNetConfig
from tests import toys
from tests.methods.exact import KEY, Exact, shown_to, update_of
from tests.oracles import dm_oracle as oracle
from tests.oracles.formation_oracle import unpacked


@dataclass
class Step:
    """One episode of the fast path: loss, pixel gradient and number of terms; and the inputs it drew."""

    loss: Tensor
    gradient: Tensor
    terms: int
    method: DM
    task: Task
    images: Tensor
    matcher: Matcher

    @classmethod
    def of(
        cls, real: RealSet, ipc: int, name: str, method: DM, engine: Engine, dtype: torch.dtype = torch.float64
    ) -> "Step":
        exact = Exact(real.images, real.labels, real.spec) if dtype == torch.float64 else real
        task = Task(exact, ipc, build(name, real.spec).to(dtype), engine)
        method = method.resolve(real.spec, ipc)
        generator = torch.Generator().manual_seed(3)
        images = torch.randn(ipc * real.spec.classes, *real.spec.shape, generator=generator, dtype=torch.float64).to(
            dtype
        )
        before = images.clone()
        matcher = method.prepare(task)
        assert matcher.turns == 1
        loss, gradients = update_of(matcher, {"images": images})
        assert torch.equal(images, before)
        return cls(loss, gradients["images"], len(matcher.blocks), method, task, images, matcher)

    def expected(self, width: int, depth: int, norm: str = "instance") -> tuple[Tensor, Tensor]:
        """Loss and pixel gradient of the oracle, in float64."""
        task, ipc = self.task, self.task.ipc
        state = {name: value.double() for name, value in fresh(task.network, KEY("network")).items() if value.dim()}
        if norm == "batch":
            state |= {name: value for name, value in fresh(task.network, KEY("network")).items() if not value.dim()}
        phi = oracle.network(task.spec.shape, width, depth, norm, state)
        classes = range(task.spec.classes)
        real, draws = shown_to(self.matcher)
        assert [len(images) for images in real] == [min(self.method.batch_real, int(n)) for n in task.real.counts]
        real = [images.double() for images in real]
        if norm == "batch":
            chosen = task.real.sampler(16)(fold(KEY("calibrate").words(), torch.arange(task.spec.classes)))
            rows = [own[:count] for own, count in zip(chosen.rows, chosen.most, strict=True)]
            assert [len(own) for own in rows] == [min(16, int(n)) for n in task.real.counts]
            oracle.calibrate(phi, task.real.rows(torch.cat(rows)).double())
        leaf = self.images.double().requires_grad_()
        tiles = self.method.formation
        synthetic = [unpacked(leaf[c * ipc : (c + 1) * ipc], tiles) for c in classes]
        loss = oracle.loss(phi, real, synthetic, draws)
        (gradient,) = torch.autograd.grad(loss, leaf)
        return loss.detach(), gradient


@pytest.mark.parametrize(
    ("counts", "shape", "ipc", "batch_real", "micro_batch"),
    [
        ((12, 7, 5), (3, 8, 8), 1, 6, 64),
        ((12, 7, 5), (3, 8, 8), 4, 6, 64),
        ((12, 7, 5), (3, 8, 8), 4, 6, 8),
        ((12, 7, 5), (3, 8, 8), 4, 256, 3),
        ((9, 2, 4, 3, 5), (1, 8, 8), 2, 4, 4),
        ((6, 6), (1, 9, 14), 3, 5, 64),
        ((4, 4), (1, 28, 28), 2, 4, 64),
    ],
)
def test_equals_the_equation(
    counts: tuple[int, ...], shape: tuple[int, int, int], ipc: int, batch_real: int, micro_batch: int
) -> None:
    real = toys.toy(counts, shape)
    depth = 2 if shape == (1, 28, 28) else 1
    step = Step.of(real, ipc, f"ConvNetD{depth}W8", DM(batch_real=batch_real), toys.engine(micro_batch))
    loss, gradient = step.expected(8, depth)
    torch.testing.assert_close(step.loss, loss, rtol=1e-10, atol=0)
    torch.testing.assert_close(step.gradient, gradient, rtol=1e-9, atol=1e-12)
    assert all(float(part.abs().max()) > 0 for part in step.gradient.split(ipc))


@pytest.mark.parametrize("micro_batch", [3, 64])
@pytest.mark.parametrize(("shape", "formation"), [((3, 8, 8), 2), ((1, 9, 15), 3)])
def test_tiles_equal_the_equation(shape: tuple[int, int, int], formation: int, micro_batch: int) -> None:
    method = DM(batch_real=6, formation=formation)
    step = Step.of(toys.toy((12, 7, 5), shape), 2, "ConvNetD1W8", method, toys.engine(micro_batch))
    loss, gradient = step.expected(8, 1)
    torch.testing.assert_close(step.loss, loss, rtol=1e-10, atol=0)
    torch.testing.assert_close(step.gradient, gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("defers", [False, True])
@pytest.mark.parametrize(("classes", "terms"), [(1, 3), (2, 2), (3, 1)])
def test_several_classes_in_a_term(classes: int, terms: int, defers: bool) -> None:
    step = Step.of(toys.toy(), 4, toys.NETWORK, DM(batch_real=6), toys.engine(6 * classes, defers=defers))
    assert step.terms == terms
    loss, gradient = step.expected(8, 1)
    torch.testing.assert_close(step.loss, loss, rtol=1e-10, atol=0)
    torch.testing.assert_close(step.gradient, gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("operation", ["none", "color", "crop", "cutout", "flip", "scale", "rotate"])
def test_each_augmentation_is_shared_by_real_and_synthetic(operation: str) -> None:
    step = Step.of(toys.toy(), 2, toys.NETWORK, DM(batch_real=6, augment=operation), toys.engine())
    loss, gradient = step.expected(8, 1)
    torch.testing.assert_close(step.loss, loss, rtol=1e-10, atol=0)
    torch.testing.assert_close(step.gradient, gradient, rtol=1e-9, atol=1e-12)


def test_float32_equals_float64() -> None:
    step = Step.of(toys.toy(), 3, "ConvNetD2W16", DM(batch_real=6), toys.engine(7), torch.float32)
    loss, gradient = step.expected(16, 2)
    assert step.gradient.dtype == torch.float32
    torch.testing.assert_close(step.loss.double(), loss, rtol=1e-5, atol=0)
    torch.testing.assert_close(step.gradient.double(), gradient, rtol=1e-4, atol=1e-5 * float(gradient.abs().max()))


def test_bf16_points_the_same_way() -> None:
    real = toys.toy((24, 20, 16), (3, 16, 16))
    step = Step.of(real, 3, "ConvNetD2W32", DM(batch_real=16), toys.engine(precision="bf16"), torch.float32)
    loss, gradient = step.expected(32, 2)
    cosine = torch.nn.functional.cosine_similarity(step.gradient.double().flatten(), gradient.flatten(), dim=0)
    assert step.gradient.dtype == torch.float32
    assert 0.99 < float(cosine) < 0.9999999, "bf16 was asked for"
    torch.testing.assert_close(step.loss.double(), loss, rtol=0.05, atol=0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's own, in the modules of its compiler
@pytest.mark.skipif(compiler() is None, reason="no C++ compiler")
@pytest.mark.parametrize(("shape", "ipc"), [((3, 32, 32), 1), ((3, 32, 32), 10), ((1, 28, 28), 7)])
def test_compiled_bf16_points_where_float64_does(shape: tuple[int, int, int], ipc: int) -> None:
    """The network and precision of the published table, through the compiler."""
    real = toys.toy((70,) * 10, shape)
    step = Step.of(real, ipc, "ConvNet", DM(batch_real=64), toys.engine(64, "bf16", compiled=True), torch.float32)
    loss, gradient = step.expected(128, 3)
    cosine = float(torch.nn.functional.cosine_similarity(step.gradient.double().flatten(), gradient.flatten(), dim=0))
    print(f"{shape}, ipc {ipc}: cosine {cosine:.5f}, loss {float(step.loss):.5g} against {float(loss):.5g}")
    assert 0.99 < cosine < 0.9999999, "bf16 was asked for"
    torch.testing.assert_close(step.loss.double(), loss, rtol=0.05, atol=0)


@pytest.mark.parametrize("micro_batch", [1, 2, 3, 1000])
def test_micro_batches_change_nothing(micro_batch: int) -> None:
    whole = Step.of(toys.toy(), 2, toys.NETWORK, DM(batch_real=9), toys.engine(1000))
    split = Step.of(toys.toy(), 2, toys.NETWORK, DM(batch_real=9), toys.engine(micro_batch))
    torch.testing.assert_close(split.loss, whole.loss, rtol=1e-12, atol=0)
    torch.testing.assert_close(split.gradient, whole.gradient, rtol=1e-10, atol=1e-13)


def test_gradient_equals_finite_differences() -> None:
    step = Step.of(toys.toy(), 2, toys.NETWORK, DM(batch_real=6, augment="scale"), toys.engine())

    def loss(images: Tensor) -> float:
        return float(update_of(step.matcher, {"images": images})[0])

    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        direction = torch.randn(step.images.shape, generator=generator, dtype=torch.float64)
        h = 1e-6
        slope = (loss(step.images + h * direction) - loss(step.images - h * direction)) / (2 * h)
        assert slope == pytest.approx(float((step.gradient * direction).sum()), rel=1e-5)


@pytest.mark.parametrize(("counts", "batch_real"), [((12, 7, 5), 6), ((2, 8, 20), 256), ((40, 4, 4), 16)])
@pytest.mark.parametrize("micro_batch", [2, 1000])
def test_batch_norm_is_calibrated_on_real_images(counts: tuple[int, ...], batch_real: int, micro_batch: int) -> None:
    step = Step.of(toys.toy(counts), 2, "ConvNetD1W8BN", DM(batch_real=batch_real), toys.engine(micro_batch))
    loss, gradient = step.expected(8, 1, "batch")
    torch.testing.assert_close(step.loss, loss, rtol=1e-10, atol=0)
    torch.testing.assert_close(step.gradient, gradient, rtol=1e-9, atol=1e-12)


def test_loss_is_zero_at_the_real_images() -> None:
    real = toys.toy((4, 4, 4))
    task = Task(real, 4, build(toys.NETWORK, real.spec), toys.engine())
    images = torch.cat([real.draw(c, 4, Key(1)) for c in range(3)])  # all of them, in another order
    method = DM().resolve(real.spec, 4)
    loss, gradients = update_of(method.prepare(task), {"images": images})
    assert float(loss) < 1e-9
    assert float(gradients["images"].abs().max()) < 1e-5


def test_each_step_draws_anew() -> None:
    step = Step.of(toys.toy(), 2, toys.NETWORK, DM(batch_real=6), toys.engine())
    matcher = step.method.prepare(step.task)
    keys = (KEY, KEY, Key(7)("step", 5))
    losses = [float(update_of(matcher, {"images": step.images}, key)[0]) for key in keys]
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize(
    ("ipc", "lr"), [(1, 1.0), (10, 1.0), (50, 1.0), (70, 1.0), (71, 10.0), (100, 10.0), (1250, 10.0)]
)
def test_published_rates(ipc: int, lr: float) -> None:
    assert DM().resolve(toys.toy().spec, ipc).lr == lr


@pytest.mark.parametrize("ipc", [1, 10, 50, 100, 125])
def test_the_published_rate_of_cifar100(ipc: int) -> None:
    """The authors give 1 up to 125 images per class, where CIFAR-10 has 10 from 100 on."""
    assert DM().resolve(replace(toys.toy().spec, name="cifar100"), ipc).lr == 1.0


def test_published_settings() -> None:
    method = DM().resolve(toys.toy().spec, 10)
    assert (DM.steps, DM.init) == (20_000, "real")
    assert (method.momentum, method.batch_real) == (0.5, 256)
    assert method.augment == "color_crop_cutout_flip_scale_rotate"
    digits = replace(toys.toy().spec, flip=False)
    assert DM().resolve(digits, 10).augment == "color_crop_cutout_scale_rotate"
    assert DM(lr=3.0, augment="none").resolve(digits, 100) == DM(lr=3.0, augment="none")


def test_leaves_are_the_pixels_under_their_sgd() -> None:
    real = toys.toy()
    images = torch.randn(6, *real.spec.shape)
    method = DM(lr=0.5, momentum=0.25, augment="none")
    leaves = method.prepare(Task(real, 2, build(toys.NETWORK, real.spec), toys.engine())).leaves(images)
    assert set(leaves) == {"images"}
    assert (leaves["images"].lr, leaves["images"].momentum) == (0.5, 0.25)
    assert torch.equal(leaves["images"].start, images)


class TimesTen(ConvNet):
    """ConvNet with features ten times as large: its loss, and so its gradient, is a hundred times as large."""

    def __init__(self) -> None:
        super().__init__(3, 8, 8, 3, ConvNetConfig(width=4, depth=1))

    def embed(self, images: Tensor) -> Tensor:
        return 10 * super().embed(images)


def test_other_networks_step_as_far_as_convnet(monkeypatch: pytest.MonkeyPatch) -> None:
    real = toys.toy()
    monkeypatch.setattr(dm, "build", lambda *_: ConvNet(3, 8, 8, 3, ConvNetConfig(width=4, depth=1)))
    task = Task(real, 2, TimesTen(), toys.engine())
    assert relative_rate(DM(lr=0.5), task) == pytest.approx(0.01, rel=1e-5)
    method = DM(lr=0.5, augment="none")
    images = torch.zeros(6, *real.spec.shape)
    assert method.prepare(task).leaves(images)["images"].lr == 0.5  # a ConvNet, whatever its size
    other = replace(task, network=build("mlp", real.spec))
    assert method.prepare(other).leaves(images)["images"].lr == pytest.approx(
        0.5 * relative_rate(method, other), rel=1e-9
    )
    own = replace(method, lr_scale=3.0)
    assert [own.prepare(each).leaves(images)["images"].lr for each in (task, other)] == [1.5, 1.5]


def test_images_per_step_counts_what_is_drawn() -> None:
    # min(count, 6) real images per class once, and three passes of every synthetic image.
    assert DM(batch_real=6).images_per_step(toys.toy((12, 7, 5)), 4) == 6 + 6 + 5 + 3 * 4 * 3


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lr_scale", -1.0), ("lr_scale", float("nan")), ("lr_scale", float("inf")),
        ("lr", 0.0), ("lr", -1.0), ("lr", float("nan")), ("lr", float("inf")), ("momentum", 1.0), ("momentum", -0.1),
        ("momentum", float("nan")), ("batch_real", 0), ("augment", "crop_bend"), ("augment", "crop_crop"),
        ("augment", ""),
    ],
)  # fmt: skip
def test_bad_fields_are_named(field: str, value: float | str) -> None:
    with pytest.raises(InputError, match=f"{field}="):
        DM(**{field: value})  # type: ignore[arg-type]
