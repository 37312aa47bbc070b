"""Philox4x32-10: random bits as a function of a key and a counter, in integer operations of tensors.

The generator of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011): ten rounds turn
a counter of four 32-bit words into four random ones under a key of two. One round is, with ``hi`` and ``lo`` the upper
and lower 32 bits of a product,

    c0, c1, c2, c3  <-  hi(M1 c2) ^ c1 ^ k0,  lo(M1 c2),  hi(M0 c0) ^ c3 ^ k1,  lo(M0 c0)

and the key's words grow by a constant after each. Words are int64 in 0 .. 2^32-1. How it is written, and why:

- ``(c0, c2)`` and ``(c1, c3)`` are two tensors with a leading axis of two, so that both multiplications are one
  operation: without compilation an operation on a CPU costs more than its arithmetic.
- A product of two 32-bit words overflows int64, and a C++ compiler may rely on that not happening. Both multipliers
  are above 2^31, so each is replaced by itself less 2^32, a negative number of at most 30 bits. Then
  ``hi(M c) = (((M - 2^32) c) >> 32) + c`` exactly, and ``lo`` is unchanged.
- Constants are made where the words live (`torch.arange`), as a copy from the host may not be captured in a CUDA graph.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

MASK = 2**32 - 1
_ROUNDS = 10
_MULTIPLIERS = (0xD2511F53 - 2**32, 0xCD9E8D57 - 2**32)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_FOLD = 1  # the last counter word: 0 for the numbers of a stream, 1 for the streams below it
_CHUNK = 8192  # counters worked on at a time on a CPU: their tensors of 128 KiB stay in its cache


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
    """
    if not isinstance(number, Tensor):
        number = torch.full((), number, dtype=torch.int64, device=words.device)
    batch = torch.broadcast_shapes(words.shape[:-1], number.shape)
    number = number.expand(batch).unsqueeze(-1)
    even = torch.stack((number & MASK, torch.zeros_like(number)))
    crossed = torch.stack((torch.full_like(number, _FOLD), (number >> 32) & MASK))
    return _rounds(even, crossed, words.expand(*batch, 2))[0].squeeze(-1).movedim(0, -1)


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
    blocks = -(-count // 4)
    if words.device.type != "cpu" or torch.compiler.is_compiling() or batch.numel() * blocks <= _CHUNK:
        values = _blocks(words, 0, blocks)[..., :count]
    else:
        rows = max(1, _CHUNK // blocks)
        values = torch.cat([_row(some, blocks)[..., :count] for some in words.reshape(-1, 2).split(rows)])
    return values.reshape((*batch, *shape))


def philox(counter: Tensor, words: Tensor) -> Tensor:
    """Philox4x32-10 of counters ``[*batch, 4]`` under keys ``[*batch, 2]``: int64 ``[*batch, 4]``."""
    c0, c1, c2, c3 = counter.unsqueeze(-1).unbind(-2)
    return _four(*_rounds(torch.stack((c0, c2)), torch.stack((c3, c1)), words)).squeeze(-2)


def _row(words: Tensor, blocks: int) -> Tensor:
    starts = range(0, blocks, _CHUNK)
    return torch.cat([_blocks(words, start, min(start + _CHUNK, blocks)) for start in starts], -1)


def _blocks(words: Tensor, start: int, stop: int) -> Tensor:
    block = torch.arange(start, stop, device=words.device)
    even = torch.stack((block, torch.zeros_like(block))).view(2, *[1] * (words.dim() - 1), -1)
    return _four(*_rounds(even, None, words)).flatten(-2)


def _four(even: Tensor, odd: Tensor) -> Tensor:
    """``[2, *batch, blocks]`` twice to ``[*batch, blocks, 4]``."""
    return torch.stack((even, odd), -1).movedim(0, -2).flatten(-2)


def _rounds(even: Tensor, crossed: Tensor | None, words: Tensor) -> tuple[Tensor, Tensor]:
    """``(c0, c2)`` and ``(c3, c1)``, ``[2, *batch, blocks]``, to the output's ``(c0, c2)`` and ``(c1, c3)``.

    The upper halves are left where they arise, so that the pair's order is the other one after every round (that of
    the multipliers and key words with it), and only the lower halves have to change sides.
    """
    ones = [1] * words.dim()
    step = torch.arange(_ROUNDS, device=words.device).view(-1, 1, *ones)
    schedule = (words.movedim(-1, 0).unsqueeze(-1) + step * _pair(_KEY_STEPS, words)) & MASK
    multipliers = _pair(_MULTIPLIERS, words)
    orders = (multipliers, schedule.flip(1).unbind()), (multipliers.flip(0), schedule.unbind())
    for index in range(_ROUNDS):
        multiplier, keys = orders[index % 2]
        product = even * multiplier
        even = ((product >> 32) + even) ^ keys[index]
        if crossed is not None:
            even = even ^ crossed
        odd = product & MASK
        crossed = odd.flip(0)
    return even, odd


def _pair(values: tuple[int, int], words: Tensor) -> Tensor:
    first, second = values
    step = second - first
    return torch.arange(first, first + 2 * step, step, device=words.device).view(2, *[1] * words.dim())
