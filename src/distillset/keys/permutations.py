"""Drawing without replacement: the first values of a keyed permutation, with nothing made that is as large as the set.

**Up to 128 values** are sorted by a random word each. Every order is equally likely, except where two words are equal
(probability below 2^-19).

**More values** go through a Feistel network. ``N`` values lie in a table of ``a`` times ``b`` places: ``a = 2^k``, at
most the root of N, and ``b = ceil(N / a)``. A place ``x`` is ``(l, r) = (x mod a, x div a)``, and each of five double
rounds is

    l  <-  l xor F(r)            F: b random numbers below a
    r  <-  (r + G(l)) mod b      G: a random numbers below b

Each line can be undone, so that all together are a permutation of the places, for certain. ``F`` and ``G`` are not
hashes but tables of random numbers, new ones for every round and about root N long: the network of Luby and Rackoff
("How to construct pseudorandom permutations", SIAM J. Comput. 1988) with random functions. What that gives:

- One value is uniform after one double round.
- A pair of values is uniform but for the chance that ``l`` or ``r`` of both agree in every round. How far its
  difference is from uniform (total variation) follows from a Markov chain over ``(l xor l', r - r')``: below 2^-15 for
  every N above 128, 2^-16 above 256, 2^-25 for 5000 (computed exactly in the tests).
- ``G`` chooses among ``b`` numbers with 32 - k bits, so that a number of it has a probability within a factor
  ``1 ± N / 2^32`` of uniform; five such numbers are added.

The ``a b - N < a`` places beyond N are walked through (Black and Rogaway, "Ciphers with arbitrary finite domains",
CT-RSA 2002): a value that falls there is put through the permutation again, until it comes out. A walk that began
below N never meets the same place twice, so it ends after at most ``a b - N`` steps. There are few such places, so that
all of them are put through the network beside the places asked for. Their table ``T`` then jumps along itself:
``T[z] <- T[T[z]]`` where ``T[z]`` is beyond N, ``ceil(log2(a b - N))`` times, and each entry tells where its walk ends.
No loop depends on a random number, and no walk is cut short.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from distillset.errors import InputError
from distillset.keys.philox import bits

SORTED = 128
LARGEST = 2**28
_DOUBLE_ROUNDS = 5


@dataclass(frozen=True)
class _Network:
    """Numbers of the network for one size (ints), or for a size per element of the batch (int64 ``[k, 1]``)."""

    size: int | Tensor
    shift: int | Tensor  # k
    mask: int | Tensor  # a - 1
    rows: int | Tensor  # b

    @staticmethod
    def of(size: int) -> "_Network":
        shift = (max(size - 1, 1).bit_length() - 1) // 2
        return _Network(size, shift, (1 << shift) - 1, -(-size >> shift))


class Sizes:
    """The size of each permutation in a batch: whole numbers that the host knows, laid where the words live.

    Make it once: it copies to the device.

        >>> Sizes([5, 300]).of
        (5, 300)

    Args:
        of: the sizes, 1 .. 2^28, one for each stream of the last axis of the batch.
        device: where the words live.

    Raises:
        InputError: a size out of range.
    """

    def __init__(self, of: Sequence[int], device: torch.device | str | None = None) -> None:
        for size in of:
            _check(size)
        self.of = tuple(of)
        networks = [(each.size, each.shift, each.mask, each.rows) for each in map(_Network.of, self.of)]
        table = torch.tensor(networks, dtype=torch.int64, device=device).view(-1, 4, 1)
        self.network = _Network(*table.unbind(1))


def permutation(words: Tensor, n: int, size: int | Sizes) -> Tensor:
    """The first ``n`` values of a random permutation of ``0 .. size - 1``: ``n`` draws without replacement.

    Every stream gives one. Value ``i`` does not depend on ``n``, nor on the rest of the batch.

        >>> permutation(torch.tensor([0, 0]), 4, 4).sort().values
        tensor([0, 1, 2, 3])

    Args:
        words: int64 ``[*batch, 2]``, the streams.
        n: values of each, at most the smallest size.
        size: 1 .. 2^28, or `Sizes` for one per stream.

    Returns:
        int64 ``[*batch, n]``.

    Raises:
        InputError: ``n`` or ``size`` out of range.
    """
    if isinstance(size, Sizes):
        sizes, network = size.of, size.network
        words = words.expand(*torch.broadcast_shapes(words.shape[:-1], (len(sizes),)), 2)
    else:
        sizes, network = (_check(size),), _Network.of(size)
    if not 0 <= n <= min(sizes):
        raise InputError(f"n={n}: a permutation of {min(sizes)} values has 0 .. {min(sizes)} first ones")
    small = [of for of in sizes if of <= SORTED]
    if len(small) == len(sizes):
        return _sorted(words, n, network.size, max(small))
    values = _walked(words, n, network, sizes)
    if not small:
        return values
    return torch.where(torch.as_tensor(network.size <= SORTED), _sorted(words, n, network.size, max(small)), values)


def _check(size: int) -> int:
    if not 1 <= size <= LARGEST:
        raise InputError(f"size={size}: a permutation has 1 to {LARGEST} values")
    return size


def _sorted(words: Tensor, n: int, size: int | Tensor, largest: int) -> Tensor:
    order = bits(words, (largest,))
    if isinstance(size, Tensor):  # what is beyond a smaller size comes last
        order = torch.where(torch.arange(largest, device=words.device) < size, order, 2**32)
    return order.argsort(dim=-1, stable=True)[..., :n]


def _walked(words: Tensor, n: int, network: _Network, sizes: Sequence[int]) -> Tensor:
    """The network's values at ``0 .. n - 1``, those beyond ``size`` walked on."""
    beyond, width = (max(numbers) for numbers in zip(*map(_beyond_and_width, sizes), strict=True))
    last = (network.rows << network.shift) - 1
    at = torch.arange(n + beyond, device=words.device)
    places = torch.where(at < n, at, (at + (network.size - n)).clamp(max=last))
    values = _feistel(words, places.expand(*words.shape[:-1], -1), network, width)
    if beyond == 0:
        return values
    values, walk = values.split((n, beyond), -1)
    for _ in range((beyond - 1).bit_length()):
        walk = _on(walk, walk, network.size)
    return _on(values, walk, network.size)


def _beyond_and_width(size: int) -> tuple[int, int]:
    """Places beyond ``size``, and the length of the longer kind of table."""
    network = _Network.of(size)
    shift, rows = int(network.shift), int(network.rows)
    return (rows << shift) - size, max(rows, 1 << shift)


def _on(values: Tensor, walk: Tensor, size: int | Tensor) -> Tensor:
    """``walk[value - size]`` for values beyond ``size``, which are walked on."""
    return torch.where(values < size, values, walk.gather(-1, (values - size).clamp(min=0)))


def _feistel(words: Tensor, places: Tensor, network: _Network, width: int) -> Tensor:
    """The network at ``places``, int64 ``[*batch, n]`` in 0 .. a b - 1; its longest table has ``width`` entries."""
    shift, rows = network.shift, network.rows
    random = bits(words, (width * _DOUBLE_ROUNDS,))  # entry v of table j is number 5 v + j: whatever the width is
    tables = [
        values.unflatten(-1, (width, _DOUBLE_ROUNDS)).unbind(-1)
        for values in (random & network.mask, ((random >> shift) * rows) >> (32 - shift))
    ]
    left, right = places & network.mask, places >> shift
    for f, g in zip(*tables, strict=True):
        left = left ^ f.gather(-1, right)
        right = (right + g.gather(-1, left)) % rows
    return (right << shift) | left
