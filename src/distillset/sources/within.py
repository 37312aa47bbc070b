"""Files that a table or a card names are read only inside the folder of the data, and only if they are regular ones."""

import os
from pathlib import Path

from distillset.errors import InputError
from distillset.sources.tree import regular


def inside(path: Path, top: Path, allow_outside: bool) -> Path:
    """``path``, absolute or relative to ``top``, if it lies there, also after links are followed.

    Raises:
        InputError: it lies elsewhere and that is not allowed, or it is no regular file.
    """
    try:
        full = top / path.expanduser()
        real, real_top = os.path.realpath(full), os.path.realpath(top)
    except (OSError, ValueError, RuntimeError):
        raise InputError.about("", f"No such file: {str(path)[:200]!r}") from None
    if not allow_outside and not real.startswith(real_top.rstrip(os.sep) + os.sep):
        raise InputError.about("", f"{path} is outside the data's folder; `allow_outside=True` reads images there")
    if not regular(full):
        raise InputError.about("", f"No such file: {path}, or no regular one")
    return full
