"""Draws and augmentations are a fixed number of tensor operations that ask the host for nothing: counted, on a device
without values, and compiled whole.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from distillset.augment import DC_AUGMENTATIONS, Augmentation, Crop, augment
from distillset.keys import Key, fold
from tests.augment.parameters import FULL
from tests.operations import Operations

SHAPE = (3, 8, 8)
STRATEGY = Augmentation.parse(FULL)


quiet = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's own, in the modules of its compiler


def operations(function: Callable[..., object], *arguments: object) -> int:
    counted = Operations()
    with counted:
        function(*arguments)
    return counted.count


def words_of(count: int) -> Tensor:
    return fold(Key(1).words(), torch.arange(count))


def images_of(n: int) -> Tensor:
    return torch.randn(n, *SHAPE, generator=torch.Generator().manual_seed(n))


def step(words: Tensor, real: Tensor, synthetic: Tensor) -> tuple[Tensor, Tensor]:
    """What a method does: real and synthetic images of as many classes as there are words, siamese, and a gradient."""
    table = STRATEGY.draw(words, SHAPE)
    target = table.repeat(len(real) // len(words)).apply(real).mean(0)

    def loss(images: Tensor) -> Tensor:
        return (table.repeat(len(images) // len(words)).apply(images).mean(0) - target).square().sum()

    return torch.func.grad_and_value(loss)(synthetic)


def student(words: Tensor, images: Tensor) -> Tensor:
    """Batches side by side, each of one operation with parameters of its own for each image."""
    return STRATEGY.draw(words, SHAPE, len(images) // len(words)).apply(images)


def published(name: str) -> Callable[[Tensor, Tensor], Tensor]:
    def apply(words: Tensor, images: Tensor) -> Tensor:
        return DC_AUGMENTATIONS[name].draw(words, SHAPE, len(images) // len(words)).apply(images)

    return apply


def cropped(words: Tensor, canvases: Tensor) -> Tensor:
    return Crop.draw(words, len(canvases) // len(words), (4, 4), 2).apply(canvases)


ON_BATCHES = pytest.mark.parametrize(
    "function",
    [student, published("dc/crop_scale_rotate"), published("dc/crop_noise"), cropped],
    ids=["student", "dc-mnist", "dc-noise", "crop"],
)


def test_a_step_is_as_many_operations_for_many_classes_as_for_one() -> None:
    counts = [operations(step, words_of(k), images_of(k * n), images_of(k * 2)) for k, n in ((1, 4), (2, 30), (50, 2))]
    assert counts[0] <= counts[1] == counts[2] < 900  # of one class some copies are views


@ON_BATCHES
def test_a_batch_is_as_many_operations_for_many_images_as_for_one(function: Callable[..., Tensor]) -> None:
    counts = [operations(function, words_of(k), images_of(k * n)) for k, n in ((1, 4), (2, 2), (30, 4))]
    assert counts[0] <= counts[1] == counts[2]


def test_no_row_costs_more_operations_than_another() -> None:
    """Whatever was drawn, what runs is the same: a graph that was captured serves every step."""
    numbers = STRATEGY.draw(words_of(40), SHAPE).numbers
    assert len({operations(augment, images_of(1), row[None]) for row in numbers}) == 1


def test_a_step_asks_a_device_for_nothing() -> None:
    """A meta tensor has no values: any .item(), branch on numbers or copy to the host would fail."""
    words = torch.empty(5, 2, dtype=torch.int64, device="meta")
    gradient, loss = step(words, torch.empty(20, *SHAPE, device="meta"), torch.empty(10, *SHAPE, device="meta"))
    assert gradient.shape == (10, *SHAPE)
    assert (gradient.device.type, loss.device.type) == ("meta", "meta")


@ON_BATCHES
def test_a_batch_asks_a_device_for_nothing(function: Callable[..., Tensor]) -> None:
    words = torch.empty(5, 2, dtype=torch.int64, device="meta")
    assert function(words, torch.empty(20, *SHAPE, device="meta")).device.type == "meta"


def test_images_of_a_device_and_words_of_the_host() -> None:
    table = STRATEGY.draw(words_of(4), SHAPE)
    assert table.apply(torch.zeros(4, *SHAPE, device="meta")).device.type == "meta"
    assert STRATEGY.draw(words_of(4), SHAPE, on_host=True).apply(torch.zeros(4, *SHAPE, device="meta")).is_meta


@quiet
@pytest.mark.slow
def test_a_compiled_step_is_that_of_eager() -> None:
    compiled = torch.compile(step, fullgraph=True, dynamic=False)
    arguments = words_of(6), images_of(24), images_of(12)
    for seed in range(3):
        words = fold(words_of(6), seed)
        for got, expected in zip(compiled(words, *arguments[1:]), step(words, *arguments[1:]), strict=True):
            torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


@quiet
@pytest.mark.slow
@ON_BATCHES
def test_a_compiled_batch_is_that_of_eager(function: Callable[..., Tensor]) -> None:
    compiled = torch.compile(function, fullgraph=True, dynamic=False)
    images = images_of(24)
    for seed in range(3):
        words = fold(words_of(2), seed)
        torch.testing.assert_close(compiled(words, images), function(words, images), rtol=1e-4, atol=1e-5)
