"""A broken contract is reported as one line, with any test runner."""

from collections.abc import Callable
from typing import TypeVar

from distillset.errors import InputError

Result = TypeVar("Result")


def expect(holds: bool, line: str) -> None:
    """Raise where a part of the contract is not kept.

    Raises:
        AssertionError: ``holds`` is false.
    """
    if not holds:
        raise AssertionError(line)


def accepted(what: str, call: Callable[[], Result]) -> Result:
    """What ``call`` returns.

    Raises:
        AssertionError: the library refuses it; the line is that of the library.
    """
    try:
        return call()
    except InputError as error:
        raise AssertionError(f"{what}: {error}") from error
