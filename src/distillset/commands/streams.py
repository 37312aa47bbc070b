"""Output streams of a command: if a terminal is closed or a disk is full, the run still continues to its end."""

import errno
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from io import TextIOBase
from typing import TextIO

from distillset.escapes import printable


class Stream(TextIOBase):
    """A stream that passes text on until that fails, and drops it from then on.

    Args:
        stream: what is written to.
        escaped: whether control characters other than lines and tabs are passed on as escapes.
    """

    def __init__(self, stream: TextIO, escaped: bool) -> None:
        self.stream, self.escaped = stream, escaped
        self.error: OSError | None = None
        """Why it failed."""

    def write(self, text: str) -> int:
        shown = printable(text, allowed="\n\t") if self.escaped else text
        try:
            self._pass(lambda: self.stream.write(shown))
        except UnicodeEncodeError:  # a stream of ASCII, say
            encoded = shown.encode(self.stream.encoding, "backslashreplace").decode(self.stream.encoding)
            self._pass(lambda: self.stream.write(encoded))
        return len(text)

    def flush(self) -> None:
        self._pass(self.stream.flush)

    def _pass(self, act: Callable[[], object]) -> None:
        if self.error is None:
            try:
                act()
            except OSError as error:
                self._fail(error)
            except UnicodeEncodeError:
                raise
            except ValueError:  # it was closed
                self._fail(OSError(errno.EBADF, os.strerror(errno.EBADF)))

    def _fail(self, error: OSError) -> None:
        """Take note, and let what is left in buffers go nowhere: at the exit it would fail again."""
        self.error = error
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())
            os.close(nowhere)

    def fileno(self) -> int:
        return self.stream.fileno()

    def isatty(self) -> bool:
        return self.stream.isatty()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """That of the stream: a bar draws blocks where it has them."""
        return self.stream.encoding


def open_missing() -> None:
    """Open what a caller closed (``>&-``), to nowhere: else the next file that is opened takes its number, and what a
    library writes to it would end up in there.
    """
    while (opened := os.open(os.devnull, os.O_RDWR)) < 3:
        os.set_inheritable(opened, True)
    os.close(opened)
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: PTH123, SIM115
