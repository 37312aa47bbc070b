"""Selectors of real images, by name or your own `Selector`; a selection is an artifact, as a distilled set is."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distillset.arguments import function, path_of, whole
from distillset.coresets.expert import NETWORK, Expert, expert
from distillset.coresets.forgetting import forgetting
from distillset.coresets.herding import herding
from distillset.coresets.k_center import k_center
from distillset.coresets.kmeans import kmeans
from distillset.coresets.random import random
from distillset.data.origin import real_images
from distillset.data.real import RealSet
from distillset.data.synthetic import SyntheticSet
from distillset.engine import Compute
from distillset.engine.hardware import forget_peak, peak
from distillset.engine.room import check_memory
from distillset.errors import InputError, shown
from distillset.keys import Key
from distillset.machine import Machine
from distillset.mesh import Mesh, Solo, join
from distillset.nets import Source
from distillset.presets import Preset
from distillset.sources.load import as_data
from distillset.tables import PluginTable, instance_of
from distillset.watch import Watcher, watching

SEES = ("rows", "features", "events")


@dataclass(frozen=True)
class Selector:
    """A way to choose among the images of one class.

    Args:
        choose: what it sees of the ``n`` images of a class, ``ipc`` (at most n) and a key to positions ``int64 [ipc]``.
        sees: ``rows`` (their numbers ``int64 [n]``), ``features`` (an expert's embeddings ``float32 [n, d]``) or
            ``events`` (how often it forgot them, ``int64 [n]``).
        presets: published accuracies that come with it, beside those of `distillset.presets.PRESETS`.
    """

    choose: Callable[[Tensor, int, Key], Tensor]
    sees: str = "rows"
    presets: tuple[Preset, ...] = ()

    def __post_init__(self) -> None:
        function("choose", self.choose)
        if self.sees not in SEES:
            raise InputError("sees", self.sees, f"choose one of {', '.join(SEES)}")


SELECTORS: PluginTable[Selector] = PluginTable(
    "selector",
    "distillset.selectors",
    {
        "random": Selector(random),
        "herding": Selector(herding, "features"),
        "k-center": Selector(k_center, "features"),
        "forgetting": Selector(forgetting, "events"),
        "kmeans": Selector(kmeans, "features"),
    },
    instance_of(Selector),
)


def named(selector: str | Selector) -> tuple[str, Selector]:
    """The name and the row of a selector; one that is in no table is called as its function.

    Raises:
        InputError: no selector has this name, or another one than yours has it.
    """
    if not isinstance(selector, Selector):
        name = SELECTORS.resolve(selector)
        return name, SELECTORS[name]
    name = str(getattr(selector.choose, "__name__", "")).replace("_", "-")
    if not name.replace("-", "").isalnum():  # that of a lambda is <lambda>
        raise InputError("selector", selector.choose, "has no name for the artifact's card; write it with def")
    if name in SELECTORS and SELECTORS[name] != selector:
        raise InputError("selector", name, "this name is taken; choose another for your function")
    return name, selector


def choose_rows(
    selector: str | Selector, real: RealSet, ipc: int, key: Key, taught: Expert | None = None, mesh: Mesh | None = None
) -> Tensor:
    """The chosen rows, ``ipc`` per class, class by class: ``int64 [classes*ipc]``. Ranks share the classes.

    Of a class smaller than ``ipc`` every image is taken as often as it goes, and the rest is drawn.

    Args:
        selector: a name in `SELECTORS`, or your own.
        real: the set to choose from.
        ipc: images per class.
        key: names the random streams.
        taught: the expert of ``real``, for selectors that see features or events.
        mesh: the ranks; None is this process alone.
    """
    (name, row), mesh = named(selector), mesh or Solo()
    chosen = torch.zeros(real.spec.classes, ipc, dtype=torch.int64)
    for c in mesh.share(range(real.spec.classes)):
        rows = real.index(c)
        if len(rows) < ipc:
            chosen[c] = real.draw_rows(c, ipc, key(c))
            continue
        seen = rows
        if row.sees != "rows":
            assert taught is not None, f"{name} needs an expert"
            seen = taught.features(real, rows) if row.sees == "features" else taught.events[rows]
        chosen[c] = rows[_checked(name, row.choose(seen, ipc, key(c)), len(rows), ipc)]
    mesh.add([chosen])
    return chosen.flatten()


def _checked(name: str, chosen: Any, n: int, ipc: int) -> Tensor:
    """What a selector chose among ``n`` images.

    Raises:
        InputError: it is not ``ipc`` different positions.
    """
    whole_numbers = isinstance(chosen, Tensor) and chosen.dtype == torch.int64 and chosen.shape == (ipc,)
    if not whole_numbers or len(set(chosen.tolist()) & set(range(n))) != ipc:
        raise InputError.about(
            f"selector {name!r}",
            f"gives {shown(chosen)}; needed are {ipc} different positions from 0 to {n - 1}, int64 [{ipc}]",
        )
    positions: Tensor = chosen
    return positions


def notes_on_repeats(real: RealSet, ipc: int) -> list[str]:
    """A note if classes have fewer images than ``ipc``, so that images are taken more than once."""
    small = (real.counts < min(ipc, 2**62)).nonzero().squeeze(1).tolist()
    if not small:
        return []
    least = min(small, key=lambda label: int(real.counts[label]))
    name, count = real.spec.class_names[least], int(real.counts[least])
    return [
        f"{len(small)} of {real.spec.classes} classes have fewer than {ipc} images (class {name!r} has {count}): their "
        "real images are taken more than once"
    ]


def select(
    data: Any,
    selector: str | Selector,
    ipc: int,
    *,
    seed: int = 0,
    network: Source = NETWORK,
    epochs: int | None = None,
    machine: Machine | str = "auto",
    cache: str | Path | None = None,
    watcher: Watcher | None = None,
) -> SyntheticSet:
    """Choose ``ipc`` real images per class; ranks of `torchrun` share the classes, and all return the same.

    Args:
        data: `Data`, or whatever `distillset.load` takes; images are chosen from its training set, or from a `RealSet`.
        selector: a name in `SELECTORS`, or a `Selector` of your own; the card then has the name of its function.
        ipc: images per class, at least 1.
        seed: random seed, a whole number.
        network, epochs, cache: of the expert, if the selector needs one; see `distillset.coresets.expert.expert`.
        machine: what to compute on, as in `distillset.distill`.
        watcher: is notified of the expert's progress and of times, and may ask to stop; see `distillset.Watcher`.

    Raises:
        InputError: an unknown selector, or an argument out of its range.
    """
    name, row = named(selector)
    watcher = watching(watcher)
    machine = Machine.of(machine)
    ipc, seed = whole("ipc", ipc, 1), whole("seed", seed)
    epochs = None if epochs is None else whole("epochs", epochs)
    folder = None if cache is None else path_of("cache", cache)
    data = as_data(data, watcher)
    real = data.train
    for line in notes_on_repeats(real, ipc):
        watcher.note(line)
    # As bytes, as numbers, and normalised.
    chosen = real.spec.classes * ipc
    check_memory("ipc", ipc, f"choosing {chosen:,} images", chosen * math.prod(real.spec.shape) * (1 + 4 + 4))
    settings: dict[str, Any] = {"method": name, "ipc": ipc, "seed": seed}
    mesh, taught, metrics = join(machine.device), None, {}
    place = torch.device(Compute.resolve(machine.device).device)
    forget_peak(place)
    if row.sees != "rows":
        taught = expert(
            real,
            network=network,
            epochs=epochs,
            seed=seed,
            machine=machine,
            cache=folder,
            watcher=watcher,
            mesh=mesh,
        )
        settings["expert"] = taught.to_json()
        metrics["expert_seconds"] = round(taught.seconds, 3)
    start = time.monotonic()
    rows = choose_rows(selector, real, ipc, Key(seed)("select", name), taught, mesh)
    metrics |= {"seconds": round(time.monotonic() - start, 2), "memory": peak(place)}
    if taught:
        watcher.note(
            f"{name}: {len(rows)} of {len(real)} images in {metrics['seconds']:.1f} s, without the expert's training"
        )
    card = {"method": name, "settings": settings, "data": data.origin(), "metrics": metrics}
    card["real"] = real_images(rows.tolist(), data.named(rows.tolist()))
    return SyntheticSet(real.rows(rows), real.labels[rows].clone(), real.spec, card)


__all__ = ["SELECTORS", "Expert", "Selector", "choose_rows", "expert", "select"]
