"""Features of any layer of any network, and their gradients in the pixels: in one call, in micro-batches, compiled."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import distillset as ds
from distillset.engine import BlockOutput, Embeddings, Engine, LossGradient, compiler, embeddings, layer_names
from distillset.errors import InputError
from distillset.keys import Key
from distillset.methods import Images, Matcher, Piece, Task
from distillset.nets import NETWORKS, POOLS, build, fresh
from distillset.training import cross_entropy
from tests import toys
from tests.methods.exact import update_of

NAMES = sorted({*map(str.lower, NETWORKS), *(name for names in POOLS.values() for name in names), "ResNet18BN_AP"})
SPEC = toys.spec_of(3, 32, 32)


def hooked(network: nn.Module, state: dict[str, Tensor], images: Tensor, paths: list[str]) -> list[Tensor]:
    """What layers put out, seen by hooks."""
    found: dict[str, Tensor] = {}
    for path in paths:
        layer = network.get_submodule(path)
        layer.register_forward_hook(lambda _, inputs, output, path=path: found.setdefault(path, output))
    torch.func.functional_call(network, state, (images,))
    return [found[path].flatten(1) for path in paths]


@pytest.mark.parametrize("name", NAMES)
def test_the_output_of_every_block_of_every_network(name: str) -> None:
    network = build(name, SPEC).eval()
    state, images = fresh(network, Key(0)), torch.randn(2, 3, 32, 32)
    paths = layer_names(network)
    assert len(paths) >= 1 + (name.lower() not in ("convnetd1",))
    assert all(isinstance(network.get_submodule(path), BlockOutput) for path in paths)
    found, last = embeddings(network, "all")(state, images), embeddings(network, "last")(state, images)[0]
    for layer, seen in zip(found, hooked(network, state, images, paths), strict=True):
        assert torch.equal(layer, seen)
    assert found[-1].numel() >= last.numel()
    assert torch.equal(embeddings(network, paths[:1])(state, images)[0], found[0])


def test_the_marks_of_blocks_change_no_name_of_a_parameter() -> None:
    assert list(build("ConvNetD2W8", SPEC).state_dict()) == [
        "features.0.weight", "features.0.bias", "features.1.weight", "features.1.bias",
        "features.4.weight", "features.4.bias", "features.5.weight", "features.5.bias",
        "classifier.weight", "classifier.bias",
    ]  # fmt: skip
    assert "features.1.conv1.weight" in build("ResNet18", SPEC).state_dict()


class Mine(nn.Module):
    """A network of a user: no marks, a layer that is never called, one that is called by row of pixels."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.conv, self.spare, self.rows = nn.Conv2d(3, 4, 3), nn.Linear(2, 2), nn.Linear(6, 5)
        self.classifier = nn.Linear(4 * 6 * 5, 3)

    def forward(self, images: Tensor) -> Tensor:
        maps = torch.tanh(self.conv(images))
        logits: Tensor = self.classifier(self.rows(maps.flatten(0, 2)).view(len(images), -1))
        return logits


def test_a_user_s_network_gives_its_convolutions_and_linear_layers() -> None:
    network = Mine().eval()
    state, images = dict(network.state_dict()), torch.randn(2, 3, 8, 8)
    assert layer_names(network) == ["conv", "spare", "rows"]
    (found,) = embeddings(network, "all")(state, images)  # rows of pixels are no rows of images
    assert torch.equal(found, network.conv(images).flatten(1))
    with pytest.raises(InputError, match=r"layers='cnv': network Mine has no such layer .did you mean conv"):
        embeddings(network, "cnv")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's own, in the modules of its compiler
@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("layers", ["last", "all"])
def test_gradients_in_micro_batches_and_compiled(layers: str, compiled: bool) -> None:
    """Against PyTorch's graph of all images at once."""
    if compiled and compiler() is None:
        pytest.skip("no C++ compiler")
    network = build("ConvNetD2W8", SPEC).eval()
    state, images = fresh(network, Key(0)), torch.randn(7, 3, 32, 32)
    function = embeddings(network, layers)

    def loss(features: Any) -> Tensor:
        return torch.stack([(one.mean(0) - 0.1).square().sum() for one in features]).sum()

    leaf = images.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(loss(function(state, leaf)), leaf)
    for micro_batch in (3, 64):
        rows = Embeddings(toys.engine(micro_batch, compiled=compiled), function)
        leaf = images.clone().requires_grad_()
        (found,) = torch.autograd.grad(loss(rows(state, leaf)), leaf)
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-6)
        for one, plain in zip(rows(state, images), function(state, images), strict=True):
            assert not one.requires_grad
            torch.testing.assert_close(one, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("micro_batch", [3, 64])
def test_the_gradient_of_a_loss_can_be_differentiated(micro_batch: int) -> None:
    network = build("ConvNetD1W8", SPEC).eval().double()
    state = {name: value.double() for name, value in fresh(network, Key(0)).items()}
    images = torch.randn(7, 3, 32, 32, dtype=torch.float64)
    labels, weights = torch.arange(7) % 10, torch.full((7,), 1 / 7, dtype=torch.float64)
    names = [name for name, _ in network.named_parameters()]
    leaves = {name: state[name].clone().requires_grad_() for name in names}
    leaf = images.clone().requires_grad_()
    logits = torch.func.functional_call(network, leaves, (leaf,))
    value = F.cross_entropy(logits, labels)
    gradients = torch.autograd.grad(value, list(leaves.values()), create_graph=True)
    (wanted,) = torch.autograd.grad(torch.stack([one.square().sum() for one in gradients]).sum(), leaf)
    gradient = LossGradient(toys.engine(micro_batch), cross_entropy(network), names)
    for name, one in zip(names, gradients, strict=True):
        torch.testing.assert_close(gradient(state, images, labels, weights)[name], one.detach())
    leaf = images.clone().requires_grad_()
    found = gradient(state, leaf, labels, weights)
    (product,) = torch.autograd.grad(torch.stack([one.square().sum() for one in found.values()]).sum(), leaf)
    torch.testing.assert_close(product, wanted)


def images_of(task: Task, n: int) -> Images:
    """``n`` real images of each class, in portions of two classes and of three images."""
    rows = torch.stack([task.real.draw(c, n, Key(1)("draw", c)) for c in range(3)])
    weights = torch.full((3, n), 1 / n)

    def parts() -> Any:
        for run in (slice(0, 2), slice(2, 3)):
            for start in range(0, n, 3):
                part = slice(start, start + 3)
                yield run, rows[run, part], weights[run, part]

    return Images(torch.arange(3), weights, n, parts)


def test_images_in_portions_are_those_at_once() -> None:
    engine: Engine = toys.engine(5)
    real = toys.toy((12, 9, 8))
    task = Task(real, 2, build(toys.NETWORK, real.spec), engine)
    state, images = fresh(task.network, Key(0)), images_of(task, 5)
    assert images.pixels.shape == (3, 5, 3, 8, 8)
    features, (block,) = task.embed(state, images), task.embed(state, images, "all")
    torch.testing.assert_close(features, task.embed(state, images.pixels.flatten(0, 1)).view(3, 5, -1))
    torch.testing.assert_close(block, features)  # the last block, flattened, is what the classifier sees
    torch.testing.assert_close(images.mean(features), features.mean(1))
    one, two, three = (task.loss_gradient(state, each) for each in images.each())
    for name, gradient in task.loss_gradient(state, images).items():
        torch.testing.assert_close(one[name] + two[name] + three[name], gradient)


class ClassGradients(ds.Method):
    """Gradient matching of one step, written with the verbs: DC without its curriculum."""

    name = "class-gradients"
    lr: float = ds.setting(0.1, "learning rate of the images", above=0)
    batch_real: int = ds.setting(256, "real images per class and step", least=1)

    def loss(self, task: Task, network: dict[str, Tensor], synthetic: Images, real: Images) -> Tensor:
        distances = []
        for ours, theirs in zip(synthetic.each(), real.each(), strict=True):
            found, wanted = task.loss_gradient(network, ours), task.loss_gradient(network, theirs)
            for name, gradient in found.items():
                if gradient.dim() > 1:
                    distances.append((1 - F.cosine_similarity(gradient.flatten(1), wanted[name].flatten(1))).sum())
        return torch.stack(distances).sum()


@pytest.mark.parametrize("most", [3, 64])
def test_a_method_of_verbs_is_the_one_by_hand(most: int) -> None:
    """DC's first update, by its own code and by the verbs."""
    real = toys.toy()
    task = Task(real, 4, build(toys.NETWORK, real.spec), toys.engine(most))
    images = torch.randn(12, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    (loss, found), (other, wanted) = (
        update_of(method.prepare(task), {"images": images}) for method in (ClassGradients(), ds.DC(outer=1, inner=1))
    )
    torch.testing.assert_close(loss, other, rtol=1e-4, atol=0)
    torch.testing.assert_close(found["images"], wanted["images"], rtol=1e-2, atol=1e-4)


class Drawing(Matcher):
    """A method that draws for itself: DM's step by the task's verbs."""

    streams = ("network", "calibrate", "real", "augment")

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.blocks = task.blocks(task.ipc, 4)

    def draw(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return inputs

    def term(self, leaves: Any, state: dict[str, Tensor], numbers: dict[str, Tensor], block: slice) -> Piece:
        task, rows = self.task, self.task.rows(block)
        augment = task.draw_augmentation("crop_flip_scale", numbers["augment"], block)
        real = augment(task.draw_real(numbers["real"], 4, block))
        target = real.mean(task.embed(state, real))

        def loss(images: Tensor) -> Tensor:
            synthetic = augment(task.synthetic(images, block))
            return (synthetic.mean(task.embed(state, synthetic)) - target).square().sum()

        value, gradient = task.pixel_gradient(loss, leaves["images"][rows])
        return Piece(value, {"images": (rows, gradient)})


@pytest.mark.parametrize("network", [toys.NETWORK, "ConvNetD1W8BN"])
def test_what_the_task_draws_is_what_dm_draws(network: str) -> None:
    real = toys.toy()
    task = Task(real, 4, build(network, real.spec), toys.engine())
    images = torch.randn(12, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    method = ds.DM(batch_real=4, augment="crop_flip_scale").resolve(real.spec, 4)
    (loss, found), (other, wanted) = (
        update_of(matcher, {"images": images}) for matcher in (Drawing(task), method.prepare(task))
    )
    torch.testing.assert_close(loss, other)
    torch.testing.assert_close(found["images"], wanted["images"])
