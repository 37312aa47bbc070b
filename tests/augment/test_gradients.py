"""Gradients of the augmentation against finite differences, on each of its ways."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distillset.augment import Augmentation, augment
from distillset.augment.sampling import sample, spread
from tests.augment.parameters import FULL, NAMES
from tests.augment.tables import WAYS, images_of, words_of


@WAYS
@pytest.mark.parametrize("name", NAMES)
def test_gradients_equal_finite_differences(name: str, on_host: bool) -> None:
    shape = (3, 5, 4)
    images = images_of(2, shape).requires_grad_()
    for words in (words_of(1), words_of(2)):
        table = Augmentation((name,)).draw(words, shape, on_host=on_host)
        assert torch.autograd.gradcheck(table.apply, (images,))
        if not on_host:  # grid_sample has no second derivative
            assert torch.autograd.gradgradcheck(table.apply, (images,), fast_mode=True)


def test_the_gradient_of_a_mixture_is_that_of_each_image() -> None:
    shape = (2, 6, 7)
    table = Augmentation.parse(FULL).draw(words_of(24), shape, on_host=True)
    images = images_of(24, shape).requires_grad_()
    weights = images_of(24, shape, 1)
    parts = torch.cat([table[i].apply(images[i : i + 1]) for i in range(24)])
    (alone,) = torch.autograd.grad((parts * weights).sum(), images)
    for result in (table.apply(images), augment(images, table.numbers)):
        (gradient,) = torch.autograd.grad((result * weights).sum(), images)
        torch.testing.assert_close(gradient, alone, rtol=0, atol=1e-12)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    angle=st.floats(-math.pi, math.pi),
    factors=st.tuples(st.floats(0.7, 2), st.floats(0.7, 2)),
    shifts=st.tuples(st.floats(-3, 3), st.floats(-3, 3)),
    mirrored=st.booleans(),
    turned=st.booleans(),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
)
def test_the_gradient_of_sampling_is_its_transpose(
    angle: float,
    factors: tuple[float, float],
    shifts: tuple[float, float],
    mirrored: bool,
    turned: bool,
    size: tuple[int, int],
) -> None:
    """<y, S x> = <S^T y, x> for all x and y: against the matrix of S, column by column."""
    c, s = math.cos(angle), math.sin(angle)
    side = -1.0 if mirrored else 1.0
    grid = (
        [c, s, shifts[0], -s * side, c * side, shifts[1]]
        if turned
        else [factors[0], 0.0, shifts[0], 0.0, factors[1] * side, shifts[1]]
    )
    pixels = size[0] * size[1]
    numbers = torch.tensor([grid], dtype=torch.float64)
    units = torch.eye(pixels, dtype=torch.float64).view(pixels, 1, *size)
    matrix = sample(units, numbers).view(pixels, pixels)  # row s: where pixel s goes
    torch.testing.assert_close(spread(units, numbers).view(pixels, pixels), matrix.T, rtol=0, atol=1e-12)


@WAYS
@pytest.mark.parametrize("name", NAMES)
def test_functional_gradients_are_the_same(name: str, on_host: bool) -> None:
    # The engine differentiates with torch.func.
    shape = (3, 8, 6)
    images = images_of(2, shape).requires_grad_()
    table = Augmentation((name,)).draw(words_of(2), shape, on_host=on_host)
    (gradient,) = torch.autograd.grad(table.apply(images).square().sum(), images)
    functional = torch.func.grad(lambda x: table.apply(x).square().sum())(images.detach())
    torch.testing.assert_close(functional, gradient)


def test_vmap_over_tables() -> None:
    shape = (3, 8, 6)
    images = images_of(4, shape)
    numbers = Augmentation.parse(FULL).draw(words_of(12), shape).numbers.view(3, 4, -1)
    mapped = torch.func.vmap(augment, (None, 0))(images, numbers)
    torch.testing.assert_close(mapped, torch.stack([augment(images, some) for some in numbers]))
    gradients = torch.func.vmap(torch.func.grad(lambda x, some: augment(x, some).square().sum()), (None, 0))
    one_by_one = [torch.func.grad(lambda x, some=some: augment(x, some).square().sum())(images) for some in numbers]
    torch.testing.assert_close(gradients(images, numbers), torch.stack(one_by_one))


@WAYS
@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize("name", NAMES)
def test_expanded_and_channels_last_images(name: str, rows: int, on_host: bool) -> None:
    # In-place writes to an expanded tensor, and `view` on channels-last tensors, are what broke the published code.
    shape = (3, 8, 6)
    single = images_of(1, shape)
    table = Augmentation((name,)).draw(words_of(rows), shape, on_host=on_host)
    expanded = single.expand(4, *shape)
    reference = table.apply(expanded.clone())
    torch.testing.assert_close(table.apply(expanded), reference)
    torch.testing.assert_close(table.apply(expanded.clone(memory_format=torch.channels_last)), reference)
    assert torch.equal(expanded, single.expand(4, *shape))
