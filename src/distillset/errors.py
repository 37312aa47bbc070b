"""What can end a command before it is done, each with its exit code.

Every error a user can cause is one of these. The command line prints the message as one line and exits with
``exit_code``; in Python they are ordinary exceptions (`InputError` is also a `ValueError`).
"""

import difflib
import errno
import re
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


class GoneError(DiskError):
    """A folder that was being written to was removed, or replaced by another."""


class InterruptedRun(KeyboardInterrupt):
    """The run was asked to stop (Ctrl-C or SIGTERM) and has saved its state.

    No `Exception`: signals come at any moment, also in the middle of other packages, which catch those, and log them or
    raise others in their place.
    """

    exit_code = 130


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What a disk says that is full, or fails."""


def unwritable(what: str, error: OSError, advice: str = "") -> DistillsetError:
    """The error to raise where ``what``, named by the user, could not be written: the machine's (exit code 1) where the
    disk is full or fails, else the user's, who may not write there.

    Args:
        what: starts the message.
        error: what the system, or the store, said.
        advice: ends the message where the user can name something else.
    """
    if isinstance(error, DiskError):
        if not isinstance(error.__cause__, OSError):
            return error  # it says what is wrong
        error = error.__cause__
    line = f"{what}: cannot be written ({error.strerror or error})"
    return DiskError(f"{line}; what was whole is kept") if error.errno in FULL else InputError(line + advice)


def wanted_memory(error: Exception) -> str | None:
    """What was asked for where ``error`` says that memory ran out, to be put behind that; None for any other error.

    PyTorch has a class of its own for GPUs alone; on a CPU it is a `RuntimeError`, of which only the text tells.
    """
    text = str(error)
    short = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    if not short and not isinstance(error, RuntimeError):
        return None
    if not short and not re.search(r"(can't|cannot) allocate|not enough memory|out of memory|Storage size", text, re.I):
        return None
    asked = re.search(r"allocate (\d[\d.]* ?(?:bytes|[KMGTPE]iB))", text)
    return f": {asked[1]} were asked for" if asked else ""


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
        text = " ".join(repr(value).split())
    except (
        ValueError,
        RecursionError,
        RuntimeError,
        NotImplementedError,
    ) as error:  # a number of thousands of digits, a list that holds itself
        text = f"{type(value).__name__} ({error})"
    return text if len(text) <= most else text[: most - 3] + "..."


def reason(error: BaseException, most: int = 300) -> str:
    """What another package says of a failure, as a part of one line, cut where it is long."""
    text = " ".join(str(error).split())
    return text if len(text) <= most else text[: most - 3] + "..."
