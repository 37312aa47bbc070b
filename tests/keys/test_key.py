"""Keys: the same names give the same numbers, other names other ones."""

import hashlib
import json

import torch
from hypothesis import given
from hypothesis import strategies as st

from distillset.keys import Key, words

names = st.one_of(st.integers(), st.text(max_size=8))
paths = st.lists(names, max_size=4).map(tuple)


def test_value_of_a_path() -> None:
    # The definition, by hand: the first eight bytes of the SHA-256 of the JSON list, without the lowest bit.
    digest = hashlib.sha256(json.dumps([7, "step", 3, "real"]).encode()).hexdigest()
    assert Key(7)("step", 3)("real").integer() == int(digest[:16], 16) >> 1
    assert Key(0).integer() == 7520536977032167579  # printf '[0]' | sha256sum


def test_words_of_a_path() -> None:
    # By hand: bytes 8 to 11 and 12 to 15 of the same digest, most significant first.
    digest = hashlib.sha256(json.dumps([7, "step", 3, "real"]).encode()).hexdigest()
    value = Key(7)("step", 3, "real").words()
    assert value.dtype == torch.int64
    assert value.tolist() == [int(digest[16:24], 16), int(digest[24:32], 16)]


def test_words_of_several_keys_are_rows() -> None:
    keys = [Key(0), Key(0)("a"), Key(-5)("a", 2)]
    assert torch.equal(words(keys), torch.stack([key.words() for key in keys]))
    assert words([]).shape == (0, 2)


@given(st.integers(), paths, paths)
def test_names_are_appended(seed: int, outer: tuple[str | int, ...], inner: tuple[str | int, ...]) -> None:
    assert Key(seed)(*outer)(*inner) == Key(seed)(*outer, *inner)
    assert 0 <= Key(seed, outer).integer() < 2**63


@given(st.integers(-9, 9), paths, st.integers(-9, 9), paths)
def test_different_paths_are_different_streams(
    seed: int, path: tuple[str | int, ...], other_seed: int, other: tuple[str | int, ...]
) -> None:
    same = (seed, path) == (other_seed, other)
    assert (Key(seed, path).integer() == Key(other_seed, other).integer()) == same


def test_numbers_and_texts_are_different_names() -> None:
    assert Key(0)(3) != Key(0)("3")
    assert Key(0)(3).integer() != Key(0)("3").integer()
    assert Key(0)("a", "b").integer() != Key(0)("ab").integer()
