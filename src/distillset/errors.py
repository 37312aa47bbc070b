"""What can end a command before it is done, each with its exit code.

Every error a user can cause is one of these. The command line prints the message as one line and exits with
``exit_code``; in Python they are ordinary exceptions (`InputError` is also a `ValueError`).
"""

import difflib
from collections.abc import Iterable


class DistillsetError(Exception):
    """Base of the errors that distillset raises on purpose. The message is one line and says what to do."""

    exit_code = 1


class InputError(DistillsetError, ValueError):
    """The user's input is wrong. The message names the field, the value received and what is allowed."""

    exit_code = 2


class DivergedError(DistillsetError):
    """A loss, gradient or pixel stopped being finite. The last good state is kept on disk."""

    exit_code = 3


class LostRankError(DistillsetError):
    """Another rank of a distributed run has stopped. The last checkpoint is kept on disk."""


class DiskError(DistillsetError, OSError):
    """The disk is full, cannot be written, or a folder went away. What was whole before is whole still."""


class InterruptedRun(KeyboardInterrupt):
    """The run was asked to stop (Ctrl-C or SIGTERM) and has saved its state.

    No `Exception`: signals come at any moment, also in the middle of other packages, which catch those, and log them or
    raise others in their place.
    """

    exit_code = 130


def nearest(name: str, names: Iterable[str], cutoff: float = 0.6) -> str:
    """`` (did you mean NAME?)`` for the one of ``names`` most like ``name``; empty where none is alike."""
    near = difflib.get_close_matches(name, list(names), n=1, cutoff=cutoff)
    return f" (did you mean {near[0]}?)" if near else ""


def shown(value: object, most: int = 100) -> str:
    """``repr(value)``, cut where it is long: an error is one line that can be read.

    >>> shown([1, 2]), shown("x" * 1000, 10)
    ('[1, 2]', "'xxxxxx...")
    """
    try:
        text = repr(value)
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, a list that holds itself
        text = f"{type(value).__name__} ({error})"
    return text if len(text) <= most else text[: most - 3] + "..."


def reason(error: BaseException, most: int = 300) -> str:
    """What another package says of a failure, as a part of one line, cut where it is long."""
    text = " ".join(str(error).split())
    return text if len(text) <= most else text[: most - 3] + "..."
