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
- Constants are kept for the CPU only. On other devices they are made anew in every call (`torch.arange`): a copy from
  the host may not be captured in a CUDA graph, and what is made within one is not to be kept.
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
    number = number.expand(batch).reshape(-1, 1)
    even = torch.stack((number & MASK, torch.zeros_like(number)))
    crossed = torch.stack((torch.full_like(number, _FOLD), (number >> 32) & MASK))
    even, _ = _rounds(even, crossed, words.expand((*batch, 2)).reshape(-1, 2))
    return even.movedim(0, -1).reshape((*batch, 2))


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
        values = _row(rows, 0, blocks)
    else:
        starts = range(0, blocks, _CHUNK)
        parts = [
            torch.cat([_row(some, start, min(start + _CHUNK, blocks)) for start in starts], -1)
            for some in rows.split(max(1, _CHUNK // blocks))
        ]
        values = torch.cat(parts)
    return values[:, :count].reshape((*batch, *shape))


def philox(counter: Tensor, words: Tensor) -> Tensor:
    """Philox4x32-10 of counters ``[k, 4]`` under keys ``[k, 2]``: int64 ``[k, 4]``."""
    c0, c1, c2, c3 = counter.unsqueeze(-1).unbind(1)
    return _in_order(*_rounds(torch.stack((c0, c2)), torch.stack((c3, c1)), words))


def _row(words: Tensor, start: int, stop: int) -> Tensor:
    """What ``k`` streams give for counters ``start .. stop - 1``: ``[k, 4 (stop - start)]``."""
    first = _constants(words)[0]
    return _in_order(*_rounds(torch.arange(start, stop, device=words.device) * first, None, words))


def _in_order(even: Tensor, odd: Tensor) -> Tensor:
    """``[2, k, blocks]`` twice to ``[k, 4 blocks]``."""
    _, rows, blocks = even.shape
    return torch.stack((even, odd), -1).movedim(0, -2).reshape(rows, 4 * blocks)


def _rounds(even: Tensor, crossed: Tensor | None, words: Tensor) -> tuple[Tensor, Tensor]:
    """``(c0, c2)`` and ``(c3, c1)``, ``[2, k, blocks]``, to the output's ``(c0, c2)`` and ``(c1, c3)``.

    The upper halves are left where they arise, so that the order within the pair is the other one after every round
    (also that of the multipliers and the key's words), and only the lower halves have to change sides.
    """
    _, steps, *multipliers = _constants(words)
    schedule = (words.t().unsqueeze(-1) + steps) & MASK
    keys = schedule.flip(1).unbind(), schedule.unbind()
    for index in range(_ROUNDS):
        product = even * multipliers[index % 2]
        even = ((product >> 32) + even) ^ keys[index % 2][index]
        if crossed is not None:
            even = even ^ crossed
        odd = product & MASK
        if index < _ROUNDS - 1:
            crossed = odd.flip(0)
    return even, odd


def _constants(words: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """1 and 0; what each round adds to the key, ``[10, 2, 1, 1]``; the multipliers in both orders, ``[2, 1, 1]``."""
    plain = words.device.type == "cpu" and type(words) is Tensor and not torch.compiler.is_compiling()
    return _ON_CPU if plain else _made(words.device)


def _made(device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    def pair(first: int, second: int) -> Tensor:
        return torch.arange(first, 2 * second - first, second - first, device=device).view(2, 1, 1)

    rounds = torch.arange(_ROUNDS, device=device).view(_ROUNDS, 1, 1, 1)
    return pair(1, 0), rounds * pair(*_KEY_STEPS), pair(*_MULTIPLIERS), pair(*_MULTIPLIERS[::-1])


_ON_CPU = _made(torch.device("cpu"))
