"""The folder of the cache."""

import os
from pathlib import Path

from distillset.errors import InputError
from distillset.trust import own_folder


def cache_path() -> Path:
    """``DISTILLSET_CACHE``, or ``~/.cache/distillset``. It may be deleted at any time."""
    named = os.environ.get("DISTILLSET_CACHE") or "~/.cache/distillset"
    try:
        return Path(named).expanduser()
    except RuntimeError:
        raise InputError.about(
            named, "there is no such home; name a folder for the cache with DISTILLSET_CACHE"
        ) from None


def cache_folder(part: str = "") -> Path:
    """`cache_path`, or a folder in it, made for this user alone.

    Raises:
        InputError: others can write in it; see `distillset.trust`.
    """
    folder = own_folder(cache_path())
    return own_folder(folder / part) if part else folder
