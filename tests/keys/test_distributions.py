"""Numbers from random bits: exact values, bounds for every bit pattern, and statistics.

Draws have fixed keys; what is said of false alarms holds over the choice of keys.
"""

import math
import re
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from distillset.errors import InputError
from distillset.keys import Key, bits, distributions, fold, integers, normal, uniform

STREAM = Key(0)("test").words()
RARE = 1e-7
EDGES = [0, 1, 2, 255, 256, 2**31 - 1, 2**31, 2**32 - 256, 2**32 - 255, 2**32 - 2, 2**32 - 1]
dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


@pytest.fixture
def edge_bits(monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
    """All pairs of extreme words in place of random ones."""
    pairs = torch.cartesian_prod(torch.tensor(EDGES), torch.tensor(EDGES))
    monkeypatch.setattr(distributions, "bits", lambda words, shape: pairs.flatten()[: math.prod(shape)].view(*shape))
    return pairs


def test_uniform_is_a_word_over_2_to_the_32() -> None:
    value = bits(STREAM, (1000,))
    assert torch.equal(uniform(STREAM, (1000,), dtype=torch.float64), value.double() / 2**32)
    assert torch.equal(uniform(STREAM, (1000,)), (value // 256).float() / 2**24)


@dtypes
@pytest.mark.parametrize(("low", "high"), [(0, 1), (1, 2), (-1, 1), (0.9, 1.1), (-3e5, 0.1), (5, 5.000002), (0, 1e-30)])
def test_uniform_stays_below_high(edge_bits: torch.Tensor, dtype: torch.dtype, low: float, high: float) -> None:
    value = uniform(STREAM, (2 * len(edge_bits),), low, high, dtype)
    assert value.dtype == dtype
    bounds = torch.tensor([low, high], dtype=dtype)
    assert bool((value >= bounds[0]).all())
    assert bool((value < bounds[1]).all())
    assert float(value.min()) == float(bounds[0])
    assert float(value.max()) == pytest.approx(high, abs=max(2e-7 * (high - low), 1e-6 * abs(high)))


@pytest.mark.parametrize(
    ("low", "high"),
    [
        *[(1, 1), (2, 1), (0, 0), (0, math.inf), (-math.inf, 0), (math.nan, 1), (0, math.nan)],
        *[(1, 1 + 1e-9), (0, 1e-50), (0, 1e39), (-3e38, 3e38)],  # one number in float32, or beyond it
    ],
)
def test_uniform_refuses_other_bounds(low: float, high: float) -> None:
    with pytest.raises(InputError, match=re.escape(f"low={low}, high={high}")):
        uniform(STREAM, (1,), low, high)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int64])
def test_other_types_are_refused(dtype: torch.dtype) -> None:
    with pytest.raises(InputError, match=f"dtype={dtype}"):
        uniform(STREAM, (1,), dtype=dtype)
    with pytest.raises(InputError, match=f"dtype={dtype}"):
        normal(STREAM, (1,), dtype=dtype)


@dtypes
def test_normal_is_finite_for_every_pair_of_words(edge_bits: torch.Tensor, dtype: torch.dtype) -> None:
    value = normal(STREAM, (2 * len(edge_bits),), dtype)
    assert bool(value.isfinite().all())
    assert float(value.abs().max()) == pytest.approx(math.sqrt(64 * math.log(2)))


def test_normal_is_box_and_mullers() -> None:
    value = normal(STREAM, (3,), torch.float64).tolist()
    first, second, third, fourth = bits(STREAM, (4,)).tolist()
    radius, angle = math.sqrt(-2 * math.log((first + 1) / 2**32)), 2 * math.pi * second / 2**32
    assert value[:2] == pytest.approx([radius * math.cos(angle), radius * math.sin(angle)], abs=1e-14)
    radius = math.sqrt(-2 * math.log((third + 1) / 2**32))
    assert value[2] == pytest.approx(radius * math.cos(2 * math.pi * fourth / 2**32), abs=1e-14)


def test_normal_in_float32_is_that_of_float64_to_rounding() -> None:
    wide = normal(STREAM, (100_000,), torch.float64)
    assert torch.allclose(normal(STREAM, (100_000,)).double(), wide, rtol=0, atol=5e-6)


@given(st.integers(-(2**40), 2**40), st.integers(1, 2**31), st.integers(0, 50))
@settings(deadline=None)
def test_integers_are_64_bits_times_the_range(low: int, span: int, index: int) -> None:
    upper, lower = bits(STREAM, (index + 1, 2))[index].tolist()
    expected = low + ((upper << 32 | lower) * span >> 64)
    assert integers(STREAM, (index + 1,), low, low + span)[index] == expected
    assert integers(STREAM, (index + 1,), torch.tensor(low), torch.tensor(low + span))[index] == expected


def test_integers_at_the_edges(edge_bits: torch.Tensor) -> None:
    for span in (1, 2, 3, 5000, 2**31):
        value = integers(STREAM, (len(edge_bits),), 0, span)
        assert value.tolist() == [(upper << 32 | lower) * span >> 64 for upper, lower in edge_bits.tolist()]
        assert (int(value.min()), int(value.max())) == (0, span - 1)


def test_integers_of_ranges_that_broadcast() -> None:
    streams, highs = fold(STREAM, torch.arange(3)), torch.tensor([[1], [10], [1000]])
    value = integers(streams, (50,), 0, highs)
    for row, stream, high in zip(value, streams, highs, strict=True):
        assert torch.equal(row, integers(stream, (50,), 0, int(high)))


@pytest.mark.parametrize(("low", "high"), [(0, 0), (5, 4), (0, 2**31 + 1)])
def test_integers_refuse_other_ranges(low: int, high: int) -> None:
    with pytest.raises(InputError, match=f"low={low}, high={high}"):
        integers(STREAM, (1,), low, high)


@pytest.mark.parametrize("draw", [uniform, normal, lambda words, shape: integers(words, shape, -3, 9)])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (7,), (2, 3)])
def test_a_batch_is_every_stream_alone_and_a_prefix(draw: Callable[..., torch.Tensor], shape: tuple[int, ...]) -> None:
    streams = fold(STREAM, torch.arange(6).view(2, 3))
    value = draw(streams, shape)
    assert value.shape == (2, 3, *shape)
    more = draw(streams, (20,))
    for row in range(2):
        for column in range(3):
            assert torch.equal(value[row, column], draw(streams[row, column], shape))
    assert torch.equal(value.reshape(2, 3, -1), more[..., : math.prod(shape)])


@dtypes
def test_moments_and_distribution(dtype: torch.dtype) -> None:
    # n = 400,000: means of powers within six standard errors (false alarm 2e-9 each), Kolmogorov and Smirnov's test.
    n = 400_000
    flat, bell = uniform(STREAM, (n,), -1, 3, dtype).double(), normal(fold(STREAM, 0), (n,), dtype).double()
    for power, mean, variance in ((1, 1, 4 / 3), (2, 7 / 3, 256 / 45 + 16 / 3)):
        assert float((flat**power).mean()) == pytest.approx(mean, abs=6 * math.sqrt(variance / n))
    # E z^2k = (2k - 1)!!: 1, 3, 15, 105, 10395 for powers 2, 4, 6, 8, 12.
    for power, mean, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96), (6, 15, 10170)):
        assert float((bell**power).mean()) == pytest.approx(mean, abs=6 * math.sqrt(variance / n))
    assert stats.kstest(flat.numpy(), stats.uniform(-1, 4).cdf).pvalue > RARE
    assert stats.kstest(bell.numpy(), stats.norm.cdf).pvalue > RARE


def test_cosine_and_sine_of_a_pair_are_independent() -> None:
    # Correlation of values, squares and fourth powers: six standard errors, false alarm 2e-9 each.
    first, second = normal(STREAM, (200_000, 2), torch.float64).unbind(-1)
    for power in (1, 2):
        one, other = (values**power - (values**power).mean() for values in (first, second))
        correlation = (one * other).mean() / (one.std() * other.std())
        assert abs(float(correlation)) < 6 / math.sqrt(200_000)


@pytest.mark.parametrize("span", [2, 6, 10, 1000])
def test_integers_are_uniform(span: int) -> None:
    value = integers(STREAM, (200_000,), 0, span)
    assert stats.chisquare(torch.bincount(value, minlength=span).double().numpy()).pvalue > RARE
