"""Streams against a plain version of the generator, streams below streams, and statistics.

A statistical test draws with fixed keys, so it always gives the same answer; the probability that a right generator
had failed it, over the choice of keys, is in each. All of them together: below 1e-5.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from distillset.errors import InputError
from distillset.keys import Key, bits, fold, words
from tests.oracles import philox as oracle

STREAM = Key(0)("test").words()
word = st.integers(0, 2**32 - 1)
RARE = 1e-7  # probability of a false alarm, each


def chi_square(counts: Tensor) -> float:
    """Probability that uniform cells, along the last axis, deviate as much."""
    return float(stats.chisquare(counts.double().numpy(), axis=None).pvalue)


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3,), (4,), (5,), (2, 3), (3, 0, 2), (1, 1, 9)])
def test_bits_are_counters_in_turn(shape: tuple[int, ...]) -> None:
    value = bits(STREAM, shape)
    assert value.shape == shape
    assert value.dtype == torch.int64
    assert value.flatten().tolist() == oracle.bits(tuple(STREAM.tolist()), math.prod(shape))


def test_a_number_of_a_stream_does_not_depend_on_how_many_are_drawn() -> None:
    # Requests of more than 8192 counters (32,768 numbers) are worked on in parts on a CPU.
    most = bits(STREAM, (3 * 32768 + 5,))
    for count in (1, 17, 32767, 32768, 32769, 70000):
        assert torch.equal(bits(STREAM, (count,)), most[:count])
    assert most[-5:].tolist() == [
        oracle.philox((index // 4, 0, 0, 0), tuple(STREAM.tolist()))[index % 4] for index in range(98304, 98309)
    ]


@pytest.mark.parametrize("batch", [(0,), (1,), (7,), (2, 3), (1, 0), (700,)])
def test_a_batch_is_every_stream_alone(batch: tuple[int, ...]) -> None:
    keys = [Key(1)("batch", index) for index in range(math.prod(batch))]
    streams = words(keys).view(*batch, 2)
    together = bits(streams, (10, 5))
    assert together.shape == (*batch, 10, 5)
    for key, values in zip(keys, together.flatten(0, -3), strict=True):
        assert torch.equal(values, bits(key.words(), (10, 5)))


def test_a_large_batch_is_every_stream_alone() -> None:
    streams = fold(STREAM, torch.arange(3))
    for alone, together in zip(streams, bits(streams, (40000,)), strict=True):
        assert torch.equal(bits(alone, (40000,)), together)


@given(st.integers(-(2**63), 2**63 - 1), st.tuples(word, word))
@settings(deadline=None)
def test_fold_is_a_counter_of_its_own(number: int, key: tuple[int, ...]) -> None:
    # The definition: outputs 0 and 2 of the counter (lower half, upper half, 0, 1).
    expected = oracle.philox((number & 0xFFFFFFFF, number >> 32 & 0xFFFFFFFF, 0, 1), key)
    for as_number in (number, torch.tensor(number)):
        assert fold(torch.tensor(key), as_number).tolist() == [expected[0], expected[2]]


def test_fold_broadcasts() -> None:
    streams, numbers = fold(STREAM, torch.arange(4)), torch.arange(3)[:, None]
    grid = fold(streams, numbers)
    assert grid.shape == (3, 4, 2)
    assert torch.equal(grid[2, 1], fold(fold(STREAM, 1), 2))
    assert torch.equal(fold(streams, 5)[3], fold(streams[3], 5))
    assert fold(STREAM, torch.arange(0)).shape == (0, 2)


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, torch.tensor(1, dtype=torch.int32), torch.tensor(1.0)])
def test_fold_refuses_other_numbers(number: int | Tensor) -> None:
    with pytest.raises(InputError, match=r"^number"):
        fold(STREAM, number)


def test_streams_below_differ_from_each_other_and_from_numbers() -> None:
    streams = fold(STREAM, torch.arange(100_000)).double()
    joined = streams[:, 0] * 2**20 + streams[:, 1] % 2**20
    assert joined.unique().numel() == 100_000  # 52 bits: false alarm 1e-6
    assert not torch.isin(fold(STREAM, torch.arange(100)), bits(STREAM, (400,))).any()


def test_uniformity_of_bytes() -> None:
    # 400,000 words, each byte place: 256 cells of 1562.5. False alarm: 4e-7.
    value = bits(STREAM, (400_000,))
    for place in range(4):
        assert chi_square(torch.bincount(value >> 8 * place & 255, minlength=256)) > RARE


def test_uniformity_of_pairs_of_positions_keys_and_numbers() -> None:
    # Upper nibbles of two neighbours: 256 cells of 781.25. False alarm: 5e-7.
    def pairs(first: Tensor, second: Tensor) -> float:
        return chi_square(torch.bincount((first >> 28 << 4 | second >> 28).flatten(), minlength=256))

    positions = bits(STREAM, (200_001,))
    assert pairs(positions[:-1], positions[1:]) > RARE
    for streams in (
        words([Key(3)("key", index) for index in range(2001)]),
        fold(STREAM, torch.arange(2001)),
        torch.stack((torch.arange(2001), torch.zeros(2001, dtype=torch.int64)), -1),  # keys that differ in a few bits
    ):
        values = bits(streams, (100,))
        assert pairs(values[:-1], values[1:]) > RARE
    folded = fold(STREAM, torch.arange(200_001))
    assert pairs(folded[:-1, 0], folded[1:, 1]) > RARE


def test_correlation_of_neighbours() -> None:
    # A correlation of n independent pairs has standard deviation n^-1/2: six of them, false alarm 2e-9 each.
    values = bits(fold(STREAM, torch.arange(401)), (500,)).double() / 2**32 - 0.5
    for first, second in (
        (values[:-1], values[1:]),
        (values[:, :-1], values[:, 1:]),
        (values[:, :-4], values[:, 4:]),
        (values[:-1, :-1], values[1:, 1:]),
    ):
        assert abs(float((first * second).mean() * 12)) < 6 / math.sqrt(first.numel())


def test_every_bit_is_even_and_flips_with_any_bit_of_the_key() -> None:
    streams = fold(STREAM, torch.arange(2000))
    bit = torch.arange(32)
    values = bits(streams, (4,))
    # Frequency of ones over 8000 words and 32 places: six standard deviations, false alarm 6e-8.
    ones = (values.flatten()[:, None] >> bit & 1).double().mean(0)
    assert float((ones - 0.5).abs().max()) < 6 * 0.5 / math.sqrt(8000)
    # Every bit of the key flips half of the bits: 64 keys of 2000 * 4 * 32 places, false alarm 1e-7.
    for half in range(2):
        for place in range(32):
            flipped = streams ^ torch.tensor([1 - half, half]) << place
            changed = (values ^ bits(flipped, (4,)))[..., None] >> bit & 1
            assert abs(float(changed.double().mean()) - 0.5) < 6 * 0.5 / math.sqrt(changed.numel())
