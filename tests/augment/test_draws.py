"""What is drawn: the ranges that the papers give, from named streams, without the host."""

import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from distillset.augment import OPERATIONS, Augmentation, default_strategy
from distillset.augment.operations import COLUMNS, NEUTRAL
from distillset.errors import InputError
from distillset.keys import Key, fold
from tests.augment.parameters import FULL, NAMES, parameters

N = 4000
"""Bounds below are crossed by less than one sample in a thousand; the streams are fixed, so none does."""


def words_of(count: int, seed: int = 11) -> Tensor:
    return fold(Key(seed)("augment").words(), torch.arange(count))


def parameters_of(name: str, each: str, shape: tuple[int, int, int] = (3, 32, 20)) -> Tensor:
    """``[N, p]``, of images of a batch or of streams."""
    words, count = (words_of(1), N) if each == "image" else (words_of(N), None)
    table = Augmentation((name,)).draw(words, shape, count)
    return torch.tensor([parameters(name, row, shape) for row in table.numbers], dtype=torch.float64)


@pytest.mark.parametrize("each", ["image", "stream"])
@pytest.mark.parametrize(
    ("name", "ranges"),
    [
        ("color", [(-0.5, 0.5), (0.0, 2.0), (0.5, 1.5)]),
        ("scale", [(1 / 1.2, 1.2), (1 / 1.2, 1.2)]),
        ("rotate", [(-15 / 180 * math.pi, 15 / 180 * math.pi)]),
    ],
)
def test_continuous_parameters_are_uniform_in_their_ranges(
    name: str, ranges: list[tuple[float, float]], each: str
) -> None:
    drawn = parameters_of(name, each)
    assert drawn.shape == (N, len(ranges))
    for column, (low, high) in zip(drawn.T, ranges, strict=True):
        assert low <= float(column.min()) <= float(column.max()) <= high
        assert abs(float(column.mean()) - (low + high) / 2) < 3.3 * (high - low) / math.sqrt(12 * N)
        # Kolmogorov-Smirnov: the largest gap to the uniform distribution is below 1.95/sqrt(N) in 999 of 1000 samples.
        cumulative = (column.sort().values - low) / (high - low)
        gap = (cumulative - torch.arange(1, N + 1) / N).abs().max()
        assert float(gap) < 1.95 / math.sqrt(N)


@pytest.mark.parametrize("each", ["image", "stream"])
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
    name: str, shape: tuple[int, int, int], ranges: list[tuple[int, int]], each: str
) -> None:
    for column, (low, high) in zip(parameters_of(name, each, shape).T, ranges, strict=True):
        values = high - low + 1
        counts = torch.bincount((column - low).long(), minlength=values)
        assert torch.equal(column, column.round())
        assert len(counts) == values
        assert float((counts - N / values).abs().max()) < 4.5 * math.sqrt(N / values)


@pytest.mark.parametrize("name", ["color", "crop", "cutout", "scale"])
def test_parameters_are_independent_of_each_other_and_of_the_operation(name: str) -> None:
    correlation = torch.corrcoef(parameters_of(name, "image").T)
    off_diagonal = correlation - torch.eye(len(correlation))
    assert float(off_diagonal.abs().max()) < 4 / math.sqrt(N)


def test_streams_take_every_operation_equally_often_and_half_of_the_flips() -> None:
    table = Augmentation.parse(FULL).draw(words_of(N), (1, 8, 8), on_host=True)
    assert table.kinds is not None
    for name in NAMES:
        assert abs(table.kinds.count(name) - N / 6) < 4 * math.sqrt(N * 5 / 36)
    flips = table.numbers[table.operations == NAMES.index("flip"), COLUMNS.index("column_by_column")]
    assert sorted(set(flips.tolist())) == [-1, 1]
    assert abs(int((flips < 0).sum()) - len(flips) / 2) < 4 * math.sqrt(len(flips) / 4)


def test_every_row_sets_the_columns_of_its_operation_only() -> None:
    table = Augmentation.parse(FULL).draw(words_of(500), (3, 32, 20), on_host=True)
    neutral = torch.tensor(list(NEUTRAL.values()), dtype=torch.float64)
    assert table.kinds is not None
    for name in NAMES:
        rows = table.numbers[torch.tensor([kind == name for kind in table.kinds])]
        changed = {
            column for column, any_row in zip(COLUMNS, (rows != neutral).any(0).tolist(), strict=True) if any_row
        }
        assert (
            changed
            == {
                "color": {"brightness", "saturation", "contrast"},
                "crop": {"row_shift", "column_shift"},
                "cutout": {"top", "bottom", "left", "right"},
                "flip": {"column_by_column"},
                "scale": {"row_by_row", "column_by_column"},
                "rotate": {"row_by_row", "row_by_column", "column_by_row", "column_by_column"},
            }[name]
        )


def test_the_images_of_a_batch_share_an_operation_and_not_its_parameters() -> None:
    augmentation = Augmentation.parse("flip_rotate")
    shared, batches = augmentation.draw(words_of(10), (1, 8, 8)), augmentation.draw(words_of(10), (1, 8, 8), 6)
    assert len(batches) == 60
    assert torch.equal(batches.operations.view(10, 6), shared.operations[:, None].expand(-1, 6))
    assert len({tuple(row) for row in batches.numbers[batches.operations == 1].tolist()}) > 6
    # An image's parameters do not depend on how many there are.
    assert torch.equal(augmentation.draw(words_of(10), (1, 8, 8), 2).numbers, batches[rows_of(10, 6, 2)].numbers)


def rows_of(streams: int, each: int, first: int) -> Tensor:
    return torch.arange(streams * each).view(streams, each)[:, :first].flatten()


@pytest.mark.parametrize("count", [None, 5])
def test_a_stream_gives_the_same_rows_whatever_is_beside_it_and_the_global_state(count: int | None) -> None:
    augmentation = Augmentation.parse(FULL)
    state = torch.random.get_rng_state()
    together = augmentation.draw(words_of(20), (3, 8, 8), count)
    each = count or 1
    for i, words in enumerate(words_of(20)):
        torch.rand(3)
        before = torch.random.get_rng_state()
        for on_host in (False, True):
            alone = augmentation.draw(words, (3, 8, 8), count, on_host)
            assert torch.equal(alone.numbers, together.numbers[i * each : (i + 1) * each])
            assert torch.equal(alone.operations, together.operations[i * each : (i + 1) * each])
        assert torch.equal(torch.random.get_rng_state(), before)
    torch.random.set_rng_state(state)
    assert len({tuple(row) for row in together.numbers.tolist()}) >= 15


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


def test_a_draw_refuses_what_is_not_positive() -> None:
    augmentation = Augmentation.parse("crop")
    with pytest.raises(InputError, match="count=0"):
        augmentation.draw(words_of(1), (3, 8, 8), 0)
    with pytest.raises(InputError, match="shape"):
        augmentation.draw(words_of(1), (3, 0, 8))


def test_strategies_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Augmentation.parse("crop").strategy = ()  # type: ignore[misc]
