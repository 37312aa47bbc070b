"""DC: Dataset Condensation with Gradient Matching (Zhao, Mopuri and Bilen, ICLR 2021); and DSA, its preset with siamese
augmentation (Zhao and Bilen, ICML 2021).

In every step a network is freshly drawn and lives through a short curriculum of ``outer`` updates. In each, the
synthetic images are moved so that the gradient they give the network comes closer to that of real images, class by
class (DC section 3.2; with the augmentation A_c, one draw per class and update, DSA section 3.2)::

    minimise over S   sum over classes c of D( grad_theta L(A_c(S_c)), grad_theta L(A_c(T_c)) )

and then the network is trained for ``inner`` epochs on the updated synthetic set; after the last it is thrown away.

Deviations from the authors' code: random numbers come from named streams, not from the clock; batch norm is calibrated
exactly (`distillset.nets.batch_norm`); a class smaller than the real batch is used whole; any number of images per
class is accepted (`distillset.presets.papers.loops`); ``match="all"`` is a later idea, off by default.
"""

from dataclasses import replace
from functools import partial
from typing import Self

import torch
from torch import Tensor

from distillset.augment import unpacked
from distillset.data.spec import Spec
from distillset.engine import State, side_by_side
from distillset.keys import Key
from distillset.methods.base import Leaf, Leaves, Piece, Role
from distillset.methods.class_by_class import ClassByClass, Shown
from distillset.methods.distance import DISTANCES
from distillset.methods.gradients import GradientDistance
from distillset.methods.method import AUGMENT, FORMATION, MOMENTUM, Method, Sizes, check_strategy
from distillset.methods.settings import AUTO, setting
from distillset.methods.siamese import How
from distillset.methods.task import Task
from distillset.presets.papers import PAPERS, loops
from distillset.training import Recipe, Session, Trainer, TrainingSet, cross_entropy

MATCHES = ("class", "all")
PAPER = PAPERS["dc"].settings


class DC(Method):
    """Gradient matching: synthetic images that give networks in training the gradients of real ones."""

    name = "dc"
    steps = PAPERS["dc"].steps
    init = PAPERS["dc"].init
    protocol = "dc"

    lr: float = setting(PAPER["lr"], "learning rate of the images", above=0)
    momentum: float = setting(PAPER["momentum"], MOMENTUM, least=0, below=1)
    batch_real: int = setting(PAPER["batch_real"], "real images per class and update", least=1)
    distance: str = setting(
        "layerwise",
        "distance between two gradients: layerwise (the sum of 1 - cos over output rows, as published), or cos or mse "
        "of all numbers as one vector",
        choices=tuple(DISTANCES),
    )
    match: str = setting(
        "class",
        "gradients to match: class (of each class by itself, as published) or all (their sum over all classes; DCC, "
        "Lee et al., ICML 2022)",
        choices=MATCHES,
    )
    outer: int | None = setting(
        None, "updates of the images per step; auto takes the published number for the images per class", least=1
    )
    inner: int | None = setting(
        None,
        "training epochs of the network on the synthetic set after each update of the images but the last; auto takes "
        "the published number for the images per class",
        least=1,
    )
    lr_net: float = setting(PAPER["lr_net"], "learning rate of the network", above=0)
    batch_train: int = setting(256, "images per update of the network", least=1)
    augment: str = setting(
        "none", f"{AUGMENT}; the network is trained with the same one, drawn for each image", check=check_strategy
    )
    formation: int = setting(1, FORMATION, least=1)

    def resolve(self, spec: Spec, ipc: int) -> Self:
        outer, inner = loops(ipc)
        return replace(super().resolve(spec, ipc), outer=self.outer or outer, inner=self.inner or inner)

    def images_per_step(self, real: Sizes, ipc: int) -> float:
        outer, inner = (value or auto for value, auto in zip((self.outer, self.inner), loops(ipc), strict=True))
        return (
            outer * self._images_per_update(real, ipc) + (outer - 1) * inner * 3.0 * self._seen(ipc) * real.spec.classes
        )

    def updates_per_step(self, real: Sizes, ipc: int) -> float:
        """What a step costs, in its first updates."""
        return self.images_per_step(real, ipc) / self._images_per_update(real, ipc)

    def _images_per_update(self, real: Sizes, ipc: int) -> float:
        return 3.0 * float(real.counts.clamp(max=self.batch_real).sum()) + 9.0 * self._seen(ipc) * real.spec.classes

    def _seen(self, ipc: int) -> int:
        return ipc * self.formation**2

    def prepare(self, task: Task) -> "GradientMatching":
        return GradientMatching(self, task)


class DSA(DC):
    """Gradient matching under siamese augmentation, from real images: a preset of `DC`, with its settings."""

    name = "dsa"
    steps = PAPERS["dsa"].steps
    init = PAPERS["dsa"].init
    protocol = "dsa"

    augment: str = setting(
        AUTO, f"{AUGMENT}; the network is trained with the same one, drawn for each image", check=check_strategy
    )


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
        return {"images": Leaf(images, self.method.lr, self.method.momentum, role=Role.PIXELS)}

    def between(self, leaves: Leaves, state: State, key: Key) -> State:
        """The network, trained on the synthetic set as it is now."""
        if self._session is None or self._session.states[0] is not state:
            labels = self.task.classes.repeat_interleave(self.shown)
            images = leaves["images"]
            training_set = TrainingSet(lambda rows: unpacked(images, self.method.formation)[rows], labels, key)
            self._session = self.trainer.session([state], [training_set])
        self.trainer.run(self._session, [key("train")])
        return self.task.calibrated(state, key("calibrate").words(self.task.device))

    def term(self, leaves: Leaves, state: State, numbers: Shown, block: slice) -> Piece:
        shown = numbers.of(block)
        targets, how = self._targets(state, shown, block), shown.how
        if self.method.match == "all":  # the losses of all classes added
            sum_of_all = {name: torch.stack([target[name] for target in targets]).sum(0) for name in targets[0]}
            parts = [partial(self._matched, leaves, state, how, block, sum_of_all)]
        else:
            parts = [
                partial(self._matched, leaves, state, how[i : i + 1], slice(c, c + 1), targets[i])
                for i, c in enumerate(range(block.start, block.stop))
            ]
        pieces = side_by_side(parts)
        loss = torch.stack([value for value, _ in pieces]).sum()
        return Piece(loss, {"images": (self.task.rows(block), torch.cat([gradient for _, gradient in pieces]))})

    def _matched(self, leaves: Leaves, state: State, how: How, classes: slice, target: State) -> tuple[Tensor, Tensor]:
        """The distance of the gradients of some classes from ``target``, and its gradient in their images."""
        images = leaves["images"][self.task.rows(classes)]
        labels = self.task.classes[classes].repeat_interleave(self.shown)
        return self.distance(state, images, (how,), labels, _shares(images, len(labels), self.shown), target)

    def _targets(self, state: State, shown: Shown, block: slice) -> list[State]:
        """The gradients of the mean loss of real images, class by class."""
        targets: list[State] = [{} for _ in shown.drawn.most]
        for run, images, weights in self.real(shown):
            classes = range(run.start, run.stop)
            calls = [
                partial(self._target, state, part, self.task.classes[block.start + i], weight)
                for i, part, weight in zip(classes, images, weights, strict=True)
            ]
            for i, gradients in zip(classes, side_by_side(calls), strict=True):
                targets[i] = {name: targets[i][name] + part if targets[i] else part for name, part in gradients.items()}
        return targets

    def _target(self, state: State, images: Tensor, label: Tensor, weights: Tensor) -> State:
        return self.distance.target(state, (images, label.expand(len(images)), weights), self.sampler.n)


def _shares(images: Tensor, count: int, of: int) -> Tensor:
    """The weights of ``count`` images of which every ``of`` count as one."""
    return torch.full((count,), 1 / of, device=images.device, dtype=images.dtype)
