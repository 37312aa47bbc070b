"""Numbers and sets at their limits: each ends in a right result or in an error that names what is wrong."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from distillset import evaluate, select
from distillset.data.real import RealSet
from distillset.data.spec import Spec
from distillset.data.synthetic import SyntheticSet
from distillset.data.whiten import Whitening
from distillset.errors import DivergedError, InputError
from distillset.evaluation import Protocol
from distillset.keys import Key
from distillset.methods import DC, DM, MTT, Inputs, Leaves, Method, Piece, Task, setting
from distillset.sources.load import Data
from distillset.store import write_tensors
from tests import toys
from tests.runs import Counter, Counting, distil, last_checkpoint

METHODS: list[Any] = [
    DM(batch_real=6),
    DC(batch_real=6, outer=2, inner=1),
    MTT(expert_count=1, max_start=1, expert_epochs=1, syn_steps=2),
]
SMALL: dict[str, Any] = {"ipc": 1, "steps": 2}


def a_set(images: Tensor, labels: list[int], name: str = "limits") -> Data:
    real = RealSet.from_arrays(images, torch.tensor(labels), name=name)
    return Data(real, real, name)


def noise(count: int, shape: tuple[int, int, int] = (3, 8, 8)) -> Tensor:
    return torch.randint(0, 256, (count, *shape), generator=torch.Generator().manual_seed(3)).to(torch.uint8)


# --- NaN and infinity ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_in_data(value: float) -> None:
    images = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    images[2, 1, 3, 3] = value
    with pytest.raises(InputError, match="row 2 has a pixel of"):
        RealSet.from_arrays(images, torch.tensor([0, 1, 0, 1]))


class Wrong(Counting):
    """A loss or gradient of the second episode that is not finite."""

    where: str = setting("loss", "what is wrong", choices=("loss", "gradient"))
    value: str = setting("nan", "its value")

    def prepare(self, task: Task) -> "Wronger":
        return Wronger(self, task)


class Wronger(Counter):
    """`Wrong` at work."""

    turns = 1
    blocks = range(1)

    def __init__(self, method: Wrong, task: Task) -> None:
        super().__init__(method, task)
        self.method = method

    def inputs(self, step: int, key: Key) -> Inputs:
        return {"wrong": torch.tensor(float(self.method.value) if step == 1 else 0.0)}

    def draw(self, inputs: Inputs) -> Tensor:
        return inputs["wrong"]

    def term(self, leaves: Leaves, state: Any, numbers: Any, block: Any) -> Piece:
        loss, gradient = (numbers if self.method.where == where else torch.zeros(()) for where in ("loss", "gradient"))
        images = (slice(0, 1), gradient.expand_as(leaves["images"][:1]))
        return Piece(loss, {"images": images, "rates": (slice(0, 1), torch.zeros(1))})


@pytest.mark.parametrize("value", ["nan", "inf"])
@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_in_a_loss_or_a_gradient(tmp_path: Path, value: str, where: str) -> None:
    what = (
        f"the loss is {value}" if where == "loss" else r"the gradient of images is not finite, though the loss is \(0\)"
    )
    told = f"diverged at step 2: {what}; the last good state is kept; try a smaller `lr`"
    with pytest.raises(DivergedError, match=told) as ended:
        distil(tmp_path / "run", method=Wrong(where=where, value=value), init="noise", checkpoint_seconds=0)
    assert ended.value.exit_code == 3
    assert all(bool(torch.isfinite(tensor).all()) for tensor in last_checkpoint(tmp_path / "run").values())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0, -0.1])
def test_in_a_learned_rate(tmp_path: Path, value: float) -> None:
    with pytest.raises(InputError, match=f"^lr={value}: must be a finite number above 0"):
        dataclasses.replace(distil(**SMALL), lr=value)
    folder = distil(tmp_path / "run", **SMALL)
    tensors = {**folder.tensors(), "lr": torch.tensor(value)}
    write_tensors(tmp_path / "run" / "synthetic.safetensors", tensors)
    with pytest.raises(InputError, match="must be a finite number above 0"):
        SyntheticSet.load(tmp_path / "run")


def test_a_rate_that_explodes_ends_the_matching(tmp_path: Path) -> None:
    method = dataclasses.replace(METHODS[2], lr_start=1e30)
    with pytest.raises((DivergedError, InputError)) as ended:
        distil(tmp_path / "run", method=method, steps=60)
    assert "lr" in str(ended.value)


# --- constant, identical, few ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
@pytest.mark.parametrize("value", [0, 77, 255])
def test_constant_images(method: Method, value: int) -> None:
    """Their deviation is 0: they normalise to 0, and what is learned from them is finite."""
    data = a_set(torch.full((6, 3, 8, 8), value, dtype=torch.uint8), [0, 1, 2] * 2)
    assert data.train.spec.std == (1.0, 1.0, 1.0)
    made = distil(data=data, method=method, **SMALL)
    assert bool(torch.isfinite(made.images).all())


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_all_images_are_the_same(method: Any) -> None:
    """Real and synthetic images are equal: DM has nothing to move."""
    data = a_set(noise(1).repeat(6, 1, 1, 1), [0, 1, 2] * 2)
    made = distil(data=data, method=method, **SMALL)
    assert bool(torch.isfinite(made.images).all())
    if method.name == "dm":
        plain = dataclasses.replace(method, augment="none")
        still = distil(data=data, method=plain, **SMALL)
        only = data.train.draw(0, 1, Key(0)("any"))
        torch.testing.assert_close(still.images, only.repeat(3, 1, 1, 1), atol=1e-5, rtol=0)


def test_identical_images_can_be_whitened() -> None:
    """No variance at all: the whitening is the same scale for every pixel, 1 / sqrt(eps)."""
    pixels = noise(1).repeat(5, 1, 1, 1)
    whitening = Whitening.fit(pixels)
    torch.testing.assert_close(whitening.matrix, torch.eye(192) / 0.1**0.5, atol=1e-5, rtol=0)
    assert torch.equal(whitening.pictures(whitening.apply(pixels)), pixels)


@pytest.mark.parametrize("selector", ["random", "herding", "k-center", "forgetting", "kmeans"])
def test_selectors_on_identical_images(selector: str, tmp_path: Path) -> None:
    data = a_set(noise(1).repeat(6, 1, 1, 1), [0, 1, 2] * 2)
    made = select(data, selector, 2, network=toys.NETWORK, epochs=1, cache=tmp_path, machine=toys.EAGER)
    assert made.labels.tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_a_class_of_one_image_and_more_wanted_than_there_are(method: Method) -> None:
    """Images of a class that is too small start as repetitions."""
    data = a_set(noise(8), [0, 1, 1, 1, 1, 2, 2, 2])
    made = distil(data=data, method=method, ipc=4, steps=1)
    assert made.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert bool(torch.isfinite(made.images).all())


@pytest.mark.parametrize("selector", ["random", "herding", "k-center", "forgetting", "kmeans"])
def test_selectors_asked_for_more_than_a_class_has(selector: str, tmp_path: Path) -> None:
    data = a_set(noise(5), [0, 1, 1, 1, 1])
    few: dict[str, Any] = {"network": toys.NETWORK, "epochs": 1, "cache": tmp_path, "machine": toys.EAGER}
    made = select(data, selector, 3, **few)
    assert torch.bincount(made.classes).tolist() == [3, 3]
    assert torch.equal(made.images[0], made.images[2]), "the only one, again"


# --- counts and sizes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_two_classes(method: Method) -> None:
    made = distil(data=toys.toy_data((6, 5)), method=method, **SMALL)
    assert made.labels.tolist() == [0, 1]


def test_a_thousand_classes(tmp_path: Path) -> None:
    data = a_set(noise(2000, (1, 8, 8)), list(range(1000)) * 2)
    made = distil(tmp_path / "run", data=data, method=DM(batch_real=2), ipc=1, steps=1, snapshots=0)
    assert made.labels.tolist() == list(range(1000))
    assert bool(torch.isfinite(made.images).all())
    (row,) = evaluate(
        made, data, networks=(toys.NETWORK,), repeats=1, protocol=Protocol(epochs=0), beside=(), machine=toys.EAGER
    )
    assert 0 <= row.mean <= 1


def one_class() -> object:
    return RealSet.from_arrays(noise(4), torch.zeros(4, dtype=torch.int64))


def no_image() -> object:
    return RealSet.from_arrays(noise(4)[:0], torch.zeros(0, dtype=torch.int64))


def an_empty_class() -> object:
    return RealSet.from_arrays(noise(4), torch.tensor([0, 2, 0, 2]))


@pytest.mark.parametrize(
    ("make", "told"), [(one_class, "at least two"), (no_image, "the set is empty"), (an_empty_class, "class 1|1 never")]
)
def test_too_few_are_named(make: Callable[[], object], told: str) -> None:
    with pytest.raises(InputError, match=told):
        make()


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 1), (3, 3, 500), (3, 500, 3)])
def test_images_of_odd_sizes(method: Method, shape: tuple[int, int, int], tmp_path: Path) -> None:
    """A network of one block halves 1x1 to nothing: that is named; an MLP takes any size."""
    channels, height, width = shape
    spec = Spec("odd", channels, height, width, ("a", "b"), (0.5,) * channels, (0.25,) * channels)
    real = RealSet(noise(8, shape), torch.tensor([0, 1] * 4), spec)
    data = Data(real, real, "odd")
    made = distil(tmp_path / "mlp", data=data, method=method, network="mlp", **SMALL)
    assert tuple(made.images.shape) == (2, *shape)
    assert bool(torch.isfinite(made.images).all())
    assert SyntheticSet.load(tmp_path / "mlp").fingerprint() == made.fingerprint()
    if min(height, width) < 2:
        with pytest.raises(InputError, match=f"(?i){toys.NETWORK}|{height}x{width}"):
            distil(data=data, method=method, **SMALL)
    else:
        assert bool(torch.isfinite(distil(data=data, method=method, **SMALL).images).all())


def test_pixels_that_no_picture_can_hold_are_clipped_in_pictures_alone() -> None:
    spec = Spec("wide", 1, 2, 2, ("a", "b"), (0.5,), (0.25,))
    images = torch.tensor([[-1e6, 1e6], [1e6, -1e6]]).view(1, 1, 2, 2).repeat(2, 1, 1, 1)
    made = SyntheticSet(images, torch.tensor([0, 1]), spec)
    assert made.pixels[0].flatten().tolist() == [0, 255, 255, 0]
    assert float(made.images.max()) == 1e6
