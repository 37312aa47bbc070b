"""The reader of pickles: every value a set may hold, by the bytes that stand for it, and nothing that runs."""

import contextlib
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distillset.errors import InputError
from distillset.sources.pickled import read_pickle
from tests.sources.published import named, pickled

WHOLE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**31), 2**31 - 1) | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=5) | st.integers(0, 99), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(value=WHOLE, protocol=st.sampled_from([2, 3, 4, 5]))
def test_plain_values_come_back(value: Any, protocol: int) -> None:
    assert read_pickle(pickled(value, protocol), "p") == value


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    "array",
    [
        np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
        np.asfortranarray(np.arange(6, dtype=np.uint8).reshape(2, 3)),
        np.arange(-3, 3, dtype=np.int64),
        np.linspace(0, 1, 5),
        np.array([True, False]),
    ],
)
def test_arrays_come_back(array: Any, protocol: int) -> None:
    if protocol == 5 and array.flags.f_contiguous and array.ndim > 1:
        array = np.ascontiguousarray(array)
    (found,) = read_pickle(pickled([array], protocol), "p")
    assert found.dtype == array.dtype
    assert np.array_equal(found, array)


def test_bytes_of_a_pickle_as_python_prints_them_are_read() -> None:
    # what `pickle.dumps([1, -2, 3000, "a", None, 2.5], 4)` of Python 3 gives
    content = b"\x80\x04\x95\x1b\0\0\0\0\0\0\0]\x94(K\x01J\xfe\xff\xff\xffM\xb8\x0b\x8c\x01a\x94NG@\x04\0\0\0\0\0\0e."
    assert read_pickle(content, "p") == [1, -2, 3000, "a", None, 2.5]
    # bytes in protocol 2 of Python 3: a call of the codec on text
    assert read_pickle(b"\x80\x02c_codecs\nencode\nX\x03\0\0\0a\xc3\xbfX\x06\0\0\0latin1\x86R.", "p") == b"a\xff"
    # the same list twice, from the memo
    assert read_pickle(b"\x80\x02]q\0K\x05ah\0\x86.", "p") == ([5], [5])
    # a number of NumPy's: its type and its bytes
    head = pickled(np.zeros(1, np.int64))
    kind = head[head.index(named("numpy", "dtype")) : head.index(b"\x89U")]
    number = named("numpy.core.multiarray", "scalar") + kind + b"U\x08" + struct.pack("<q", -5) + b"\x86R."
    assert read_pickle(b"\x80\x02" + number, "p") == -5
    assert read_pickle(b"\x80\x02\x8a\x09" + (2**64).to_bytes(9, "little") + b".", "p") == 2**64


CALLS = {
    "a call of the system": named("posix", "system") + b"U\x04true\x85R.",
    "the same by name from the stack": b"\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.",
    "an instance, the old way": b"(cos\nsystem\nU\x04trueo.",
    "an instance in text": b"(S'true'\nios\nsystem\n.",
    "a new object": named("collections", "OrderedDict") + b")\x81.",
    "a persistent name": b"U\x01aQ.",
    "an extension": b"\x82\x01.",
    "an attribute of what is known": named("numpy", "load") + b"U\x01a\x85R.",
    "a name with dots": b"\x8c\x05numpy\x8c\x0dcore.memmap.x\x93.",
    "a builtin": named("builtins", "eval") + b"U\x01a\x85R.",
    "a set": b"\x8f.",
    "state of a dict": b"}}b.",
}


@pytest.mark.parametrize("name", CALLS)
def test_what_would_run_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"p: byte \d+: .*; of pickles only arrays.*nothing in them is run"):
        read_pickle(b"\x80\x04" + CALLS[name], "p")


def _arrays(shape: tuple[int, ...], raw: bytes, code: str = "u1") -> bytes:
    whole = pickled(np.zeros(2, np.uint8))
    head, tail = whole[: whole.index(b"(K\x01(K\x02t")], whole[whole.index(named("numpy", "dtype")) :]
    assert tail.endswith(b"U\x02\0\0tb.")
    body = b"(K\x01(" + b"".join(b"J" + struct.pack("<i", side) for side in shape) + b"t"
    tail = tail.removesuffix(b"U\x02\0\0tb.").replace(b"U\x02u1", b"U" + bytes([len(code)]) + code.encode())
    return head + body + tail + b"T" + struct.pack("<I", len(raw)) + raw + b"tb."


def test_the_array_made_here_is_whole() -> None:
    assert read_pickle(_arrays((2, 2), b"\1\2\3\4"), "p").tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "no pickle"),
        (b"\x80", "cut short"),
        (b"hello", "no pickle of protocol 2 or newer"),
        (pickled([1, 2, 3])[:-3], "cut short"),
        (b"\x80\x02" + b"X\xff\xff\xff\x7fabc.", "cut short"),
        (b"\x80\x02\x8e" + b"\xff" * 8 + b".", "cut short"),
        (b"\x80\x02T\xff\xff\xff\xff.", "cut short"),
        (b"\x80\x02e.", "cut short"),
        (b"\x80\x02h\x05.", "cut short"),
        (b"\x80\x02K\x01K\x02s.", "damaged"),
        (b"\x80\x02(.", "a mark|damaged|function"),
        (b"\x80\x02]]K\x01\x86}b.", "the state of an object|damaged"),
        (b"\x80\x02}]K\x01s.", "a key of type list"),
        (b"\x80\x02\x8a\xff" + b"\1" * 255 + b".", "a number of 255 bytes"),
        (named("numpy", "dtype") + b".", "a function in place of a value"),
        (b"]" + named("numpy", "dtype") + b"a.", "a function in place of a value"),
        (b"]" + named("numpy", "dtype") + b"\x85a.", "a function in place of a value"),
        (named("numpy.core.multiarray", "_reconstruct") + b"K\x01\x85R.", "that is not of an array"),
        (_arrays((2, 3), b"\1\2\3\4"), r"shape \[2, 3\] needs 6 bytes, and has 4"),
        (_arrays((2**30, 2**30), b"\1"), "needs 1152921504606846976 bytes, and has 1"),
        (_arrays((-1,), b"\1"), "impossible shape"),
        (_arrays((1,), b"\1" * 8, "O8"), "an array of type 'O8'; numbers are needed"),
        (_arrays((1,), b"\1" * 8, "u16"), "an array of type"),
        (_arrays((1,), b"\1" * 8, "V8"), "an array of type"),
    ],
)  # fmt: skip
def test_damaged_and_hostile_pickles_are_one_line(content: bytes, told: str) -> None:
    with pytest.raises(InputError, match=rf"^p: .*({told})") as refused:
        read_pickle(content if content[:1] in (b"\x80", b"h", b"") else b"\x80\x02" + content, "p")
    assert "\n" not in str(refused.value)


def test_a_small_file_that_would_unfold_is_stopped() -> None:
    text = b"X" + struct.pack("<I", 60_000) + b"a" * 60_000 + b"q\1"
    again = named("_codecs", "encode") + b"h\1X\x06\0\0\0latin1\x86Ra"
    with pytest.raises(InputError, match="unfolds to more than its own size"):
        read_pickle(b"\x80\x02]" + text + b"0" + again * 500 + b".", "p")
    # lists of the same lists, 60 levels deep, stay what they are: nothing walks through them
    doubled = b"]q\0" + b"".join(b"](h" + bytes([n]) + b"h" + bytes([n]) + b"eq" + bytes([n + 1]) for n in range(60))
    assert len(read_pickle(b"\x80\x02" + doubled + b".", "p")) == 2
    # deep tuples
    deep = b")" + b"\x85" * 100_000
    assert len(read_pickle(b"\x80\x02" + deep + b".", "p")) == 1
    with pytest.raises(InputError, match="a key of type tuple"):
        read_pickle(b"\x80\x02}" + deep + b"K\1s.", "p")
    with pytest.raises(InputError, match="a dict of more than 10,000 keys"):
        read_pickle(b"\x80\x02}" + b"".join(b"J" + struct.pack("<i", n) + b"Ns" for n in range(10_001)) + b".", "p")


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_flipped_bytes_are_an_input_error_or_a_value(data: st.DataObject) -> None:
    batch = {b"data": np.arange(12, dtype=np.uint8).reshape(3, 4), b"labels": [1, 2, 3], "x": (1, 2.5)}
    whole = bytearray(pickled(batch))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    value: Any = None
    with contextlib.suppress(InputError):
        value = read_pickle(bytes(whole[: data.draw(st.integers(1, len(whole)))]), "p")
    assert value is None or isinstance(value, int | float | str | bytes | list | tuple | dict | np.ndarray)
