"""Philox4x32-10: random words as a function of a key and a counter, in integer operations of tensors.

The generator of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011): ten rounds turn
a counter of four 32-bit words into four random ones under a key of two. One round is, with ``hi`` and ``lo`` the upper
and lower 32 bits of a product,

    c0, c1, c2, c3  <-  hi(M1 c2) ^ c1 ^ k0,  lo(M1 c2),  hi(M0 c0) ^ c3 ^ k1,  lo(M0 c0)

and the key's words grow by a constant after each. Words are int64 in 0 .. 2^32-1.

A product of two such words overflows int64, and a C++ compiler may rely on that not happening. Both multipliers are
above 2^31, so each is replaced by itself less 2^32, a negative number of at most 30 bits. Then, exactly,
``hi(M c) = (((M - 2^32) c) >> 32) + c``, and ``lo`` is unchanged.

There are two forms. Without compilation an operation on a CPU costs more than its arithmetic: `_in_pairs` does both
halves of a round in one. A compiler makes one loop of all rounds if they work element by element: `_one_by_one`.
"""

from typing import cast

import torch
from torch import Tensor

MASK = 2**32 - 1
_ROUNDS = 10
_MULTIPLIERS = (0xD2511F53 - 2**32, 0xCD9E8D57 - 2**32)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)

Word = Tensor | int
Four = tuple[Tensor, Tensor, Tensor, Tensor]


def philox(c0: Tensor, c1: Word, c2: Word, c3: Word, words: Tensor) -> Four:
    """The four words of output for counters ``(c0, c1, c2, c3)`` under the keys ``words``.

    Args:
        c0: int64 ``[k or 1, blocks]`` in 0 .. 2^32-1.
        c1: likewise, or one number for all; also ``c2`` and ``c3``.
        words: int64 ``[k, 2]``.

    Returns:
        four tensors, int64 ``[k, blocks]``.
    """
    if torch.compiler.is_compiling():
        return _one_by_one(c0, c1, c2, c3, words)
    zeros = isinstance(c1, int) and isinstance(c3, int) and c1 == c3 == 0
    even, odd = _in_pairs(_pair(c0, c2, c0), None if zeros else _pair(c3, c1, c0), words)
    (c0, c2), (c1, c3) = even.unbind(), odd.unbind()
    return c0, c1, c2, c3


def _one_by_one(c0: Word, c1: Word, c2: Word, c3: Word, words: Tensor) -> Four:
    # Without the mask of c0 PyTorch 2.13 takes `arange` times a multiplier for an index, with steps of the multiplier's
    # size, and adds those up in 32 bits in its C++: wrong from the fourth counter on.
    c0, k0, k1 = c0 & MASK, words[:, :1] & MASK, words[:, 1:] & MASK
    for _ in range(_ROUNDS):
        first, second = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c2 = ((second >> 32) + c2) ^ c1 ^ k0, ((first >> 32) + c0) ^ c3 ^ k1
        c1, c3 = second & MASK, first & MASK
        k0, k1 = (k0 + _KEY_STEPS[0]) & MASK, (k1 + _KEY_STEPS[1]) & MASK
    return cast(Four, (c0, c1, c2, c3))  # all of them depend on the key after two rounds


def _in_pairs(even: Tensor, crossed: Tensor | None, words: Tensor) -> tuple[Tensor, Tensor]:
    """``(c0, c2)`` and ``(c3, c1)``, ``[2, k, blocks]``, to the output's ``(c0, c2)`` and ``(c1, c3)``.

    The upper halves are left where they arise, so that the order within the pair is the other one after every round
    (also that of the multipliers and the key's words), and only the lower halves have to change sides.
    """
    steps, *multipliers = _constants(words)
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


def _pair(first: Word, second: Word, like: Tensor) -> Tensor:
    return torch.stack([word if isinstance(word, Tensor) else torch.full_like(like, word) for word in (first, second)])


def _constants(words: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What each round adds to the key, ``[10, 2, 1, 1]``; the multipliers in both orders, ``[2, 1, 1]``.

    Kept for the CPU only. On other devices they are made in every call, by `torch.arange`: a copy from the host may not
    be captured in a CUDA graph, and what is made within one is not to be kept. Nor is what is made while tracing.
    """
    return _ON_CPU if words.device.type == "cpu" and type(words) is Tensor else _on_device(words.device)


def _on_device(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    def pair(first: int, second: int) -> Tensor:
        return torch.arange(first, 2 * second - first, second - first, device=device).view(2, 1, 1)

    rounds = torch.arange(_ROUNDS, device=device).view(_ROUNDS, 1, 1, 1)
    return rounds * pair(*_KEY_STEPS), pair(*_MULTIPLIERS), pair(*_MULTIPLIERS[::-1])


_ON_CPU = _on_device(torch.device("cpu"))
