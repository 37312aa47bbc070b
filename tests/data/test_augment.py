"""The augmentation against a per-pixel float64 oracle, finite differences, and the ranges that the papers give."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from distillset.data.augment import OPERATIONS, Augmentation, Draw, default_strategy
from distillset.errors import InputError
from distillset.keys import Key
from tests.oracles import augment_oracle as oracle

FULL = "color_crop_cutout_flip_scale_rotate"
NAMES = FULL.split("_")
SHAPES = [(1, 8, 8), (3, 9, 14), (4, 7, 5), (3, 16, 16), (1, 6, 1), (3, 1, 5), (1, 1, 1)]
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-4, torch.bfloat16: 0.1, torch.float16: 0.02}


def images_of(n: int, shape: tuple[int, int, int], seed: int = 0) -> Tensor:
    """Normal float64 images, away from zero mean so that a zero filled in is seen."""
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.7


def expected(draw: Draw, images: Tensor) -> Tensor:
    """The oracle's answer, image by image."""
    rows = draw.parameters.tolist()
    rows = rows * len(images) if draw.count is None else rows
    results = []
    for image, row in zip(images.double().numpy(), rows, strict=True):
        match draw.operation:
            case "color":
                results.append(oracle.color(image, row[0] + 0.5, row[1] / 2, row[2] - 0.5))
            case "crop":
                results.append(oracle.crop(image, int(row[0]), int(row[1])))
            case "cutout":
                results.append(oracle.cutout(image, int(row[0]), int(row[1])))
            case "flip":
                results.append(oracle.flip(image, row[0] == 1))
            case "scale":
                results.append(oracle.scale(image, row[0], row[1]))
            case "rotate":
                results.append(oracle.rotate(image, row[0]))
    return torch.from_numpy(np.stack(results))


def one(operation: str, *parameters: float, shape: tuple[int, int, int]) -> Draw:
    """A shared draw with parameters of one's own."""
    return Draw(operation, torch.tensor([parameters], dtype=torch.float64), shape)


# --- each operation against its oracle -------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_each_operation_equals_the_oracle(name: str, shape: tuple[int, int, int]) -> None:
    images = images_of(3, shape)
    for count in (None, 3):
        for seed in range(3):
            draw = Augmentation((name,)).draw(Key(seed), shape, count)
            torch.testing.assert_close(draw.apply(images), expected(draw, images), rtol=0, atol=1e-12)


@settings(deadline=None, max_examples=120, derandomize=True)
@given(
    name=st.sampled_from(NAMES),
    shape=st.tuples(st.integers(1, 4), st.integers(1, 10), st.integers(1, 10)),
    n=st.integers(1, 3),
    per_image=st.booleans(),
    dtype=st.sampled_from(sorted(TOLERANCE, key=str)),
    seed=st.integers(0, 2**40),
)
def test_any_shape_and_type(
    name: str, shape: tuple[int, int, int], n: int, per_image: bool, dtype: torch.dtype, seed: int
) -> None:
    images = images_of(n, shape, seed).to(dtype)
    before = images.clone()
    draw = Augmentation((name,)).draw(Key(seed), shape, n if per_image else None)
    result = draw.apply(images)
    assert result.shape == images.shape
    assert result.dtype == dtype
    assert torch.equal(images, before)
    torch.testing.assert_close(result.double(), expected(draw, images), rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("size", [8, 9])
def test_scale_and_rotate_are_torch_1_2_affine_grids_on_square_images(size: int) -> None:
    # What the published code computes: its affine matrix, under the align_corners=True that torch 1.2 implied.
    shape = (3, size, size)
    images = images_of(2, shape)
    a, (rows, columns) = 0.21, (0.9, 1.17)
    matrices = {
        "rotate": [[math.cos(a), -math.sin(a), 0.0], [math.sin(a), math.cos(a), 0.0]],
        "scale": [[columns, 0.0, 0.0], [0.0, rows, 0.0]],
    }
    for draw in (one("rotate", a, shape=shape), one("scale", rows, columns, shape=shape)):
        theta = torch.tensor(matrices[str(draw.operation)], dtype=torch.float64).expand(2, 2, 3)
        grid = F.affine_grid(theta, [2, *shape], align_corners=True)
        published = F.grid_sample(images, grid, padding_mode="zeros", align_corners=True)
        torch.testing.assert_close(draw.apply(images), published, rtol=0, atol=1e-12)


# --- answers known by hand -------------------------------------------------------------------------------------------


def test_color_by_hand() -> None:
    # u = 0.9, 0.25, 0.75 on pixels (1, 3) and (2, 6) of two channels: + 0.4 gives (1.4, 3.4), (2.4, 6.4); halfway to
    # the pixel means 1.9 and 4.9 gives (1.65, 4.15), (2.15, 5.65); 1.25 times as far from the image's mean 3.4.
    images = torch.tensor([[[[1.0, 3.0]], [[2.0, 6.0]]]], dtype=torch.float64)
    result = one("color", 0.4, 0.5, 1.25, shape=(2, 1, 2)).apply(images)
    by_hand = [[[[1.2125, 4.3375]], [[1.8375, 6.2125]]]]
    torch.testing.assert_close(result, torch.tensor(by_hand, dtype=torch.float64), rtol=0, atol=1e-12)


def test_a_quarter_turn_is_rot90() -> None:
    shape = (2, 5, 5)
    images = images_of(2, shape)
    # The sampling grid turns from right to down, so the content turns the other way.
    turned = one("rotate", math.pi / 2, shape=shape).apply(images)
    torch.testing.assert_close(turned, torch.rot90(images, 1, (2, 3)), rtol=0, atol=1e-12)


def test_rotating_a_non_square_image_does_not_shear_it() -> None:
    # Half of a wide image, turned by 90 degrees, stands upright: distances in pixels are kept.
    shape = (1, 5, 9)
    images = torch.zeros(1, *shape, dtype=torch.float64)
    images[0, 0, 2, 2:7] = 1.0
    turned = one("rotate", math.pi / 2, shape=shape).apply(images)
    upright = torch.zeros_like(images)
    upright[0, 0, :, 4] = 1.0
    torch.testing.assert_close(turned, upright, rtol=0, atol=1e-12)


def test_a_scale_above_one_shrinks_the_content_per_axis() -> None:
    images = torch.arange(1.0, 6.0, dtype=torch.float64).expand(1, 1, 5, 5).clone()
    # Positions 2(j - 2) + 2 = -2, 0, 2, 4, 6: every second column, zeros outside; rows stay.
    result = one("scale", 1.0, 2.0, shape=(1, 5, 5)).apply(images)
    row = torch.tensor([0.0, 1.0, 3.0, 5.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(result, row.expand(1, 1, 5, 5), rtol=0, atol=1e-12)
    result = one("scale", 2.0, 1.0, shape=(1, 5, 5)).apply(images)
    column = torch.tensor([0.0, 3.0, 3.0, 3.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(result[0, 0, :, 2], column, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("color", (0, 1, 1)), ("crop", (0, 0)), ("flip", (0,)), ("scale", (1, 1)), ("rotate", (0,))],
)
@pytest.mark.parametrize("count", [1, 3])
def test_neutral_parameters_change_nothing(name: str, parameters: tuple[float, ...], count: int) -> None:
    images = images_of(count, (3, 7, 10))
    draw = Draw(name, torch.tensor([parameters] * count, dtype=torch.float64), (3, 7, 10), count)
    torch.testing.assert_close(draw.apply(images), images, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 14)], ids=str)
def test_cutout_fills_half_of_each_side_in_the_middle(shape: tuple[int, int, int]) -> None:
    height, width = shape[1:]
    erased = one("cutout", height // 2, width // 2, shape=shape).apply(torch.ones(1, *shape)) == 0
    assert int(erased.sum()) == shape[0] * math.floor(0.5 * height + 0.5) * math.floor(0.5 * width + 0.5)


def test_no_augmentation_is_the_identity() -> None:
    images = images_of(2, (3, 4, 4))
    for count in (None, 2):
        assert torch.equal(Augmentation.parse("none").draw(Key(0), (3, 4, 4), count).apply(images), images)


# --- gradients -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [None, 2])
@pytest.mark.parametrize("name", NAMES)
def test_gradients_equal_finite_differences(name: str, count: int | None) -> None:
    shape = (3, 5, 4)
    images = images_of(2, shape).requires_grad_()
    for seed in range(2):
        draw = Augmentation((name,)).draw(Key(seed), shape, count)
        assert torch.autograd.gradcheck(draw.apply, (images,))


@pytest.mark.parametrize("count", [None, 2])
@pytest.mark.parametrize("name", NAMES)
def test_functional_gradients_are_the_same(name: str, count: int | None) -> None:
    # The engine differentiates with torch.func.
    shape = (3, 8, 6)
    images = images_of(2, shape).requires_grad_()
    draw = Augmentation((name,)).draw(Key(5), shape, count)
    (gradient,) = torch.autograd.grad(draw.apply(images).square().sum(), images)
    functional = torch.func.grad(lambda x: draw.apply(x).square().sum())(images.detach())
    torch.testing.assert_close(functional, gradient)


@pytest.mark.parametrize("count", [None, 4])
@pytest.mark.parametrize("name", NAMES)
def test_expanded_and_channels_last_images(name: str, count: int | None) -> None:
    # In-place writes to an expanded tensor, and `view` on channels-last tensors, are what broke the published code.
    shape = (3, 8, 6)
    single = images_of(1, shape)
    draw = Augmentation((name,)).draw(Key(2), shape, count)
    expanded = single.expand(4, *shape)
    reference = draw.apply(expanded.clone())
    torch.testing.assert_close(draw.apply(expanded), reference)
    torch.testing.assert_close(draw.apply(expanded.clone(memory_format=torch.channels_last)), reference)
    assert torch.equal(expanded, single.expand(4, *shape))


# --- one draw, many batches ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_shared_draw_treats_all_images_of_all_batches_alike(name: str) -> None:
    shape = (3, 8, 11)
    real, synthetic = images_of(5, shape, 1), images_of(2, shape, 2)
    for seed in range(3):
        draw = Augmentation((name,)).draw(Key(seed), shape)
        together = draw.apply(torch.cat((real, synthetic)))
        torch.testing.assert_close(torch.cat((draw.apply(real), draw.apply(synthetic))), together, rtol=0, atol=1e-12)
        alone = torch.cat([draw.apply(image[None]) for image in (*real, *synthetic)])
        torch.testing.assert_close(alone, together, rtol=0, atol=1e-12)
        per_image = Draw(name, draw.parameters.expand(7, -1), shape, 7)
        torch.testing.assert_close(per_image.apply(torch.cat((real, synthetic))), together, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_a_draw_per_image_treats_images_apart(name: str) -> None:
    shape = (3, 8, 11)
    images = images_of(1, shape).expand(12, *shape)
    draw = Augmentation((name,)).draw(Key(0), shape, 12)
    result = draw.apply(images)
    parameters = {tuple(row) for row in draw.parameters.tolist()}
    assert len(parameters) >= 2
    assert len({tuple(image.flatten().tolist()) for image in result}) == len(parameters)
    alone = [Draw(name, p[None], shape).apply(image[None]) for p, image in zip(draw.parameters, images, strict=True)]
    torch.testing.assert_close(result, torch.cat(alone), rtol=0, atol=1e-12)


@pytest.mark.parametrize("count", [None, 4])
@pytest.mark.parametrize("name", NAMES)
def test_apply_reads_nothing_back_from_the_device(name: str, count: int | None) -> None:
    # A meta tensor has no values: any .item() or branch on the images' device would fail.
    draw = Augmentation((name,)).draw(Key(0), (3, 8, 6), count)
    result = draw.apply(torch.zeros(4, 3, 8, 6, device="meta"))
    assert result.device.type == "meta"
    assert result.shape == (4, 3, 8, 6)


# --- what is drawn ---------------------------------------------------------------------------------------------------

N = 4000


def parameters_of(name: str, shape: tuple[int, int, int] = (3, 32, 20)) -> Tensor:
    return Augmentation((name,)).draw(Key(11), shape, N).parameters


@pytest.mark.parametrize(
    ("name", "ranges"),
    [
        ("color", [(-0.5, 0.5), (0.0, 2.0), (0.5, 1.5)]),
        ("scale", [(1 / 1.2, 1.2), (1 / 1.2, 1.2)]),
        ("rotate", [(-15 / 180 * math.pi, 15 / 180 * math.pi)]),
    ],
)
def test_continuous_parameters_are_uniform_in_their_ranges(name: str, ranges: list[tuple[float, float]]) -> None:
    drawn = parameters_of(name)
    assert drawn.shape == (N, len(ranges))
    for column, (low, high) in zip(drawn.T, ranges, strict=True):
        assert low <= float(column.min()) <= float(column.max()) <= high
        # Kolmogorov-Smirnov: the largest gap to the uniform distribution is below 1.95/sqrt(N) in 999 of 1000 samples.
        cumulative = (column.sort().values - low) / (high - low)
        gap = (cumulative - torch.arange(1, N + 1) / N).abs().max()
        assert float(gap) < 1.95 / math.sqrt(N)


@pytest.mark.parametrize(
    ("name", "shape", "ranges"),
    [
        ("crop", (3, 32, 20), [(-4, 4), (-3, 3)]),  # floor(4 + 0.5), floor(2.5 + 0.5)
        ("crop", (1, 28, 3), [(-4, 4), (0, 0)]),  # floor(3.5 + 0.5), floor(0.375 + 0.5)
        ("cutout", (3, 32, 20), [(0, 32), (0, 20)]),  # even boxes, 16 and 10: the 33 and 21 corners between pixels
        ("cutout", (1, 9, 10), [(0, 8), (0, 9)]),  # odd boxes, 5 and 5: the 9 and 10 pixels
        ("flip", (3, 32, 20), [(0, 1)]),
    ],
)
def test_discrete_parameters_are_uniform_in_their_ranges(
    name: str, shape: tuple[int, int, int], ranges: list[tuple[int, int]]
) -> None:
    for column, (low, high) in zip(parameters_of(name, shape).T, ranges, strict=True):
        values = high - low + 1
        counts = torch.bincount((column - low).long(), minlength=values)
        assert torch.equal(column, column.round())
        assert len(counts) == values
        assert float((counts - N / values).abs().max()) < 4.5 * math.sqrt(N / values)


@pytest.mark.parametrize("name", ["color", "crop", "cutout", "scale"])
def test_parameters_are_independent_of_each_other(name: str) -> None:
    correlation = torch.corrcoef(parameters_of(name).T)
    off_diagonal = correlation - torch.eye(len(correlation))
    assert float(off_diagonal.abs().max()) < 4 / math.sqrt(N)


def test_shared_draws_take_every_operation_equally_often_and_half_of_the_flips() -> None:
    augmentation, draws = Augmentation.parse(FULL), 1800
    drawn = [augmentation.draw(Key(3)("augment", i), (1, 8, 8)) for i in range(draws)]
    for name in NAMES:
        share = sum(draw.operation == name for draw in drawn)
        assert abs(share - draws / 6) < 4 * math.sqrt(draws * 5 / 36)
    flips = [float(draw.parameters) for draw in drawn if draw.operation == "flip"]
    assert abs(sum(flips) - len(flips) / 2) < 4 * math.sqrt(len(flips) / 4)


def test_a_draw_per_image_takes_one_operation_for_the_batch() -> None:
    augmentation = Augmentation.parse("flip_rotate")
    for i in range(10):
        shared, single = augmentation.draw(Key(i), (1, 8, 8)), augmentation.draw(Key(i), (1, 8, 8), 6)
        assert single.parameters.shape == (6, 1)
        assert shared.parameters.shape == (1, 1)
        assert single.operation == shared.operation


@pytest.mark.parametrize("count", [None, 5])
def test_the_same_key_gives_the_same_draw_whatever_the_global_state(count: int | None) -> None:
    augmentation = Augmentation.parse(FULL)
    state = torch.random.get_rng_state()
    draws = []
    for _ in range(2):
        torch.rand(3)
        before = torch.random.get_rng_state()
        draws.append([augmentation.draw(Key(1)("a", i), (3, 8, 8), count) for i in range(20)])
        assert torch.equal(torch.random.get_rng_state(), before)
    torch.random.set_rng_state(state)
    for first, second in zip(*draws, strict=True):
        assert first.operation == second.operation
        assert torch.equal(first.parameters, second.parameters)
    assert len({tuple(draw.parameters.flatten().tolist()) for draw in draws[0]}) > 15


# --- strategies ------------------------------------------------------------------------------------------------------


def test_the_default_strategy_has_no_flip_for_digits() -> None:
    assert default_strategy(flip=True) == FULL
    assert default_strategy(flip=False) == "color_crop_cutout_scale_rotate"
    assert list(OPERATIONS) == NAMES


@settings(deadline=None, max_examples=30, derandomize=True)
@given(st.lists(st.sampled_from(NAMES), unique=True))
def test_a_strategy_is_read_as_it_is_written(names: list[str]) -> None:
    augmentation = Augmentation(tuple(names))
    assert Augmentation.parse(str(augmentation)) == augmentation
    assert augmentation.strategy == tuple(names)


@pytest.mark.parametrize("text", ["color_blur", "", "Color", "color_", "none_color", "noise"])
def test_an_unknown_operation_is_named_with_the_allowed_ones(text: str) -> None:
    unknown = next(name for name in text.split("_") if name not in NAMES)
    with pytest.raises(InputError) as error:
        Augmentation.parse(text)
    assert repr(unknown) in str(error.value)
    assert "color, crop, cutout, flip, scale, rotate" in str(error.value)
    assert "none" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_repeated_operation_is_refused() -> None:
    with pytest.raises(InputError, match="'crop' is given more than once"):
        Augmentation.parse("crop_flip_crop")


def test_a_draw_refuses_what_it_was_not_made_for() -> None:
    augmentation = Augmentation.parse("crop")
    draw = augmentation.draw(Key(0), (3, 8, 8), 4)
    with pytest.raises(InputError, match="images: shape"):
        draw.apply(torch.zeros(4, 3, 8, 9))
    with pytest.raises(InputError, match="images: shape"):
        draw.apply(torch.zeros(3, 8, 8))
    with pytest.raises(InputError, match=r"images: 5 .* 4"):
        draw.apply(torch.zeros(5, 3, 8, 8))
    with pytest.raises(InputError, match="uint8"):
        draw.apply(torch.zeros(4, 3, 8, 8, dtype=torch.uint8))
    with pytest.raises(InputError, match="count: 0"):
        augmentation.draw(Key(0), (3, 8, 8), 0)
    with pytest.raises(InputError, match="shape"):
        augmentation.draw(Key(0), (3, 0, 8))


def test_draws_and_strategies_are_frozen() -> None:
    augmentation = Augmentation.parse("crop")
    with pytest.raises(dataclasses.FrozenInstanceError):
        augmentation.strategy = ()  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        augmentation.draw(Key(0), (3, 8, 8)).operation = "flip"  # type: ignore[misc]
