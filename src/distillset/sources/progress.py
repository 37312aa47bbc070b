"""A bar for what takes a while, on stderr and only where somebody watches."""

import sys
from typing import Any


class Bar:
    """Progress over a known number of images.

    Args:
        what: the words in front of the bar.
        total: number of images.
        shown: None shows it on a terminal only.
    """

    def __init__(self, what: str, total: int, shown: bool | None = None) -> None:
        self._bar: Any = None
        if shown or (shown is None and sys.stderr.isatty()):
            from tqdm import tqdm

            self._bar = tqdm(desc=what, total=total, unit="image", unit_scale=True, dynamic_ncols=True, file=sys.stderr)

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self, images: int) -> None:
        """Count ``images`` more as done."""
        if self._bar is not None:
            self._bar.update(images)
