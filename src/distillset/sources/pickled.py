"""Pickles read without Python's `pickle`: what comes out is arrays, lists, dicts, numbers and text, and nothing runs.

CIFAR is handed out as pickles. A pickle is a program for a small stack machine, of which two instructions can call any
function of any module. This reader interprets the instructions that plain values and NumPy arrays need. A function that
a file names stays a name here: six of them, NumPy's and the codec's, stand for what this file does itself, and any
other is refused. The instructions are those of Python's ``pickletools`` from protocol 2 on.
"""

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distillset.errors import InputError

LARGEST = 2**31
"""Bytes of a file; CIFAR's largest has 155 million."""

INSTRUCTIONS = 20_000_000
"""Most that are followed: CIFAR-100 has 200,000."""

KEYS = 10_000
"""Of a dict."""

RECONSTRUCT, NDARRAY, DTYPE, ENCODE, FROM_BUFFER = "_reconstruct", "ndarray", "dtype", "encode", "_frombuffer"
SCALAR = "scalar"
NAMES = {
    **{(f"numpy.{core}.multiarray", "scalar"): SCALAR for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "_reconstruct"): RECONSTRUCT for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): FROM_BUFFER for core in ("core", "_core")},
    ("numpy", "ndarray"): NDARRAY,
    ("numpy", "dtype"): DTYPE,
    ("_codecs", "encode"): ENCODE,
}
"""The functions that a file may name: what writes an array names them."""


class _Malformed(Exception):
    """The message says what is wrong."""


class _Name:
    """A function that a file named, one of `NAMES`; it can be called by this module alone."""

    def __init__(self, name: str) -> None:
        self.name = name


class _Type:
    """A NumPy type in the making; ``order`` is its byte order."""

    def __init__(self, code: str) -> None:
        self.code, self.order = code, "|"

    def dtype(self) -> np.dtype[Any]:
        if not (len(self.code) in (2, 3) and self.code[0] in "biuf" and self.code[1:] in ("1", "2", "4", "8")):
            raise _Malformed(f"an array of type {self.code[:40]!r}; numbers are needed")
        return np.dtype(("<" if self.order == "|" else self.order) + self.code)


class _Arguments(tuple[Any, ...]):
    """A tuple with a name, a type or an unfinished array in it: what a call is given, and no value."""


class _Array:
    """An array in the making."""

    def __init__(self) -> None:
        self.value: NDArray[Any] | None = None


_MARK = object()


def read_pickle(content: bytes, what: str) -> Any:
    """The value that a pickle describes: None, bool, int, float, bytes, str, list, tuple, dict or a numeric array.

    Args:
        content: the file.
        what: how messages name it.

    Raises:
        InputError: it is cut short, needs an instruction or names a function that is not among those read, or is too
            large.
    """
    if len(content) > LARGEST:
        raise InputError.about(what, f"{len(content):,} bytes; at most {LARGEST:,} of a pickle are read")
    machine = _Machine(content)
    try:
        return _plain(machine.run())
    except _Malformed as fault:
        raise InputError.about(
            what,
            f"byte {machine.at}: {fault}; of pickles only arrays, lists, dicts, numbers and text are read, and "
            "nothing in them is run",
        ) from None
    except (IndexError, struct.error, UnicodeError, ValueError, TypeError, OverflowError):
        raise InputError.about(what, f"byte {machine.at}: damaged, cut short, or not a pickle") from None


def _plain(value: Any) -> Any:
    """The array of one in the making; a name or a type alone is no value."""
    if isinstance(value, _Array):
        if value.value is None:
            raise _Malformed("an array without content")
        return value.value
    if isinstance(value, _Name | _Type | _Arguments) or value is _MARK:
        raise _Malformed("a function in place of a value")
    return value


class _Machine:
    """Interprets one pickle: a stack, a memo, and a place in the bytes."""

    def __init__(self, content: bytes) -> None:
        self.content, self.at = content, 0
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.made = 0

    def run(self) -> Any:
        """What the stack holds at the end."""
        if self.content[:1] != b"\x80":
            raise _Malformed("no pickle of protocol 2 or newer")
        for _ in range(INSTRUCTIONS):
            code = self.take(1)
            if code == b".":
                return self.stack.pop()
            step = _STEPS.get(code)
            if step is None:
                raise _Malformed(f"instruction 0x{code.hex()}")
            step(self)
        raise _Malformed(f"more than {INSTRUCTIONS:,} instructions")

    def take(self, count: int) -> bytes:
        """The next bytes, all of them."""
        if count < 0 or self.at + count > len(self.content):
            raise IndexError
        self.at += count
        return self.content[self.at - count : self.at]

    def number(self, form: str) -> Any:
        """The next bytes as `struct` unpacks them."""
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> str:
        """The text up to the end of a line."""
        end = self.content.index(b"\n", self.at, self.at + 256)
        return self.take(end + 1 - self.at)[:-1].decode("ascii")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def above_mark(self) -> list[Any]:
        """What lies above the last mark; both are taken off."""
        for place in range(len(self.stack) - 1, -1, -1):
            if self.stack[place] is _MARK:
                values = [_held(value) for value in self.stack[place + 1 :]]
                del self.stack[place:]
                return values
        raise IndexError

    def count(self, size: int) -> None:
        """Count bytes that are made beyond those of the file, which a short file could ask for again and again."""
        self.made += size
        if self.made > 2 * len(self.content) + 1024:
            raise _Malformed("it unfolds to more than its own size")


def _held(value: Any) -> Any:
    """A value that a list may hold: no mark of a place in the stack."""
    if value is _MARK:
        raise _Malformed("a mark in place of a value")
    return value


def _long(machine: _Machine, size: int) -> None:
    if size > 16:
        raise _Malformed(f"a number of {size} bytes")
    machine.push(int.from_bytes(machine.take(size), "little", signed=True))


def _text(form: str) -> Callable[[_Machine], None]:
    return lambda machine: machine.push(machine.take(machine.number(form)).decode("utf-8", "surrogatepass"))


def _raw(form: str) -> Callable[[_Machine], None]:
    return lambda machine: machine.push(machine.take(machine.number(form)))


def _constant(make: Callable[[], Any]) -> Callable[[_Machine], None]:
    return lambda machine: machine.push(make())


def _top(machine: _Machine, count: int) -> list[Any]:
    """The last values of the stack, taken off."""
    if len(machine.stack) < count:
        raise IndexError
    values = [_held(value) for value in machine.stack[len(machine.stack) - count :]]
    del machine.stack[len(machine.stack) - count :]
    return values


def _tuple(values: list[Any]) -> tuple[Any, ...]:
    values = [value.value if isinstance(value, _Array) and value.value is not None else value for value in values]
    unfinished = any(isinstance(value, _Name | _Type | _Array | _Arguments) for value in values)
    return _Arguments(values) if unfinished else tuple(values)


def _tuple_of(count: int) -> Callable[[_Machine], None]:
    return lambda machine: machine.push(_tuple(_top(machine, count)))


def _get(form: str) -> Callable[[_Machine], None]:
    def step(machine: _Machine) -> None:
        number = machine.number(form)
        if number not in machine.memo:
            raise IndexError
        machine.push(machine.memo[number])

    return step


def _put(form: str) -> Callable[[_Machine], None]:
    def step(machine: _Machine) -> None:
        machine.memo[machine.number(form)] = _held(machine.stack[-1])

    return step


def _memoise(machine: _Machine) -> None:
    machine.memo[len(machine.memo)] = _held(machine.stack[-1])


def _append(machine: _Machine, values: list[Any]) -> None:
    target = machine.stack[-1]
    if not isinstance(target, list):
        raise TypeError
    target.extend(_plain(value) for value in values)


def _set_items(machine: _Machine, values: list[Any]) -> None:
    target = machine.stack[-1]
    if not isinstance(target, dict) or len(values) % 2:
        raise TypeError
    for key, value in zip(values[::2], values[1::2], strict=True):
        if not isinstance(key, str | bytes | int):  # others may take for ever to compare
            raise _Malformed(f"a key of type {type(key).__name__}")
        if len(target) >= KEYS:  # numbers can be chosen so that finding one among them takes for ever
            raise _Malformed(f"a dict of more than {KEYS:,} keys")
        target[key] = _plain(value)


def _global(machine: _Machine, module: Any, name: Any) -> None:
    known = NAMES.get((module, name)) if isinstance(module, str) and isinstance(name, str) else None
    if known is None:
        raise _Malformed(f"it names {f'{module}.{name}'[:80]!r}, a function that is never called here")
    machine.push(_Name(known))


def _reduce(machine: _Machine) -> None:
    """A call of one of `NAMES`: what it would make is made here."""
    function, values = _top(machine, 2)
    if not isinstance(function, _Name) or not isinstance(values, tuple):
        raise TypeError
    if function.name == RECONSTRUCT and len(values) == 3 and _is(values[0], NDARRAY):
        machine.push(_Array())
    elif function.name == DTYPE and values and isinstance(values[0], str | bytes):
        machine.push(_Type(values[0] if isinstance(values[0], str) else values[0].decode("ascii")))
    elif function.name == SCALAR and len(values) == 2:
        machine.push(_shaped(values[0], (), values[1], False).item())
    elif function.name == ENCODE and len(values) == 2 and isinstance(values[0], str):
        if values[1] != "latin1":
            raise _Malformed("text in an encoding other than latin1")
        machine.count(len(values[0]))
        machine.push(values[0].encode("latin-1"))
    elif function.name == FROM_BUFFER and len(values) == 4:
        raw, kind, shape, order = values
        array = _Array()
        array.value = _shaped(kind, shape, raw, order == "F")
        machine.push(array)
    else:
        raise _Malformed(f"a call of {function.name} that is not of an array")


def _is(value: Any, name: str) -> bool:
    return isinstance(value, _Name) and value.name == name


def _build(machine: _Machine) -> None:
    """The state of an array or of its type."""
    (state,) = _top(machine, 1)
    target = machine.stack[-1]
    if not isinstance(target, _Type | _Array):
        raise _Malformed("the state of an object")
    if not isinstance(state, tuple):
        raise TypeError
    if isinstance(target, _Type):
        order = state[1].decode("ascii") if isinstance(state[1], bytes) else state[1]
        if order not in ("<", ">", "|") or any(part is not None for part in state[2:5]):
            raise _Malformed("a type of several fields")
        target.order = order
    else:
        _, shape, kind, fortran, raw = state
        target.value = _shaped(kind, shape, raw, bool(fortran))


def _shaped(kind: Any, shape: Any, raw: Any, fortran: bool) -> NDArray[Any]:
    """A view of the bytes as an array; never more than is there."""
    if not isinstance(kind, _Type) or not isinstance(raw, bytes) or not isinstance(shape, tuple):
        raise TypeError
    if not all(isinstance(side, int) and 0 <= side <= LARGEST for side in shape) or len(shape) > 8:
        raise _Malformed("an array of an impossible shape")
    dtype = kind.dtype()
    size = dtype.itemsize
    for side in shape:
        size *= side
    if size != len(raw):
        raise _Malformed(f"an array of shape {list(shape)} needs {size} bytes, and has {len(raw)}")
    return np.frombuffer(raw, dtype).reshape(shape, order="F" if fortran else "C")


_STEPS: dict[bytes, Callable[[_Machine], None]] = {
    b"\x80": lambda machine: machine.number("B"),  # the protocol
    b"\x95": lambda machine: machine.number("<Q"),  # a frame
    b"N": _constant(lambda: None),
    b"\x88": _constant(lambda: True),
    b"\x89": _constant(lambda: False),
    b"]": _constant(list),
    b"}": _constant(dict),
    b")": _constant(tuple),
    b"(": _constant(lambda: _MARK),
    b"K": lambda machine: machine.push(machine.number("B")),
    b"M": lambda machine: machine.push(machine.number("<H")),
    b"J": lambda machine: machine.push(machine.number("<i")),
    b"G": lambda machine: machine.push(machine.number(">d")),
    b"\x8a": lambda machine: _long(machine, machine.number("B")),
    b"\x8b": lambda machine: _long(machine, machine.number("<I")),
    b"U": _raw("B"),
    b"T": _raw("<I"),
    b"C": _raw("B"),
    b"B": _raw("<I"),
    b"\x8e": _raw("<Q"),
    b"\x96": _raw("<Q"),
    b"\x8c": _text("B"),
    b"X": _text("<I"),
    b"\x8d": _text("<Q"),
    b"\x85": _tuple_of(1),
    b"\x86": _tuple_of(2),
    b"\x87": _tuple_of(3),
    b"t": lambda machine: machine.push(_tuple(machine.above_mark())),
    b"h": _get("B"),
    b"j": _get("<I"),
    b"q": _put("B"),
    b"r": _put("<I"),
    b"\x94": _memoise,
    b"a": lambda machine: _append(machine, _top(machine, 1)),
    b"e": lambda machine: _append(machine, machine.above_mark()),
    b"s": lambda machine: _set_items(machine, _top(machine, 2)),
    b"u": lambda machine: _set_items(machine, machine.above_mark()),
    b"c": lambda machine: _global(machine, machine.line(), machine.line()),
    b"\x93": lambda machine: _global(machine, *_top(machine, 2)),
    b"R": _reduce,
    b"b": _build,
    b"0": lambda machine: machine.stack.pop(),
}
"""What each instruction does."""
