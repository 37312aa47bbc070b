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

from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from distillset.augment import Augmentation, check_formation, default_strategy, formed
from distillset.data.real import RealSet
from distillset.data.spec import Spec
from distillset.engine import State, side_by_side
from distillset.errors import InputError
from distillset.keys import Key
from distillset.methods.base import Leaf, Leaves, Piece, Task
from distillset.methods.class_by_class import ClassByClass, Shown
from distillset.methods.distance import DISTANCES
from distillset.methods.gradients import GradientDistance
from distillset.methods.settings import coerce
from distillset.methods.siamese import How
from distillset.training import Recipe, Session, Trainer, TrainingSet, cross_entropy

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


class GradientMatching(ClassByClass):
    """`DC` or `DSA`, with all fields resolved, at work on a task."""

    def __init__(self, method: DC, task: Task) -> None:
        super().__init__(task, method.batch_real, method.augment, method.formation)
        assert method.inner is not None, "an unresolved method"
        assert method.outer is not None, "an unresolved method"
        self.method, self.turns = method, method.outer
        self.updates = method.updates_per_step(task.real, task.ipc)
        if method.match == "all":
            self.blocks = [slice(0, task.spec.classes)]
        self.distance = GradientDistance(
            task.network, cross_entropy(task.network), method.distance, task.engine, self.seen
        )
        recipe = Recipe(  # it makes one pass more than it says
            method.inner - 1, method.lr_net, 0.0, 0.0, method.batch_train, 1.0, method.augment
        )
        self.trainer = Trainer(task.engine, task.network, recipe)
        self._session: Session | None = None

    def leaves(self, images: Tensor) -> dict[str, Leaf]:
        return {"images": Leaf(images, self.method.lr, self.method.momentum)}

    def between(self, leaves: Leaves, state: State, key: Key) -> State:
        """The network, trained on the synthetic set as it is now."""
        if self._session is None or self._session.states[0] is not state:
            labels = self.task.classes.repeat_interleave(self.shown)
            images = leaves["images"]
            own = TrainingSet(lambda rows: formed(images, self.method.formation)[rows], labels, key)
            self._session = self.trainer.session([state], [own])
        self.trainer.run(self._session, [key("train")])
        return self.task.calibrated(state, key("calibrate").words(self.task.device))

    def term(self, leaves: Leaves, state: State, numbers: Shown, block: slice) -> Piece:
        shown = numbers.of(block)
        targets, how = self._targets(state, shown, block), shown.how
        if self.method.match == "all":  # the losses of all classes added
            sum_of_all = {name: torch.stack([found[name] for found in targets]).sum(0) for name in targets[0]}
            parts = [partial(self._matched, leaves, state, how, block, sum_of_all)]
        else:
            parts = [
                partial(self._matched, leaves, state, how[i : i + 1], slice(c, c + 1), targets[i])
                for i, c in enumerate(range(block.start, block.stop))
            ]
        found = side_by_side(parts)
        loss = torch.stack([value for value, _ in found]).sum()
        return Piece(loss, {"images": (self.task.rows(block), torch.cat([gradient for _, gradient in found]))})

    def _matched(self, leaves: Leaves, state: State, how: How, classes: slice, target: State) -> tuple[Tensor, Tensor]:
        """The distance of the gradients of some classes from ``target``, and its gradient in their images."""
        images = leaves["images"][self.task.rows(classes)]
        labels = self.task.classes[classes].repeat_interleave(self.shown)
        return self.distance(state, images, (how,), labels, _shares(images, len(labels), self.shown), target)

    def _targets(self, state: State, shown: Shown, block: slice) -> list[State]:
        """The gradients of the mean loss of real images, class by class."""
        found: list[State] = [{} for _ in shown.drawn.most]
        for run, images, weights in self.real(shown):
            own = range(run.start, run.stop)
            calls = [
                partial(self._target, state, part, self.task.classes[block.start + i], weight)
                for i, part, weight in zip(own, images, weights, strict=True)
            ]
            for i, gradients in zip(own, side_by_side(calls), strict=True):
                found[i] = {name: found[i][name] + part if found[i] else part for name, part in gradients.items()}
        return found

    def _target(self, state: State, images: Tensor, label: Tensor, weights: Tensor) -> State:
        return self.distance.target(state, (images, label.expand(len(images)), weights), self.sampler.n)


def _shares(images: Tensor, count: int, of: int) -> Tensor:
    """The weights of ``count`` images of which every ``of`` count as one."""
    return torch.full((count,), 1 / of, device=images.device, dtype=images.dtype)
