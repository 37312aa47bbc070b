"""If one picture is damaged, the error names all damaged pictures."""

from collections.abc import Callable, Iterable
from concurrent.futures import Executor

from torch import Tensor

from distillset.errors import InputError
from distillset.sources.pictures import DamagedError, decoded
from distillset.sources.splits import Block, Picture
from distillset.watch import Watcher

NAMED = 10
"""Pictures that are named in full."""

MOST = 200
"""Damaged pictures after which no more are looked for."""


def all_damaged(
    blocks: Iterable[tuple[Block, Callable[[int], str]]], watcher: Watcher, pool: Executor | None = None
) -> InputError:
    """One error that names all pictures that cannot be decoded.

    Args:
        blocks: pictures, and what messages call the one at a position; the first has a damaged one.
        watcher: asked between blocks whether to look no further.
        pool: threads to decode in.
    """
    errors: list[DamagedError] = []
    whole = True
    for block, row in blocks:
        if len(errors) >= MOST or (errors and watcher.stop()):
            whole = False
            break
        if isinstance(block, Tensor):
            continue

        def damage(position: int, block: Block = block, row: Callable[[int], str] = row) -> DamagedError | None:
            picture: Picture = block[position]
            try:
                decoded(picture, row, position)
            except DamagedError as damaged:
                return damaged
            return None

        errors += [error for error in (pool.map if pool else map)(damage, range(len(block))) if error is not None]
    if len(errors) == 1:
        return errors[0]
    count = f"{len(errors)}" if whole else f"at least {len(errors)}"
    reasons: dict[str, list[str]] = {}
    for error in errors[:NAMED]:
        reasons.setdefault(error.allowed, []).append(error.field)
    said = "; ".join(
        f"{rows[0]}: {why}" + (f" (also {', '.join(rows[1:])})" if rows[1:] else "") for why, rows in reasons.items()
    )
    more = f"; and {len(errors) - NAMED} more" if len(errors) > NAMED else ""
    return InputError.about(f"{count} images cannot be used", f"{said}{more}")
