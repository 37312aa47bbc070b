"""Baselines of an evaluation: random real images with hard or soft labels, and the whole real set."""

from collections.abc import Sequence
from typing import Any

from distillset.arguments import several, text
from distillset.coresets import Expert
from distillset.data.real import RealSet
from distillset.errors import InputError, nearest
from distillset.evaluation.candidates import Candidate, of_random, of_whole
from distillset.evaluation.protocol import ResolvedProtocol

BESIDE = ("random", "whole", "soft-random")


def names_beside(beside: Any) -> tuple[str, ...]:
    """The names in their order, each once.

    Raises:
        InputError: no list of names of `BESIDE`.
    """
    names = [text("beside", name) for name in several("beside", beside)]
    for name in names:
        if name not in BESIDE:
            raise InputError("beside", name, f"choose among {', '.join(BESIDE)}{nearest(name, BESIDE)}")
    return tuple(dict.fromkeys(names))


def candidates_beside(
    names: Sequence[str], real: RealSet, ipc: int, seed: int, protocol: ResolvedProtocol, taught: Expert | None
) -> list[Candidate]:
    """What is evaluated under these names.

    Args:
        names: of `BESIDE`.
        real: the set that was distilled, normalised as the synthetic one is.
        ipc: images per class of the synthetic set.
        seed: names the random streams.
        protocol: of the synthetic set; the whole set has its own.
        taught: the expert of ``real``, whose labels ``soft-random`` has.
    """
    makers = {
        "random": lambda: of_random(real, ipc, seed, protocol),
        "whole": lambda: of_whole(real),
        "soft-random": lambda: of_random(real, ipc, seed, protocol, taught),
    }
    return [makers[name]() for name in names]
