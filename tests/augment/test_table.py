"""The augmentation against a per-pixel float64 oracle, on each of its ways."""

import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from distillset.augment import Augmentation, Table, augment
from distillset.augment.operations import COLUMNS, GRID, NEUTRAL
from distillset.errors import InputError
from tests.augment.parameters import FULL, NAMES
from tests.augment.tables import SHAPES, TOLERANCE, WAYS, expected, images_of, one, words_of

# --- each operation against its oracle -------------------------------------------------------------------------------


@WAYS
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_each_operation_equals_the_oracle(name: str, shape: tuple[int, int, int], on_host: bool) -> None:
    images = images_of(3, shape)
    for words, count in ((words_of(1), None), (words_of(3), None), (words_of(1), 3)):
        table = Augmentation((name,)).draw(words, shape, count, on_host)
        assert (table.kinds is not None) == on_host
        torch.testing.assert_close(table.apply(images), expected(table, images), rtol=0, atol=1e-12)


@settings(deadline=None, max_examples=120, derandomize=True)
@given(
    strategy=st.lists(st.sampled_from(NAMES), min_size=1, max_size=6, unique=True),
    shape=st.tuples(st.integers(1, 4), st.integers(1, 10), st.integers(1, 10)),
    n=st.integers(1, 4),
    each=st.sampled_from(["image", "batch", "row"]),
    on_host=st.booleans(),
    dtype=st.sampled_from(sorted(TOLERANCE, key=str)),
    seed=st.integers(0, 2**40),
)
def test_any_mixture_shape_and_type(
    strategy: list[str],
    shape: tuple[int, int, int],
    n: int,
    each: str,
    on_host: bool,
    dtype: torch.dtype,
    seed: int,
) -> None:
    images = images_of(n, shape, seed).to(dtype)
    before = images.clone()
    streams, count = {"image": (n, None), "batch": (1, n), "row": (1, None)}[each]
    table = Augmentation(tuple(strategy)).draw(words_of(streams, seed), shape, count, on_host)
    result = table.apply(images)
    assert result.shape == images.shape
    assert result.dtype == dtype
    assert torch.equal(images, before)
    torch.testing.assert_close(result.double(), expected(table, images), rtol=0, atol=TOLERANCE[dtype])


def test_a_batch_of_every_operation_equals_its_images_one_by_one() -> None:
    shape = (3, 9, 8)
    table = Augmentation.parse(FULL).draw(words_of(60), shape, on_host=True)
    assert table.kinds is not None
    assert set(table.kinds) == set(NAMES)
    images = images_of(60, shape)
    alone = torch.cat([table[i].apply(images[i : i + 1]) for i in range(60)])
    torch.testing.assert_close(alone, expected(table, images), rtol=0, atol=1e-12)
    torch.testing.assert_close(table.apply(images), alone, rtol=0, atol=1e-12)
    torch.testing.assert_close(augment(images, table.numbers), alone, rtol=0, atol=1e-12)
    single = torch.cat([augment(images[i : i + 1], table.numbers[i : i + 1]) for i in range(60)])
    torch.testing.assert_close(single, alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(3, 28, 28), (3, 9, 14), (1, 32, 32)], ids=str)
def test_neutral_numbers_shifts_and_flips_are_exact(shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    images = images_of(2, shape).to(dtype)
    assert torch.equal(augment(images, torch.tensor([list(NEUTRAL.values())])), images)
    shifted = augment(images, Table.of("crop", (2, -3), shape).numbers)
    assert torch.equal(shifted, F.pad(images, (3, -3, -2, 2)))
    assert torch.equal(augment(images, Table.of("flip", (1,), shape).numbers), images.flip(-1))
    cut = augment(images, Table.of("cutout", (3, 4), shape).numbers)
    assert torch.equal(cut, Table.of("cutout", (3, 4), shape).apply(images))


@WAYS
@pytest.mark.parametrize("size", [8, 9])
def test_scale_and_rotate_are_torch_1_2_affine_grids_on_square_images(size: int, on_host: bool) -> None:
    # What the published code computes: its affine matrix, under the align_corners=True that torch 1.2 implied.
    shape = (3, size, size)
    images = images_of(2, shape)
    a, (rows, columns) = 0.21, (0.9, 1.17)
    matrices = {
        "rotate": [[math.cos(a), -math.sin(a), 0.0], [math.sin(a), math.cos(a), 0.0]],
        "scale": [[columns, 0.0, 0.0], [0.0, rows, 0.0]],
    }
    for table in (
        one("rotate", a, shape=shape, on_host=on_host),
        one("scale", rows, columns, shape=shape, on_host=on_host),
    ):
        theta = torch.tensor(matrices[table.strategy[0]], dtype=torch.float64).expand(2, 2, 3)
        grid = F.affine_grid(theta, [2, *shape], align_corners=True)
        published = F.grid_sample(images, grid, padding_mode="zeros", align_corners=True)
        torch.testing.assert_close(table.apply(images), published, rtol=0, atol=1e-12)


# --- answers known by hand -------------------------------------------------------------------------------------------


@WAYS
def test_color_by_hand(on_host: bool) -> None:
    # u = 0.9, 0.25, 0.75 on pixels (1, 3) and (2, 6) of two channels: + 0.4 gives (1.4, 3.4), (2.4, 6.4); halfway to
    # the pixel means 1.9 and 4.9 gives (1.65, 4.15), (2.15, 5.65); 1.25 times as far from the image's mean 3.4.
    images = torch.tensor([[[[1.0, 3.0]], [[2.0, 6.0]]]], dtype=torch.float64)
    result = one("color", 0.4, 0.5, 1.25, shape=(2, 1, 2), on_host=on_host).apply(images)
    by_hand = [[[[1.2125, 4.3375]], [[1.8375, 6.2125]]]]
    torch.testing.assert_close(result, torch.tensor(by_hand, dtype=torch.float64), rtol=0, atol=1e-12)


@WAYS
def test_a_quarter_turn_is_rot90(on_host: bool) -> None:
    shape = (2, 5, 5)
    images = images_of(2, shape)
    # The sampling grid turns from right to down, so the content turns the other way.
    turned = one("rotate", math.pi / 2, shape=shape, on_host=on_host).apply(images)
    torch.testing.assert_close(turned, torch.rot90(images, 1, (2, 3)), rtol=0, atol=1e-12)


@WAYS
def test_rotating_a_non_square_image_does_not_shear_it(on_host: bool) -> None:
    # Half of a wide image, turned by 90 degrees, stands upright: distances in pixels are kept.
    shape = (1, 5, 9)
    images = torch.zeros(1, *shape, dtype=torch.float64)
    images[0, 0, 2, 2:7] = 1.0
    turned = one("rotate", math.pi / 2, shape=shape, on_host=on_host).apply(images)
    upright = torch.zeros_like(images)
    upright[0, 0, :, 4] = 1.0
    torch.testing.assert_close(turned, upright, rtol=0, atol=1e-12)


@WAYS
def test_a_scale_above_one_shrinks_the_content_per_axis(on_host: bool) -> None:
    images = torch.arange(1.0, 6.0, dtype=torch.float64).expand(1, 1, 5, 5).clone()
    # Positions 2(j - 2) + 2 = -2, 0, 2, 4, 6: every second column, zeros outside; rows stay.
    result = one("scale", 1.0, 2.0, shape=(1, 5, 5), on_host=on_host).apply(images)
    row = torch.tensor([0.0, 1.0, 3.0, 5.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(result, row.expand(1, 1, 5, 5), rtol=0, atol=1e-12)
    result = one("scale", 2.0, 1.0, shape=(1, 5, 5), on_host=on_host).apply(images)
    column = torch.tensor([0.0, 3.0, 3.0, 3.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(result[0, 0, :, 2], column, rtol=0, atol=1e-12)


@WAYS
@pytest.mark.parametrize(
    ("name", "values"),
    [("color", (0, 1, 1)), ("crop", (0, 0)), ("flip", (0,)), ("scale", (1, 1)), ("rotate", (0,))],
)
@pytest.mark.parametrize("count", [1, 3])
def test_neutral_parameters_change_nothing(name: str, values: tuple[float, ...], count: int, on_host: bool) -> None:
    images = images_of(count, (3, 7, 10))
    table = one(name, *values, shape=(3, 7, 10), on_host=on_host).repeat(count)
    torch.testing.assert_close(table.apply(images), images, rtol=0, atol=1e-12)


@WAYS
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 14)], ids=str)
def test_cutout_fills_half_of_each_side_in_the_middle(shape: tuple[int, int, int], on_host: bool) -> None:
    height, width = shape[1:]
    table = one("cutout", height // 2, width // 2, shape=shape, on_host=on_host)
    erased = table.apply(torch.ones(1, *shape)) == 0
    assert int(erased.sum()) == shape[0] * math.floor(0.5 * height + 0.5) * math.floor(0.5 * width + 0.5)


def test_no_augmentation_is_the_identity() -> None:
    images = images_of(2, (3, 4, 4))
    for words, count in ((words_of(1), None), (words_of(2), None), (words_of(1), 2)):
        table = Augmentation.parse("none").draw(words, (3, 4, 4), count)
        assert torch.equal(table.apply(images), images)
        assert torch.equal(augment(images, table.numbers), images)


# --- one draw, many batches ------------------------------------------------------------------------------------------


@WAYS
def test_rows_of_classes_serve_real_and_synthetic_images_alike(on_host: bool) -> None:
    shape = (3, 8, 11)
    real, synthetic = images_of(30, shape, 1), images_of(12, shape, 2)
    table = Augmentation.parse(FULL).draw(words_of(6), shape, on_host=on_host)
    for images in (real, synthetic):
        each = len(images) // 6
        by_class = torch.cat([table[c].apply(part) for c, part in enumerate(images.split(each))])
        torch.testing.assert_close(table.repeat(each).apply(images), by_class, rtol=0, atol=1e-12)
        rows = torch.arange(6).repeat_interleave(each)
        torch.testing.assert_close(table[rows].apply(images), by_class, rtol=0, atol=1e-12)
    assert torch.equal(table[-1].numbers, table.numbers[5:])


@pytest.mark.parametrize("name", NAMES)
def test_images_of_a_batch_are_treated_apart(name: str) -> None:
    shape = (3, 8, 11)
    images = images_of(1, shape).expand(12, *shape)
    table = Augmentation((name,)).draw(words_of(1), shape, 12)
    result = table.apply(images)
    rows = {tuple(row) for row in table.numbers.tolist()}
    assert len(rows) >= 2
    assert len({tuple(image.flatten().tolist()) for image in result}) == len(rows)


def test_a_table_refuses_what_it_was_not_drawn_for() -> None:
    table = Augmentation.parse("crop").draw(words_of(1), (3, 8, 8), 4)
    with pytest.raises(InputError, match="images: shape"):
        table.apply(torch.zeros(4, 3, 8, 9))
    with pytest.raises(InputError, match="images: shape"):
        table.apply(torch.zeros(3, 8, 8))
    with pytest.raises(InputError, match=r"images: 5 .* 4"):
        table.apply(torch.zeros(5, 3, 8, 8))
    with pytest.raises(InputError, match="uint8"):
        table.apply(torch.zeros(4, 3, 8, 8, dtype=torch.uint8))
    with pytest.raises(dataclasses.FrozenInstanceError):
        table.numbers = torch.zeros(1)  # type: ignore[misc]


def test_parameters_of_ones_own_are_checked() -> None:
    for operation, values, line in (
        ("blur", (1,), "operation='blur': choose one of color, crop, cutout, flip, scale, rotate"),
        ("crop", (1,), "crop takes down, right"),
        ("scale", (1.0, 0.6), "a scale must be above 0.6667"),
    ):
        with pytest.raises(InputError, match=line):
            Table.of(operation, values, (3, 8, 8))


def test_a_table_is_a_sequence_of_rows() -> None:
    table = Augmentation.parse(FULL).draw(words_of(5), (3, 8, 8), on_host=True)
    rows = [table[i] for i in range(-5, 0)]
    assert torch.equal(torch.cat([row.numbers for row in rows]), table.numbers)
    assert [row.kinds for row in rows] == [(kind,) for kind in table.kinds or ()]
    for beyond in (5, -6):
        with pytest.raises(IndexError, match="5 rows"):
            table[beyond]


def test_no_images_are_no_images() -> None:
    nothing = torch.zeros(0, 3, 8, 8)
    for on_host in (False, True):
        table = Augmentation.parse(FULL).draw(words_of(2)[:0], (3, 8, 8), on_host=on_host)
        assert table.apply(nothing).shape == nothing.shape


@WAYS
@pytest.mark.parametrize("name", NAMES)
def test_autocast_changes_nothing(name: str, on_host: bool) -> None:
    images = images_of(4, (3, 8, 6)).float()
    table = Augmentation((name,)).draw(words_of(4), (3, 8, 6), on_host=on_host)
    with torch.autocast("cpu", torch.bfloat16):
        cast = table.apply(images)
    assert torch.equal(cast, table.apply(images))


def test_streams_in_any_layout() -> None:
    words = words_of(12)
    apart = torch.stack((words[:, 0], words[:, 1])).T  # the same, not contiguous
    shape = (3, 8, 8)
    expected = Augmentation.parse(FULL).draw(words, shape).numbers
    assert torch.equal(Augmentation.parse(FULL).draw(apart, shape).numbers, expected)
    assert torch.equal(Augmentation.parse(FULL).draw(words.view(3, 4, 2), shape).numbers, expected)


def test_the_columns_of_the_grid_come_first() -> None:
    assert COLUMNS[GRID][0] == "row_by_row"
    assert len(COLUMNS) == 13
