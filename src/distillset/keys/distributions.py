"""Floating-point and whole numbers from random bits."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from distillset.errors import InputError
from distillset.keys.streams import bits

_BITS = {torch.float32: 24, torch.float64: 32}
LARGEST_RANGE = 2**31


def uniform(
    words: Tensor, shape: Sequence[int], low: float = 0.0, high: float = 1.0, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Uniform numbers in ``[low, high)``, one 32-bit word each.

    In ``[0, 1)`` float64 has all 32 bits of the word and float32 the upper 24, so that a float32 draw is the float64
    draw rounded down, and both are exact: equal on every device. Elsewhere they are scaled, equal to rounding.

        >>> uniform(torch.tensor([0, 0]), (2,))
        tensor([0.3990, 0.8805])

    Args:
        words: int64 ``[*batch, 2]``, the streams.
        shape: of what every stream gives.
        low: smallest value, as ``dtype`` has it.
        high: above all values, as ``dtype`` has it, even where scaling would round up to it.
        dtype: float32 or float64.

    Returns:
        ``[*batch, *shape]``.

    Raises:
        InputError: ``low`` is not below ``high``, or another ``dtype``.
    """
    precision = _precision(dtype)
    values = (bits(words, shape) >> (32 - precision)).to(dtype) * 2.0**-precision
    if (low, high) == (0.0, 1.0):
        return values
    _check_bounds(low, high, dtype)
    bound = torch.full((), high, dtype=dtype, device=words.device)
    largest = bound.nextafter(torch.full_like(bound, -math.inf))
    return torch.minimum(values * (high - low) + low, largest)


def normal(words: Tensor, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
    """Normal numbers of mean 0 and variance 1, two of them from two 32-bit words (Box and Muller, 1958).

    Numbers ``2 i`` and ``2 i + 1`` are ``sqrt(-2 log u) cos(2 pi v)`` and ``sqrt(-2 log u) sin(2 pi v)``, with ``u`` in
    (0, 1] and ``v`` in [0, 1) from words ``2 i`` and ``2 i + 1``. None is beyond ``sqrt(64 log 2)``, 6.66. float32 and
    float64 come from the same words and are equal to rounding, and so are devices.

    Args:
        words: int64 ``[*batch, 2]``, the streams.
        shape: of what every stream gives.
        dtype: float32 or float64; the computation is in that precision.

    Returns:
        ``[*batch, *shape]``, finite.

    Raises:
        InputError: another ``dtype``.
    """
    _precision(dtype)
    count = math.prod(shape)
    radial, angular = bits(words, (-(-count // 2), 2)).to(dtype).unbind(-1)
    radius = (((radial + 1) * 2.0**-32).log() * -2).sqrt()
    angle = angular * (2 * math.pi * 2.0**-32)
    values = torch.stack((radius * angle.cos(), radius * angle.sin()), -1).flatten(-2)
    return values[..., :count].reshape((*words.shape[:-1], *shape))


def integers(words: Tensor, shape: Sequence[int], low: int | Tensor, high: int | Tensor) -> Tensor:
    """Whole numbers in ``low .. high - 1``: the range times 64 random bits, divided by 2^64.

    Number ``i`` takes words ``2 i`` and ``2 i + 1``. The probability of each value is within a factor
    ``1 ± (high - low) / 2^64`` of uniform: less than 2^-32 off.

    Args:
        words: int64 ``[*batch, 2]``, the streams.
        shape: of what every stream gives.
        low: smallest value; an int64 tensor broadcasts against the result.
        high: largest value plus one, likewise; at most 2^31 above ``low``. What tensors hold is not checked.

    Returns:
        int64 ``[*batch, *shape]``.

    Raises:
        InputError: an empty or too large range of ints.
    """
    span = high - low
    if isinstance(span, int) and not 1 <= span <= LARGEST_RANGE:
        raise InputError.about(f"low={low}, high={high}", f"high must be 1 to {LARGEST_RANGE} above low")
    upper, lower = bits(words, (*shape, 2)).unbind(-1)
    return ((upper * span + ((lower * span) >> 32)) >> 32) + low


def _check_bounds(low: float, high: float, dtype: torch.dtype) -> None:
    kind, largest = torch.finfo(dtype), max(abs(low), abs(high))
    spacing = max(kind.eps * largest, kind.smallest_normal)  # at least: closer numbers may be one number in this dtype
    if not (low + spacing <= high and largest <= kind.max and high - low <= kind.max):
        raise InputError.about(f"low={low}, high={high}", f"low must be below high, both finite, and differ in {dtype}")


def _precision(dtype: torch.dtype) -> int:
    if dtype not in _BITS:
        raise InputError("dtype", dtype, "random numbers are float32 or float64")
    return _BITS[dtype]
