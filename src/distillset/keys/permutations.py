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
below N never meets the same place twice, so it passes at most ``a b - N`` of them. There are few such places, so that
all of them are put through the network beside the places asked for. That says for each which one follows it; following
twice as far, again and again, leads ``ceil(log2(a b - N))`` times later to the last of its walk, and so to the value
that it comes out at. No loop depends on a random number, and no walk is cut short.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from distillset.errors import InputError
from distillset.keys.streams import bits, broadcast

SORTED = 128
LARGEST = 2**28
_DOUBLE_ROUNDS = 5


class Sizes:
    """The size of each permutation in a batch: whole numbers that the host knows, laid where the words live.

    Make it once, not in every step: numbers that differ are copied to the device.

        >>> Sizes([5, 300]).smallest
        5

    Args:
        of: the sizes, 1 .. 2^28, one for each stream of the last axis of the batch; or one for all streams.
        device: where the words live.

    Raises:
        InputError: a size out of range, or none.
    """

    def __init__(self, of: int | Sequence[int], device: torch.device | str | None = None) -> None:
        sizes = (of,) if isinstance(of, int) else tuple(of)
        if not sizes:
            raise InputError("sizes", sizes, "at least one is needed")
        for size in sizes:
            if not 1 <= size <= LARGEST:
                raise InputError("size", size, f"a permutation has 1 to {LARGEST} values")
        self.batch = () if isinstance(of, int) else (len(sizes),)
        networks = [_network(size) for size in dict.fromkeys(sizes)]
        self.smallest, self.largest = min(sizes), max(sizes)
        self.largest_sorted = max([size if size <= SORTED else 0 for size in sizes])
        self.beyond = max([(rows << shift) - size for size, shift, rows in networks])
        self.width = max([max(rows, 1 << shift) for _, shift, rows in networks])
        # N, k and b: numbers, or tensors [len(of), 1] where they differ.
        self.size: int | Tensor
        self.shift: int | Tensor
        self.rows: int | Tensor
        if len(networks) == 1:
            self.size, self.shift, self.rows = networks[0]
        else:
            table = torch.tensor([_network(size) for size in sizes], dtype=torch.int64, device=device).view(-1, 3, 1)
            self.size, self.shift, self.rows = table.unbind(1)


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
    sizes = size if isinstance(size, Sizes) else Sizes(size)
    if not 0 <= n <= sizes.smallest:
        raise InputError("n", n, f"the smallest of these permutations has {sizes.smallest} values")
    words = words.expand((*broadcast(words.shape[:-1], sizes.batch), 2))
    if sizes.largest <= SORTED:
        return _sorted(words, n, sizes)
    values = _walked(words, n, sizes)
    if isinstance(sizes.size, int) or not sizes.largest_sorted:
        return values
    return torch.where(sizes.size <= SORTED, _sorted(words, n, sizes), values)


def _network(size: int) -> tuple[int, int, int]:
    """``N``, ``k`` and ``b``."""
    shift = (max(size - 1, 1).bit_length() - 1) // 2
    return size, shift, -(-size >> shift)


def _sorted(words: Tensor, n: int, sizes: Sizes) -> Tensor:
    order = bits(words, (sizes.largest_sorted,))
    if isinstance(sizes.size, Tensor):  # what is beyond a smaller size comes last
        at = torch.arange(sizes.largest_sorted, device=words.device)
        order = order.masked_fill(at >= sizes.size, 2**32)
    return order.argsort(dim=-1, stable=True)[..., :n]


def _walked(words: Tensor, n: int, sizes: Sizes) -> Tensor:
    """The network's values at ``0 .. n - 1``, those beyond the size walked on."""
    at = torch.arange(n + sizes.beyond, device=words.device)
    last = (sizes.rows << sizes.shift) - 1
    places = torch.where(at < n, at, (at + (sizes.size - n)).clamp(max=last))
    values = _feistel(words, places.expand((*words.shape[:-1], -1)), sizes)
    if sizes.beyond == 0:
        return values
    values, out = values.split((n, sizes.beyond), -1)
    # Each place beyond leads to the next one, the last of its walk to itself: `out` there is where the walk comes out.
    to = torch.where(out < sizes.size, torch.arange(sizes.beyond, device=words.device), out - sizes.size)
    for _ in range(max(sizes.beyond - 2, 0).bit_length()):
        to = to.gather(-1, to)
    out = out.gather(-1, to)
    return torch.where(values < sizes.size, values, out.gather(-1, (values - sizes.size).clamp(min=0)))


def _feistel(words: Tensor, places: Tensor, sizes: Sizes) -> Tensor:
    """The network at ``places``, int64 ``[*batch, n]`` in 0 .. a b - 1."""
    shift, rows = sizes.shift, sizes.rows
    columns = (1 << shift) - 1
    # Entry v of table j is number 5 v + j, whatever the longest table of the batch is.
    random = bits(words, (sizes.width * _DOUBLE_ROUNDS,))
    tables = [
        values.unflatten(-1, (sizes.width, _DOUBLE_ROUNDS)).unbind(-1)
        for values in (random & columns, ((random >> shift) * rows) >> (32 - shift))
    ]
    left, right = places & columns, places >> shift
    for f, g in zip(*tables, strict=True):
        left = left ^ f.gather(-1, right)
        right = (right + g.gather(-1, left)) % rows
    return (right << shift) | left
