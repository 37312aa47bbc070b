"""What the library relies on in a selector, tried.

>>> from distillset.coresets import Selector
>>> def first(rows, ipc, key):
...     return torch.arange(ipc)
>>> check_selector(Selector(first))
"""

import tempfile
from pathlib import Path

import torch
from torch import Tensor

from distillset.coresets import Expert, Selector, choose_rows, expert, named, select
from distillset.data.synthetic import SyntheticSet
from distillset.keys import Key
from distillset.machine import Machine
from distillset.testing.expect import accepted, expect
from distillset.testing.toys import NETWORK, toy, toy_data

MACHINE = Machine("cpu", "fp32", "off")
EPOCHS = 3
"""Of the expert."""


def check_selector(selector: str | Selector) -> None:
    """Try a selector on a small set of three classes, of which one is smaller than what is to be chosen.

    Args:
        selector: a name, or your own.

    Raises:
        AssertionError: says in one line what does not hold.
    """
    name, row = accepted("selector", lambda: named(selector))
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        taught = teacher(cache) if row.sees != "rows" else None
        for ipc in (1, 3, 5):
            check_rows(selector, ipc, taught)
        check_small_class(selector, taught)
        check_inputs(selector, taught)
        check_artifact(selector, cache, cache / name)


def teacher(cache: Path) -> Expert:
    """The expert of the small set."""
    return expert(toy(), network=NETWORK, epochs=EPOCHS, cache=cache, machine=MACHINE)


def check_rows(selector: str | Selector, ipc: int, taught: Expert | None) -> None:
    """``ipc`` different rows of each class, class by class; the same for the same key."""
    (name, _), real = named(selector), toy()
    state = torch.get_rng_state()
    rows = accepted(f"ipc {ipc}", lambda: choose_rows(selector, real, ipc, Key(0), taught))
    expect(torch.equal(torch.get_rng_state(), state), f"selector {name!r}: it draws from the caller's random state")
    expect(
        real.labels[rows].tolist() == [c for c in range(3) for _ in range(ipc)] and len(set(rows.tolist())) == 3 * ipc,
        f"selector {name!r}: does not choose {ipc} different images of each class",
    )
    again = choose_rows(selector, real, ipc, Key(0), taught)
    expect(torch.equal(rows, again), f"selector {name!r}: chooses others for the same key; draw from the key alone")


def check_small_class(selector: str | Selector, taught: Expert | None) -> None:
    """All images of a class that is too small are used as often as it goes, the rest by lot."""
    (name, _), real = named(selector), toy()
    rows = choose_rows(selector, real, 11, Key(0), taught)
    expect(
        torch.equal(rows[22:], choose_rows("random", real, 11, Key(0))[22:]),
        f"selector {name!r}: a class of 5 images is not repeated to 11 as by random",
    )


def check_inputs(selector: str | Selector, taught: Expert | None) -> None:
    """What it sees is left as it is, and all of a class can be chosen."""
    name, row = named(selector)
    seen = _seen(row, taught)
    before = seen.clone()
    chosen = row.choose(seen, len(seen), Key(0))
    expect(torch.equal(seen, before), f"selector {name!r}: changes what it sees")
    every = sorted(torch.as_tensor(chosen).tolist()) == list(range(len(seen)))
    expect(every, f"selector {name!r}: does not choose all {len(seen)} images where {len(seen)} are asked for")


def _seen(row: Selector, taught: Expert | None) -> Tensor:
    """Of the first class."""
    real = toy()
    rows = real.index(0)
    if row.sees == "rows" or taught is None:
        return rows.clone()
    return taught.features(real, rows) if row.sees == "features" else taught.events[rows].clone()


def check_artifact(selector: str | Selector, cache: Path, folder: Path) -> None:
    """The artifact holds the chosen images, says where they are from, and is the same when it is read."""
    (name, row), data = named(selector), toy_data()
    synthetic = accepted(
        "select",
        lambda: select(data, selector, 2, network=NETWORK, epochs=EPOCHS, cache=cache, machine=MACHINE),
    )
    expert_of = None if row.sees == "rows" else teacher(cache)
    rows = choose_rows(selector, data.train, 2, Key(0)("select", name), expert_of)
    expect(torch.equal(synthetic.pixels, data.train.images[rows]), f"selector {name!r}: the artifact has other images")
    expect(synthetic.labels.tolist() == [0, 0, 1, 1, 2, 2], f"selector {name!r}: the artifact has other labels")
    expect(synthetic.card["method"] == name, f"selector {name!r}: the card calls it {synthetic.card['method']!r}")
    expect(synthetic.card["real"]["rows"] == rows.tolist(), f"selector {name!r}: the card names other rows")
    synthetic.save(folder)
    same = torch.equal(SyntheticSet.load(folder).images, synthetic.images)
    expect(same, f"selector {name!r}: the artifact that is read is not the one that was written")
