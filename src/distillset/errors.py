"""What can end a command before it is done, each with its exit code.

Every error a user can cause is one of these. The command line prints the message as one line and exits with
``exit_code``; in Python they are ordinary exceptions (`InputError` is also a `ValueError`).
"""

import difflib
import errno
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Self


class DistillsetError(Exception):
    """Base of the errors that distillset raises on purpose. The message is one line and says what to do."""

    exit_code = 1


class InputError(DistillsetError, ValueError):
    """The user's input is wrong. The message is one line: the field, the value received, and what is allowed.

    ``InputError("lr", -1.0, "must be a finite number above 0")`` reads ``lr=-1.0: must be a finite number above 0``.
    The command line shows the flag in place of the field's name.

    Args:
        field: the argument of the function or the field of the class, such as ``batch_real``.
        value: what was received.
        allowed: what is allowed, or why this value cannot be used. Another argument is named as in Python code, between
            backticks: ``mixed sizes need `resize`, such as `resize=(32, 48)` ``. The command line prints its flag.
    """

    exit_code = 2

    def __init__(self, field: str, value: object, allowed: str) -> None:
        super().__init__(field, value, allowed)
        self.field, self.value, self.allowed = field, value, allowed
        self.is_argument = True

    @classmethod
    def about(cls, thing: object, fault: str) -> Self:
        """An error about something that is no argument, such as a damaged file: ``PATH: what is wrong with it``.

        Args:
            thing: its name, such as the path; empty where whoever catches the error adds it. The attribute ``field``
                holds it; ``value`` is None.
            fault: what is wrong, and what is needed instead; other arguments as in ``allowed``.
        """
        error = cls(str(thing), None, fault)
        error.is_argument = False
        return error

    def __str__(self) -> str:
        if not self.is_argument:
            return one_line(f"{self.field}: {self.allowed}" if self.field else self.allowed)
        value = repr(str(self.value)) if isinstance(self.value, Path) else shown(self.value, LONGEST)
        return one_line(f"{self.field}={value}: {self.allowed}")


class BusyError(InputError):
    """Another process is using the folder."""


class DivergedError(DistillsetError):
    """A loss, gradient or pixel stopped being finite. The last good state is kept on disk."""

    exit_code = 3


class LostRankError(DistillsetError):
    """Another rank of a distributed run has stopped. The last checkpoint is kept on disk."""


class DiskError(DistillsetError, OSError):
    """The disk is full, cannot be written, or a folder went away. Files that were complete are unchanged."""


class GoneError(DiskError):
    """A folder that was being written to was removed, or replaced by another."""


class InterruptedRun(KeyboardInterrupt):
    """The run was asked to stop (Ctrl-C or SIGTERM) and has saved its state.

    No `Exception`: signals come at any moment, also in the middle of other packages, which catch those, and log them or
    raise others in their place.
    """

    exit_code = 130


LONGEST = 200
"""Characters of a value that a message shows; a path is shown whole."""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What a disk says that is full, or fails."""


def unwritable(path: object, error: OSError, field: str = "", advice: str = "") -> DistillsetError:
    """The error to raise where ``path`` could not be written.

    It is the machine's (exit code 1) where the disk is full or fails, else the user's, who may not write there.

    Args:
        path: where, or what was to be written; it starts the message.
        error: what the system, or the store, said.
        field: the argument that names the path, if one does.
        advice: ends the message where the user can name something else.
    """
    if isinstance(error, DiskError):
        if not isinstance(error.__cause__, OSError):
            return error  # it says what is wrong
        error = error.__cause__
    fault = f"cannot be written ({error.strerror or error})"
    if error.errno in FULL:
        return DiskError(f"{path}: {fault}; files that were complete are unchanged")
    return InputError(field, path, fault + advice) if field else InputError.about(path, fault + advice)


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
    except Exception as error:  # a number of thousands of digits, a list that holds itself, a class of somebody else
        text = f"{type(value).__name__} ({error})"
    return text if len(text) <= most else text[: most - 3] + "..."


def one_line(text: str) -> str:
    """``text`` with a space in place of every line break."""
    return " ".join(text.splitlines())


def reason(error: BaseException, most: int = 300) -> str:
    """What another package says of a failure, as a part of one line, cut where it is long."""
    text = " ".join(str(error).split())
    return text if len(text) <= most else text[: most - 3] + "..."
