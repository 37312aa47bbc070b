"""Named random streams: randomness is a value, never a global state and never the clock.

A `Key` is a path of names below a seed, known to the host. `Key.words` gives the stream of that path as two 32-bit
words. Everything else is a pure function of such words, written in integer operations of tensors: the same numbers in
every process and on every device, for a batch of streams at once. Nothing asks the host, so it all may be compiled,
captured as a CUDA graph and mapped by ``torch.func``. The same path gives the same numbers whatever was drawn
elsewhere; that is what makes a resumed run equal to an uninterrupted one.

- `fold` gives the streams below a stream that have integers for names, without the host.
- `bits`, `uniform`, `normal`, `integers` and `permutation` draw. Number ``i`` of a stream is the same whatever shape is
  asked for. A second draw from the same words starts at the same place again and is not independent of the first: give
  every draw a stream of its own.

    >>> import torch
    >>> step = Key(0)("step", 3).words()
    >>> classes = fold(step, torch.arange(10))
    >>> uniform(classes, (2, 4)).shape, permutation(classes, 256, 5000).shape
    (torch.Size([10, 2, 4]), torch.Size([10, 256]))
"""

from distillset.keys.distributions import integers, normal, uniform
from distillset.keys.key import Key, words
from distillset.keys.permutations import Sizes, permutation
from distillset.keys.streams import bits, fold

STREAMS = 2
"""Counts the changes after which streams, or the networks they fill, are others: what was remembered is not of them."""

__all__ = ["STREAMS", "Key", "Sizes", "bits", "fold", "integers", "normal", "permutation", "uniform", "words"]
