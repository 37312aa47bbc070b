"""DC: Dataset Condensation with Gradient Matching (Zhao, Mopuri and Bilen, ICLR 2021); and DSA, its preset with siamese
augmentation (Zhao and Bilen, ICML 2021).

In every step a network is freshly drawn and lives through a short curriculum of ``outer`` updates. In each, the
synthetic images are moved so that the gradient they give the network comes closer to that of real images, class by
class (DC section 3.2; with the augmentation A_c, one draw a class and update, DSA section 3.2)::

    minimise over S   sum over classes c of D( grad_theta L(A_c(S_c)), grad_theta L(A_c(T_c)) )

and then the network is trained for ``inner`` epochs on the updated synthetic set; after the last it is thrown away.

Deviations from the authors' code: random numbers come from named streams, not from the clock; batch norm is calibrated
exactly (`distillset.nets.batch_norm`); a class smaller than the real batch is used whole; any number of images per
class is accepted (`loops`); ``match="all"`` is a later idea, off by default.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from distillset.augment import Augmentation, Table, check_formation, default_strategy, formed
from distillset.data.real import RealSet
from distillset.data.spec import Spec
from distillset.engine import pulled_back
from distillset.errors import InputError
from distillset.keys import Key, words
from distillset.methods.base import Leaf, Leaves, Piece, Task, Term
from distillset.methods.distance import DISTANCES
from distillset.methods.gradients import GradientDistance, Shot
from distillset.methods.settings import coerce
from distillset.nets import State
from distillset.training import Recipe, Trainer, cross_entropy

MATCHES = ("class", "all")


def loops(ipc: int) -> tuple[int, int]:
    """(outer, inner): updates of the images in a step, and epochs of the network after each but the last.

    The published table has 1: (1, 1), 10: (10, 50), 20: (20, 25), 30: (30, 20), 40: (40, 15), 50: (50, 10), and nothing
    else. The rule that goes through it: as many updates as images per class, at most 50; and 500 epochs divided by the
    images per class, rounded up to fives, between 10 and 50 (with a single update there is nothing to train).

    >>> [loops(ipc) for ipc in (1, 2, 10, 15, 30, 100)]
    [(1, 1), (2, 50), (10, 50), (15, 35), (30, 20), (50, 10)]
    """
    if ipc == 1:
        return 1, 1
    return min(ipc, 50), min(50, max(10, 5 * -(-100 // ipc)))


@dataclass(frozen=True)
class DC:
    """Gradient matching: synthetic images that give networks in training the gradients of real ones.

    Args:
        lr: learning rate of the images.
        momentum: of the images' SGD.
        batch_real: real images a class and update.
        distance: between gradients: ``layerwise`` (1 - cos of each output row, as published), ``cos`` or ``mse`` (of
            all numbers as one vector).
        match: ``class`` matches the gradient of each class by itself, as published; ``all`` that of the sum over
            classes (DCC, Lee et al., ICML 2022).
        outer: updates of the images a step; auto (None) follows the published table, see `loops`.
        inner: epochs of the network on the synthetic set after every update but the last; auto as for ``outer``.
        lr_net: learning rate of the network.
        batch_train: images of one update of the network.
        augment: siamese strategy such as ``color_crop_cutout_flip_scale_rotate``, ``none``, or ``auto``: that one,
            without the flip for digits. The network is trained with the same, drawn per image.
        formation: tiles across and down each image, which are enlarged and matched as images of their own: 2 shows four
            times as many in the same bytes (IDC, ICML 2022); 1 as published.

    Raises:
        InputError: a field out of its range.
    """

    name: ClassVar[str] = "dc"
    steps: ClassVar[int] = 1000
    init: ClassVar[str] = "noise"

    lr: float = 0.1
    momentum: float = 0.5
    batch_real: int = 256
    distance: str = "layerwise"
    match: str = "class"
    outer: int | None = None
    inner: int | None = None
    lr_net: float = 0.01
    batch_train: int = 256
    augment: str = "none"
    formation: int = 1

    def __post_init__(self) -> None:
        coerce(self)
        for flag, rate in (("--lr", self.lr), ("--lr-net", self.lr_net)):
            if not 0 < rate < float("inf"):
                raise InputError(f"{flag} {rate}: must be a finite number above 0")
        if not 0 <= self.momentum < 1:
            raise InputError(f"--momentum {self.momentum}: must be at least 0 and below 1")
        for flag, count in (
            ("--batch-real", self.batch_real),
            ("--batch-train", self.batch_train),
            ("--outer", self.outer),
            ("--inner", self.inner),
        ):
            if count is not None and count < 1:
                raise InputError(f"{flag} {count}: must be at least 1")
        if self.distance not in DISTANCES:
            raise InputError(f"--distance {self.distance}: choose one of {', '.join(DISTANCES)}")
        if self.match not in MATCHES:
            raise InputError(f"--match {self.match}: choose one of {', '.join(MATCHES)}")
        if self.augment != "auto":
            Augmentation.parse(self.augment)

    def resolve(self, spec: Spec, ipc: int) -> "DC":
        check_formation(self.formation, spec.shape)
        outer, inner = loops(ipc)
        return replace(
            self,
            outer=self.outer or outer,
            inner=self.inner or inner,
            augment=default_strategy(spec.flip) if self.augment == "auto" else self.augment,
        )

    def images_per_step(self, real: RealSet, ipc: int) -> float:
        outer, inner = (own or auto for own, auto in zip((self.outer, self.inner), loops(ipc), strict=True))
        return (
            outer * self._images_per_update(real, ipc) + (outer - 1) * inner * 3.0 * self._seen(ipc) * real.spec.classes
        )

    def updates_per_step(self, real: RealSet, ipc: int) -> float:
        """What a step costs, in its first updates."""
        return self.images_per_step(real, ipc) / self._images_per_update(real, ipc)

    def _images_per_update(self, real: RealSet, ipc: int) -> float:
        return 3.0 * float(real.counts.clamp(max=self.batch_real).sum()) + 9.0 * self._seen(ipc) * real.spec.classes

    def _seen(self, ipc: int) -> int:
        return ipc * self.formation**2

    def prepare(self, task: Task) -> "GradientMatching":
        return GradientMatching(self, task)


@dataclass(frozen=True)
class DSA(DC):
    """Gradient matching under siamese augmentation, from real images: a preset of `DC`, with its fields."""

    name: ClassVar[str] = "dsa"
    init: ClassVar[str] = "real"

    augment: str = "auto"


class GradientMatching:
    """`DC` or `DSA`, with all fields resolved, at work on a task."""

    def __init__(self, method: DC, task: Task) -> None:
        self.method, self.task = method, task
        self.updates = method.updates_per_step(task.real, task.ipc)
        self.augmentation = Augmentation.parse(method.augment)
        self.counts = task.real.counts.clamp(max=method.batch_real).tolist()
        self.seen = task.ipc * method.formation**2
        self.labels = torch.arange(task.spec.classes).repeat_interleave(self.seen)
        self.distance = GradientDistance(task.network, cross_entropy(task.network), method.distance, task.engine)
        assert method.inner is not None, "an unresolved method"
        recipe = Recipe(  # it makes one pass more than it says
            method.inner - 1, method.lr_net, 0.0, 0.0, method.batch_train, 1.0, method.augment
        )
        self.trainer = Trainer(task.engine, task.network, recipe)

    def leaves(self, images: Tensor) -> dict[str, Leaf]:
        return {"images": Leaf(images, self.method.lr, self.method.momentum)}

    def episode(self, leaves: Leaves, step: int, key: Key) -> Iterator[Sequence[Term]]:
        assert self.method.outer is not None, "an unresolved method"
        images, state = leaves["images"], self.task.fresh(key)
        for turn in range(self.method.outer):
            now = key("update", turn)
            if turn:
                self._train(state, images, now("train"))
                state = self.task.calibrated(state, now("calibrate"))
            yield [partial(self._term, images, state, now, run) for run in self._runs()]

    def _runs(self) -> list[slice]:
        """The classes of each term."""
        classes = len(self.counts)
        return [slice(0, classes)] if self.method.match == "all" else [slice(c, c + 1) for c in range(classes)]

    def _train(self, state: State, images: Tensor, key: Key) -> None:
        """The network, trained on the synthetic set as it is now."""
        images = formed(images, self.method.formation)
        self.trainer.train(state, lambda rows: images[rows.to(images.device)], self.labels, key)
        self.task.network.eval()

    def _term(self, pixels: Tensor, state: State, key: Key, classes: slice) -> Piece:
        every, rows = range(classes.start, classes.stop), self.task.rows(classes)
        table = self.augmentation.draw(words([key("augment", c) for c in every]), self.task.spec.shape, on_host=True)
        draws = [table[i] for i in range(len(table))]
        leaf = pixels[rows].detach().requires_grad_()
        seen = formed(leaf, self.method.formation).split(self.seen)
        parts = [draw.apply(part) for draw, part in zip(draws, seen, strict=True)]
        shots = [self._shot(c, part.detach()) for c, part in zip(every, parts, strict=True)]
        targets = [self._target(state, c, draw, key("real", c)) for c, draw in zip(every, draws, strict=True)]
        # One class, or the losses of all of them added.
        images, labels, weights = (torch.cat(tensors) for tensors in zip(*shots, strict=True))
        target = {name: torch.stack([found[name] for found in targets]).sum(0) for name in targets[0]}
        value, found = self.distance(state, (images, labels, weights), target)
        return Piece(value, {"images": (rows, pulled_back(found, torch.cat(parts), leaf))})

    def _target(self, state: State, label: int, draw: Table, key: Key) -> State:
        """The gradient of the mean loss of real images of one class."""
        count = self.counts[label]
        found: State = {}
        for real in self.task.portions(label, count, key):
            part = self.distance.target(state, self._shot(label, draw.apply(real), count), max(self.counts))
            found = {name: found[name] + part[name] if found else part[name] for name in part}
        return found

    def _shot(self, label: int, images: Tensor, count: int | None = None) -> Shot:
        """Images of one class whose mean loss is taken, or their part of that of ``count``."""
        n, device = len(images), images.device
        labels = torch.full((n,), label, device=device)
        return images, labels, torch.full((n,), 1 / (count or n), device=device, dtype=images.dtype)
