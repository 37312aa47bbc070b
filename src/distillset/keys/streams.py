"""Streams of random words, and the streams below them."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from distillset.errors import InputError
from distillset.keys.philox import MASK, philox

_FOLD = 1  # the last counter word: 0 for the numbers of a stream, 1 for the streams below it
_CHUNK = 8192  # counters worked on at a time on a CPU: their tensors of 128 KiB stay in its cache


def broadcast(one: Sequence[int], other: Sequence[int]) -> list[int]:
    """The shape that two shapes broadcast to. PyTorch's `broadcast_shapes` imports SymPy, which takes as long as a run.

    Raises:
        InputError: they do not.
    """
    length = max(len(one), len(other))
    pairs = zip([1] * (length - len(one)) + list(one), [1] * (length - len(other)) + list(other), strict=True)
    sides = list(pairs)
    if any(a != b and 1 not in (a, b) for a, b in sides):
        raise InputError.about(f"shapes {list(one)} and {list(other)}", "they must broadcast")
    return [b if a == 1 else a for a, b in sides]


def fold(words: Tensor, number: int | Tensor) -> Tensor:
    """The streams below these with integers for names.

    They differ from the numbers of the streams themselves, and from the words of the path ``key(number)`` of a `Key`.

        >>> fold(torch.tensor([1, 2]), torch.arange(3)).shape
        torch.Size([3, 2])

    Args:
        words: int64 ``[*batch, 2]``.
        number: an integer of 64 bits, or an int64 tensor that broadcasts against ``batch``.

    Returns:
        int64 ``[*batch, 2]``, the batch broadcast with ``number``.

    Raises:
        InputError: a ``number`` of another dtype, or an int of more than 64 bits.
    """
    if not isinstance(number, Tensor):
        if not -(2**63) <= number < 2**63:
            raise InputError("number", number, "streams are numbered -2^63 .. 2^63 - 1")
        number = torch.full((), number, dtype=torch.int64, device=words.device)
    elif number.dtype != torch.int64:
        raise InputError.about(f"number of dtype {number.dtype}", "streams are numbered by int64")
    batch = broadcast(words.shape[:-1], number.shape)
    number = number.expand(batch).reshape(-1, 1)
    rows = words.expand((*batch, 2)).reshape(-1, 2)
    c0, _, c2, _ = philox(number & MASK, (number >> 32) & MASK, 0, _FOLD, rows)
    return torch.stack((c0, c2), -1).view((*batch, 2))


def bits(words: Tensor, shape: Sequence[int]) -> Tensor:
    """Uniform 32-bit words: number ``i`` of a stream is output ``i % 4`` of counter ``(i // 4, 0, 0, 0)``.

        >>> bits(torch.tensor([0, 0]), (4,)).tolist() == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
        True

    Args:
        words: int64 ``[*batch, 2]``, the streams.
        shape: of what every stream gives; its product is at most 2^34.

    Returns:
        int64 ``[*batch, *shape]`` in 0 .. 2^32-1.
    """
    count, batch = math.prod(shape), words.shape[:-1]
    blocks, rows = -(-count // 4), words.reshape(-1, 2)
    if rows.device.type != "cpu" or torch.compiler.is_compiling() or len(rows) * blocks <= _CHUNK:
        values = _blocks(rows, 0, blocks)
    else:
        starts = range(0, blocks, _CHUNK)
        parts = [
            torch.cat([_blocks(some, start, min(start + _CHUNK, blocks)) for start in starts], -1)
            for some in rows.split(max(1, _CHUNK // blocks))
        ]
        values = torch.cat(parts)
    return values[:, :count].reshape((*batch, *shape))


def _blocks(words: Tensor, start: int, stop: int) -> Tensor:
    """What ``k`` streams give for counters ``start .. stop - 1``: ``[k, 4 (stop - start)]``."""
    block = torch.arange(start, stop, device=words.device).view(1, -1)
    return torch.stack(philox(block, 0, 0, 0, words), -1).view(len(words), 4 * (stop - start))
