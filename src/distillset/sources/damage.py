"""Where one picture is damaged, the others that are so too are named in the same line."""

from collections.abc import Callable, Iterable
from concurrent.futures import Executor

from torch import Tensor

from distillset.errors import InputError
from distillset.sources.pictures import DamagedError, decoded
from distillset.sources.splits import Block, Picture

NAMED = 10
"""Pictures that are named in full."""

MOST = 200
"""Damaged pictures after which no more are looked for."""


def all_damaged(
    blocks: Iterable[tuple[Block, Callable[[int], str]]], stop: Callable[[], bool], pool: Executor | None = None
) -> InputError:
    """One error that names all pictures that cannot be decoded.

    Args:
        blocks: pictures, and what messages call the one at a position; the first has a damaged one.
        stop: asked between blocks whether to look no further.
        pool: threads to decode in.
    """
    found: list[str] = []
    whole = True
    for block, row in blocks:
        if len(found) >= MOST or (found and stop()):
            whole = False
            break
        if isinstance(block, Tensor):
            continue

        def damage(position: int, block: Block = block, row: Callable[[int], str] = row) -> str | None:
            picture: Picture = block[position]
            try:
                decoded(picture, row, position)
            except DamagedError as error:
                return str(error)
            return None

        found += [said for said in (pool.map if pool else map)(damage, range(len(block))) if said is not None]
    if len(found) == 1:
        return InputError(found[0])
    more = f"; and {len(found) - NAMED} more" if len(found) > NAMED else ""
    count = f"{len(found)}" if whole else f"at least {len(found)}"
    return InputError(f"{count} images cannot be used: {'; '.join(found[:NAMED])}{more}")
