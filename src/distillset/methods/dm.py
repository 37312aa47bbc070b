"""DM: Dataset Condensation with Distribution Matching (Zhao and Bilen, WACV 2023).

In every step a network is freshly drawn and never trained, and the synthetic images of each class are moved so that
their mean embedding comes closer to that of real images (section 3 there)::

    minimise over S   sum over classes c of || mean_i phi(A_c(T_c,i)) - mean_j phi(A_c(S_c,j)) ||^2

with ``phi`` the features before the classifier and ``A_c`` one siamese augmentation per class and step.

Deviations from the authors' code: random numbers come from named streams, not from the clock; a class smaller than the
real batch is used whole; any number of images per class is accepted; batch norm keeps the statistics of 16 real images
per class, as in DC, where the authors' DM sends all classes through it in one batch, real and synthetic apart; on other
networks than ConvNet the learning rate is scaled (`lr_scale`), as embeddings differ in size by orders of magnitude.
"""

from dataclasses import replace
from functools import partial
from typing import Self

import torch
from torch import Tensor

from distillset.data.spec import Spec
from distillset.engine import Engine, Rowwise, State, embedding
from distillset.errors import InputError
from distillset.methods.base import Leaf, Leaves, Piece, Role
from distillset.methods.class_by_class import ClassByClass, Shown
from distillset.methods.method import AUGMENT, BATCH_REAL, FORMATION, MOMENTUM, Method, check_strategy
from distillset.methods.settings import AUTO, setting
from distillset.methods.siamese import How
from distillset.methods.task import Task
from distillset.nets import build
from distillset.nets.convnet import ConvNet
from distillset.presets.papers import PAPERS, dm_lr

PAPER = PAPERS["dm"].settings
PROBED = 16
"""Real images per class, at most, that tell the length of a first step."""


class DM(Method):
    """Distribution matching: synthetic images whose mean embedding is that of the real ones, class by class."""

    name = "dm"
    steps = PAPERS["dm"].steps
    init = PAPERS["dm"].init
    second_order = False

    lr: float | None = setting(
        None,
        "learning rate of the images; auto takes the published one for the data and the images per class",
        above=0,
    )
    lr_scale: float = setting(
        0.0,
        "factor of the learning rate; 0 chooses it: 1 for ConvNets, and for other networks the factor that moves the "
        "pixels as far in the first step as with a ConvNet",
        least=0,
    )
    momentum: float = setting(PAPER["momentum"], MOMENTUM, least=0, below=1)
    batch_real: int = setting(PAPER["batch_real"], BATCH_REAL, least=1)
    augment: str = setting(AUTO, AUGMENT, check=check_strategy)
    formation: int = setting(1, FORMATION, least=1)

    def resolve(self, spec: Spec, ipc: int) -> Self:
        lr = dm_lr(spec.name, ipc) if self.lr is None else self.lr
        return replace(super().resolve(spec, ipc), lr=lr)

    def prepare(self, task: Task) -> "DistributionMatching":
        return DistributionMatching(self, task)


class DistributionMatching(ClassByClass):
    """`DM`, with all fields resolved, at work on a task."""

    def __init__(self, method: DM, task: Task) -> None:
        super().__init__(task, method.batch_real, method.augment, method.formation)
        self.method = method
        self.gradient = task.engine.pixel_gradient(self.seen, partial(distance, embedding(task.network), self.shown))

    def leaves(self, images: Tensor) -> dict[str, Leaf]:
        assert self.method.lr is not None, "an unresolved method"
        lr = self.method.lr * self._scale()
        return {"images": Leaf(images, lr, self.method.momentum, role=Role.PIXELS)}

    def _scale(self) -> float:
        if self.method.lr_scale or isinstance(self.task.network, ConvNet):
            return self.method.lr_scale or 1.0
        scale = relative_rate(self.method, self.task)
        self.task.watcher.note(
            f"rate {self.method.lr:g} x {scale:.3g}: the pixels move as far in the first step as with convnet "
            "(`lr_scale=1` takes the rate as it is)"
        )
        return scale

    def term(self, leaves: Leaves, state: State, numbers: Shown, block: slice) -> Piece:
        shown = numbers.of(block)
        targets = self._targets(state, shown)
        rows = self.task.rows(block)
        images = leaves["images"][rows]
        if len(targets) * self.shown <= self.task.engine.micro_batch:
            value_and_gradient = self.gradient(images, (shown.how,), (state, targets))
        else:
            value_and_gradient = self._large(images, shown.how, state, targets)
        return Piece(value_and_gradient[0], {"images": (rows, value_and_gradient[1])})

    def _large(self, images: Tensor, how: How, state: State, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The same in the memory of a micro-batch."""

        def loss(images: Tensor) -> Tensor:
            features: Tensor = self.task.embed(state, self.seen(images, how))
            return gap(features, targets, self.shown)

        return self.task.pixel_gradient(loss, images)

    def _targets(self, state: State, shown: Shown) -> Tensor:
        """Mean embeddings of augmented real images, ``[classes, features]``; the engine says how many at once."""
        means: dict[int, Tensor] = {}
        for run, images, weights in self.real(shown):
            features = self.task.embed(state, images.flatten(0, 1), full=self.sampler.n * (run.stop - run.start))
            part = (features.unflatten(0, weights.shape) * weights[..., None]).sum(1)
            means[run.start] = means[run.start] + part if run.start in means else part
        return torch.cat(list(means.values()))


def relative_rate(method: DM, task: Task) -> float:
    """What to multiply a rate that suits ConvNet with, so that the first step on the task's network is as long.

    The ratio of the root-mean-square pixel gradients under ConvNet and under the task's network: at real images, not
    augmented, against `PROBED` other ones per class, in fp32. 1 where the network has no gradient, and where images
    are too small for ConvNet.
    """
    probe = replace(method, batch_real=min(method.batch_real, PROBED), augment="none")
    engine = Engine(replace(task.engine.compute, precision="fp32", compile=False), defers=False)
    try:
        reference = build("convnet", task.spec).to(next(task.network.parameters()).dtype)
    except InputError:
        return 1.0
    under_convnet, under_network = (
        _first_gradient(probe, replace(task, network=network, engine=engine, key=task.key("rate")))
        for network in (reference, task.network)
    )
    return under_convnet / under_network if under_network else 1.0


def _first_gradient(method: DM, task: Task) -> float:
    """Root mean square of the pixel gradient at real images, under one fresh network."""
    real = [task.real.draw(c, task.ipc, task.key("start", c), task.device) for c in range(task.spec.classes)]
    matcher, leaves = DistributionMatching(method, task), {"images": torch.cat(real)}
    inputs = {name: value.to(task.device) for name, value in matcher.inputs(0, task.key).items()}
    state, numbers = matcher.begin(inputs), matcher.draw(inputs)
    pieces = [matcher.term(leaves, state, numbers, block) for block in matcher.blocks]
    gradients = [gradient for piece in pieces for _, gradient in piece.gradients.values()]
    return float(torch.cat(gradients).square().mean().sqrt())


def distance(embed: Rowwise, ipc: int, images: Tensor, state: State, targets: Tensor) -> Tensor:
    """Squared distance of mean embeddings: ``images [k*ipc, C, H, W]`` of k classes, ``targets [k, features]``."""
    return gap(embed(state, images), targets, ipc)


def gap(features: Tensor, targets: Tensor, ipc: int) -> Tensor:
    """Squared distance of the means of ``features [k*ipc, d]``, class by class, from ``targets [k, d]``."""
    means = features.to(targets.dtype).unflatten(0, (-1, ipc)).mean(1)
    total: Tensor = (means - targets).square().sum()
    return total
