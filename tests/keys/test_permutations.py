"""Keyed permutations: each is one, all are equally likely, and each stream is alone.

Draws have fixed keys; what is said of false alarms holds over the choice of keys.
"""

import itertools
import math

import pytest
import torch
from scipy import stats
from torch import Tensor

from distillset.errors import InputError
from distillset.keys import Key, Sizes, bits, fold, permutation, permutations
from tests.oracles import philox as oracle

STREAM = Key(0)("test").words()
RARE = 1e-7


def streams(count: int) -> Tensor:
    return fold(STREAM, torch.arange(count))


@pytest.mark.parametrize("size", [*range(1, 301)])
def test_every_size_is_permuted(size: int) -> None:
    values = permutation(streams(20), size, size)
    assert torch.equal(values.sort(-1).values, torch.arange(size).expand(20, -1))


@pytest.mark.parametrize("size", [500, 1000, 1023, 1024, 1025, 4096, 4097, 5000, 6000, 65537, 250_001])
def test_larger_sizes_are_permuted(size: int) -> None:
    values = permutation(streams(3), size, size)
    assert torch.equal(values.sort(-1).values, torch.arange(size).expand(3, -1))


def walked(key: tuple[int, ...], n: int, size: int) -> list[int]:
    """The network as the module's docstring has it, value by value, walks taken one step at a time."""
    shift = max(int(math.log2(max(size - 1, 1))) // 2, 0)
    a, b = 2**shift, math.ceil(size / 2**shift)
    assert a * a <= max(size, 1)
    random = oracle.bits(key, 5 * max(a, b))

    def step(place: int) -> int:
        left, right = place % a, place // a
        for turn in range(5):
            left ^= random[5 * right + turn] % a
            shift_by = (random[5 * left + turn] >> shift) * b >> 32 - shift
            right = (right + shift_by) % b
        return int(right * a + left)

    values = []
    for place in range(n):
        place = step(place)
        while place >= size:
            place = step(place)
        values.append(place)
    return values


@pytest.mark.parametrize("size", [129, 136, 137, 200, 257, 500, 1300, 5000])
def test_the_network_and_its_walks_by_hand(size: int) -> None:
    some = streams(5)
    n = min(size, 300)
    expected = [walked(tuple(key), n, size) for key in some.tolist()]
    assert permutation(some, n, size).tolist() == expected


def test_long_walks(monkeypatch: pytest.MonkeyPatch) -> None:
    # Below 128 values, and without the sort, more of the places lie beyond: walks of several steps are common.
    monkeypatch.setattr(permutations, "SORTED", 0)
    for size in (1, 2, 3, 5, 9, 17, 33, 65, 67, 73):
        some = streams(200)
        expected = [walked(tuple(key), size, size) for key in some.tolist()]
        assert permutation(some, size, size).tolist() == expected


def test_a_sort_by_hand() -> None:
    words = bits(STREAM, (50,)).tolist()
    assert permutation(STREAM, 50, 50).tolist() == sorted(range(50), key=words.__getitem__)


@pytest.mark.parametrize("size", [1, 7, 128, 129, 1000, 5000])
def test_a_value_does_not_depend_on_how_many_are_drawn(size: int) -> None:
    most = permutation(STREAM, min(size, 300), size)
    for n in (0, 1, 2, 6, 90):
        assert torch.equal(permutation(STREAM, min(n, size), size), most[: min(n, size)])


@pytest.mark.parametrize(
    "sizes", [(5, 5, 5), (3, 128, 40), (129, 130, 5000), (5000, 129, 1_000_000), (4, 5000, 128, 129), (1, 300)]
)
def test_a_batch_of_sizes_is_every_one_alone(sizes: tuple[int, ...]) -> None:
    some = fold(streams(2)[:, None], torch.arange(len(sizes)))
    for n in (1, min(sizes)):
        together = permutation(some, n, Sizes(sizes))
        assert together.shape == (2, len(sizes), n)
        for row in range(2):
            for index, size in enumerate(sizes):
                assert torch.equal(together[row, index], permutation(some[row, index], n, size))


def test_one_stream_for_several_sizes_and_batches_of_none() -> None:
    assert permutation(STREAM, 3, Sizes([4, 500])).shape == (2, 3)
    assert permutation(streams(0), 3, 500).shape == (0, 3)
    assert permutation(streams(6).view(2, 3, 2), 3, 500).shape == (2, 3, 3)


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_all_orders_are_equally_likely(size: int) -> None:
    # 24,000 permutations: at least 200 of each order. False alarm 1e-7 each.
    orders = {order: index for index, order in enumerate(itertools.permutations(range(size)))}
    values = permutation(streams(24_000), size, size)
    counts = torch.bincount(torch.tensor([orders[tuple(value)] for value in values.tolist()]), minlength=len(orders))
    assert stats.chisquare(counts.double().numpy()).pvalue > RARE


@pytest.mark.parametrize("size", [10, 97, 129, 150, 5000])
def test_pairs_of_values_are_uniform(size: int) -> None:
    # All pairs of different values alike, counted in at most 30 classes of values each. False alarm 1e-7 each.
    n, classes = min(size, 64), min(size, 30)
    groups = permutation(streams(20_000), n, size) * classes // size
    members = torch.bincount(torch.arange(size) * classes // size, minlength=classes).double()
    expected = ((members[:, None] * members - members.diag()) / (size * (size - 1)) * len(groups)).flatten()
    possible = expected > 0
    for first, second in ((0, 1), (0, n - 1), (3, 7), (n - 2, n - 1)):
        cells = torch.bincount(groups[:, first] * classes + groups[:, second], minlength=classes**2)
        assert int(cells[~possible].sum()) == 0
        assert stats.chisquare(cells[possible].double().numpy(), expected[possible].numpy()).pvalue > RARE


@pytest.mark.parametrize(
    ("sizes", "distance"), [(range(129, 257), 2**-15), (range(257, 2000, 7), 2**-16), ([5000, 6000], 2**-25)]
)
def test_distance_of_pairs_from_uniform(sizes: range | list[int], distance: float) -> None:
    # With random tables F a difference (d, e) of two places, e not 0, becomes (uniform, e), and G likewise: a chain.
    for size in sizes:
        shift = (size - 1).bit_length() - 1 >> 1
        a, b = 2**shift, math.ceil(size / 2**shift)
        uniform = torch.full((a, b), 1 / (a * b - 1), dtype=torch.float64)
        uniform[0, 0] = 0
        for start in ((0, 1), (1, 0), (1, 1)):
            law = torch.zeros_like(uniform)
            law[start] = 1
            for _ in range(5):
                law = torch.cat((law[:, :1], law[:, 1:].mean(0).expand(a, -1)), 1)
                law = torch.cat((law[:1], law[1:].mean(1, keepdim=True).expand(-1, b)), 0)
            assert float((law - uniform).abs().sum() / 2) < distance


@pytest.mark.parametrize("size", [129, 150, 500, 5000])
def test_differences_of_neighbours_are_uniform(size: int) -> None:
    # A weak network keeps differences of places: value i + 1 less value i, modulo the size. False alarm 1e-7.
    n = min(size, 128)
    values = permutation(streams(4000), n, size)
    for lag in (1, 8, 16, 64):
        differences = (values[:, lag:] - values[:, :-lag]) % size
        counts = torch.bincount(differences[:, ::4].flatten(), minlength=size)[1:]
        assert stats.chisquare(counts.double().numpy()).pvalue > RARE


def test_draws_spread_as_without_replacement() -> None:
    # How many of 256 of 5000 fall below 500: hypergeometric. Its variance within six standard errors of 4000 draws.
    counts = (permutation(streams(4000), 256, 5000) < 500).sum(-1).double()
    law = stats.hypergeom(5000, 500, 256)
    assert float(counts.mean()) == pytest.approx(law.mean(), abs=6 * law.std() / math.sqrt(4000))
    assert float(counts.var()) == pytest.approx(law.var(), rel=6 * math.sqrt(2 / 4000))


@pytest.mark.parametrize(("n", "size"), [(5, 4), (-1, 4), (200, 199), (1, 0), (1, -3), (1, 2**28 + 1)])
def test_other_numbers_are_refused(n: int, size: int) -> None:
    with pytest.raises(InputError, match=f"={n if size in (4, 199) else size}:"):
        permutation(STREAM, n, size)
    if size < 1:
        with pytest.raises(InputError, match=f"size={size}"):
            Sizes([3, size])


def test_the_largest_size() -> None:
    values = permutation(STREAM, 1000, 2**28)
    assert values.unique().numel() == 1000
    assert int(values.min()) >= 0
    assert 2**27 < int(values.max()) < 2**28
