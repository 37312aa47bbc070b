"""The expert: a network trained on the whole real set, whose outputs selectors use. It is trained once and cached.

The DC paper (ICLR 2021, section 4.1) takes features from models trained on the whole set, and does not say how. Here: a
ConvNet of half the published width, ``PASSES`` passes of SGD without augmentation (more for small sets, see
`expert_recipe`), because that takes some minutes of one core on 60,000 images of 32x32 where the published width takes
three times as long.
"""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distillset.coresets.forgetting import Forgotten
from distillset.data.card import is_number
from distillset.data.real import RealSet
from distillset.data.synthetic import versions
from distillset.engine import Compute, Engine, embedding, measure
from distillset.errors import InputError, InterruptedRun
from distillset.keys import STREAMS, Key
from distillset.machine import Machine
from distillset.mesh import Mesh, Solo
from distillset.nets import Network, Source, State, fresh
from distillset.store import cache_folder, read_tensors, write_tensors
from distillset.training import Recipe, Trainer, TrainingSet
from distillset.trust import doubt, shut
from distillset.watch import Watcher, watching

NETWORK = "ConvNetW64"
PASSES = 5
UPDATES = 1000
CHUNK = 2048
"""Most images normalised at a time."""


def expert_recipe(images: int, epochs: int | None = None) -> Recipe:
    """Five passes and 1,000 updates at least; as published, ``epochs`` passes and one more."""
    batch = 128
    least = -(-UPDATES // -(-images // batch))
    return Recipe(epochs=max(PASSES, least) - 1 if epochs is None else epochs, rate=0.05, batch=batch)


@dataclass(frozen=True)
class Expert:
    """A network trained on a whole real set.

    Args:
        trainer: what it was trained with, and computes with.
        state: its numbers.
        events: forgetting events of every real image, ``int64 [N]``, counted after every pass.
        accuracy: on the real set itself, after the last pass.
        seconds: its training took, in this process or in the one that filled the cache.
        known: whether it came from the cache.
    """

    network: str
    trainer: Trainer
    state: State
    events: Tensor
    accuracy: float
    seconds: float
    known: bool

    def features(self, real: RealSet, rows: Tensor) -> Tensor:
        """Embeddings of ``rows [n]``, ``float32 [n, d]`` on the CPU."""
        device, module = self.trainer.engine.device, self.trainer.module.eval()
        embed = self.trainer.engine.rowwise(embedding(module))
        chunk = min(CHUNK, self.trainer.engine.portion(real.spec.shape))
        parts = [embed(self.state, real.rows(part, device), chunk).cpu() for part in rows.split(chunk)]
        return torch.cat(parts)

    def probabilities(self, images: Tensor) -> Tensor:
        """Its soft labels for normalised ``images [n, C, H, W]``: ``float32 [n, classes]``."""
        device = self.trainer.engine.device
        return self.trainer.predict(self.state, lambda rows: images[rows].to(device), len(images)).softmax(1)

    def to_json(self) -> dict[str, Any]:
        """What a card says of it."""
        return {"network": self.network, "recipe": asdict(self.trainer.recipe), "accuracy": self.accuracy}


def expert(
    real: RealSet,
    *,
    network: Source = NETWORK,
    epochs: int | None = None,
    seed: int = 0,
    machine: Machine | str = "auto",
    cache: Path | None = None,
    watcher: Watcher | None = None,
    mesh: Mesh | None = None,
) -> Expert:
    """The expert of a real set: from the cache, else trained now and kept there.

    Args:
        real: the whole set.
        network: a published name, or your own: see ``network`` of `distillset.distill`.
        epochs: training epochs; one more is made, as published. None is what `expert_recipe` chooses.
        seed: names its random streams.
        machine: what to compute on, as in `distillset.distill`.
        cache: the folder of the cache; None is ``experts`` in the library's.
        watcher: hears how it comes on, and may ask to stop.
        mesh: ranks that need it; the one that writes trains it, alone, and hands it to the others.

    Raises:
        InputError: an argument out of its range.
        InterruptedRun: the watcher asked to stop.
    """
    watcher = watching(watcher)
    recipe, asked = expert_recipe(len(real), epochs), Network.of(network, real.spec)
    work = measure(asked.module, real.spec.shape, 4.0 * len(real) * (recipe.epochs + 1))
    compute, mesh = Compute.resolve(machine, work), mesh or Solo()
    entry = {
        "data": real.fingerprint(),
        "spec": real.spec.to_json(),
        "network": asked.name,
        "recipe": asdict(recipe),
        "seed": seed,
        "streams": STREAMS,
        "precision": compute.precision,
        "versions": versions(),
        **({} if real.whitening is None else {"whitening": real.whitening.fingerprint()}),
    }
    name = hashlib.sha256(json.dumps(entry, sort_keys=True).encode()).hexdigest()[:32]
    path = (cache or cache_folder("experts")) / f"{name}.safetensors"
    trainer = Trainer(Engine(compute, watcher), asked.module, recipe)
    trained = _read(path, entry, trainer, len(real)) if mesh.writes else None
    known = bool(mesh.agree(trained is not None))
    if known:
        took = f", in {trained[1]['seconds']:.0f} s" if trained else ""
        watcher.note(f"expert {asked.title}: trained before{took}; kept in {path}")
    else:
        trained = mesh.lead(lambda beat: _train(trainer, real, Key(seed)("expert"), watcher, beat))
        if trained:
            _write(path, trained[0], {**trained[1], **entry}, watcher)
    tensors, meta = _everywhere(trained, trainer, len(real), mesh)
    state = {name[6:]: value.to(compute.device) for name, value in tensors.items() if name.startswith("state.")}
    return Expert(asked.title, trainer, state, tensors["events"], meta["accuracy"], meta["seconds"], known)


def _everywhere(
    trained: tuple[dict[str, Tensor], dict[str, Any]] | None, trainer: Trainer, images: int, mesh: Mesh
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and figures of the writing rank, on every rank."""
    if trained is None:
        blank = fresh(trainer.module, Key(0))
        events = torch.zeros(images, dtype=torch.int64)
        trained = {**{f"state.{name}": value for name, value in blank.items()}, "events": events}, {}
    tensors, meta = trained
    mesh.copy([tensors[name] for name in sorted(tensors)])
    return tensors, mesh.agree({name: meta.get(name) for name in ("accuracy", "seconds")})


def _train(
    trainer: Trainer, real: RealSet, key: Key, watcher: Watcher, beat: Callable[[], object]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and figures to keep: the state, and the forgetting events on the way."""
    start, device, passes = time.monotonic(), trainer.engine.device, trainer.recipe.epochs + 1
    forgotten, accuracy, noted = Forgotten(len(real)), 0.0, start

    def examples(rows: Tensor) -> Tensor:
        return real.rows(rows, device)

    def after(epoch: int, state: State) -> None:
        nonlocal accuracy, noted
        beat()
        if watcher.stop():
            raise InterruptedRun("stopped while the expert was trained; it starts again next time")
        right = trainer.predict(state, examples, len(real)).argmax(1) == real.labels
        forgotten.add(right)
        accuracy, now = float(right.float().mean()), time.monotonic()
        if now - noted > 5 or epoch + 1 == passes:
            noted = now
            watcher.note(f"expert: epoch {epoch + 1} of {passes}, {accuracy:.2%} of the set right, {now - start:.0f} s")

    state = fresh(trainer.module, key("network"), device)
    trainer.train(state, TrainingSet(examples, real.labels, key, real.resident(device)), after)
    tensors = {**{f"state.{name}": value for name, value in state.items()}, "events": forgotten.events}
    return tensors, {"accuracy": accuracy, "seconds": time.monotonic() - start}


def _read(
    path: Path, entry: dict[str, Any], trainer: Trainer, images: int
) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """What the cache holds; a damaged file counts as nothing, and so does one that others could have changed, and one
    of another training or with tensors of other shapes, types or numbers.
    """
    try:
        tensors, meta = ({}, {}) if doubt(path) else read_tensors(path)
    except InputError:
        return None
    if any(meta.get(name) != value for name, value in json.loads(json.dumps(entry)).items()):
        return None
    numbers = all(is_number(meta.get(name), 0) for name in ("accuracy", "seconds")) and meta["accuracy"] <= 1
    wanted = {f"state.{name}": value for name, value in fresh(trainer.module, Key(0)).items()}
    wanted["events"] = torch.zeros(images, dtype=torch.int64)
    same = tensors.keys() == wanted.keys() and all(
        (tensors[name].shape, tensors[name].dtype) == (value.shape, value.dtype)
        and bool(tensors[name].isfinite().all())
        for name, value in wanted.items()
    )
    return (tensors, meta) if numbers and same else None


def _write(path: Path, tensors: dict[str, Tensor], meta: dict[str, Any], watcher: Watcher) -> None:
    try:
        write_tensors(path, tensors, meta)
        shut(path)
    except OSError as error:
        watcher.note(f"the expert is not stored: {path.parent} cannot be written ({error.strerror or error})")
