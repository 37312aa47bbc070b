"""The generator against its published vectors and a plain version, in both forms."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distillset.keys import philox
from tests.oracles import philox as oracle

word = st.integers(0, 2**32 - 1)


def outputs(counters: list[list[int]], keys: list[list[int]]) -> list[list[int]]:
    """Of both forms: that of a function that is not compiled, and that of one that is."""
    c0, c1, c2, c3 = torch.tensor(counters).split(1, 1)
    value = torch.cat(philox.philox(c0, c1, c2, c3, torch.tensor(keys)), 1)
    assert torch.equal(torch.cat(philox._one_by_one(c0, c1, c2, c3, torch.tensor(keys)), 1), value)
    return [[int(word) for word in row] for row in value]


@pytest.mark.parametrize(
    ("counter", "key", "output"),
    [  # kat_vectors of Random123 1.14, lines "philox4x32 10"
        ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_known_answers(counter: str, key: str, output: str) -> None:
    numbers = [[int(value, 16) for value in text.split()] for text in (counter, key, output)]
    assert outputs([numbers[0]], [numbers[1]]) == [numbers[2]]
    assert list(oracle.philox(tuple(numbers[0]), tuple(numbers[1]))) == numbers[2]


@given(st.tuples(word, word, word, word), st.tuples(word, word))
@settings(deadline=None)
def test_any_counter_and_key(counter: tuple[int, ...], key: tuple[int, ...]) -> None:
    assert outputs([list(counter)], [list(key)]) == [list(oracle.philox(counter, key))]


def test_extreme_words() -> None:
    # Where products of 32-bit words are largest, smallest, or change sign.
    edges = [0, 1, 2**31 - 1, 2**31, 2**32 - 1]
    counters = [list(four) for four in itertools.product(edges, repeat=4)]
    keys = [[edges[index % 5], edges[index // 7 % 5]] for index in range(len(counters))]
    expected = [list(oracle.philox(tuple(four), tuple(key))) for four, key in zip(counters, keys, strict=True)]
    assert outputs(counters, keys) == expected
