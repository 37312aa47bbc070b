"""DM: Dataset Condensation with Distribution Matching (Zhao and Bilen, WACV 2023).

In every step a network is freshly drawn and never trained, and the synthetic images of each class are moved so that
their mean embedding comes closer to that of real images (section 3 there)::

    minimise over S   sum over classes c of || mean_i phi(A_c(T_c,i)) - mean_j phi(A_c(S_c,j)) ||^2

with ``phi`` the features before the classifier and ``A_c`` one siamese augmentation a class and step.

Deviations from the authors' code: random numbers come from named streams, not from the clock; a class smaller than the
real batch is used whole; any number of images per class is accepted; batch norm keeps the statistics of 16 real images
a class, as in DC, where the authors' DM sends all classes through it in one batch, real and synthetic apart; on other
networks than ConvNet the learning rate is scaled (`lr_scale`), as embeddings differ in size by orders of magnitude.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor
from torch.func import grad

from distillset.augment import Augmentation, check_formation, default_strategy
from distillset.data.real import RealSet
from distillset.data.spec import Spec
from distillset.engine import Engine, Rowwise, State, embedding, pulled_back
from distillset.errors import InputError
from distillset.methods.base import Leaf, Leaves, Piece, Task
from distillset.methods.class_by_class import ClassByClass, Shown
from distillset.methods.settings import coerce
from distillset.methods.siamese import How
from distillset.nets import build
from distillset.nets.convnet import ConvNet

PROBED = 16
"""Real images a class, at most, that tell the length of a first step."""


@dataclass(frozen=True)
class DM:
    """Distribution matching: synthetic images whose mean embedding is that of the real ones, class by class.

    Args:
        lr: learning rate of the images; auto (None) is the published one: 1 on CIFAR-100 (published up to 125 images a
            class), else 1 up to 50 images a class and 10 from 100 on (between: the nearer one, in ratio).
        lr_scale: factor on ``lr``; 0 is 1 for every ConvNet, and for another network what makes the pixels move as far
            in the first step as those of ConvNet do, see `relative_rate`.
        momentum: of the images' SGD.
        batch_real: real images a class and step.
        augment: siamese strategy such as ``color_crop_cutout_flip_scale_rotate``, ``none``, or ``auto``: that one,
            without the flip for digits.
        formation: tiles across and down each image, which are enlarged and matched as images of their own: 2 shows four
            times as many in the same bytes (IDC, ICML 2022); 1 as published.

    Raises:
        InputError: a field out of its range.
    """

    name: ClassVar[str] = "dm"
    steps: ClassVar[int] = 20_000
    init: ClassVar[str] = "real"
    second_order: ClassVar[bool] = False

    lr: float | None = None
    lr_scale: float = 0.0
    momentum: float = 0.5
    batch_real: int = 256
    augment: str = "auto"
    formation: int = 1

    def __post_init__(self) -> None:
        coerce(self)
        if self.lr is not None and not 0 < self.lr < float("inf"):
            raise InputError(f"--lr {self.lr}: must be a finite number above 0")
        if not 0 <= self.lr_scale < float("inf"):
            raise InputError(f"--lr-scale {self.lr_scale}: must be finite and above 0, or 0 for automatic")
        if not 0 <= self.momentum < 1:
            raise InputError(f"--momentum {self.momentum}: must be at least 0 and below 1")
        if self.batch_real < 1:
            raise InputError(f"--batch-real {self.batch_real}: must be at least 1")
        if self.augment != "auto":
            Augmentation.parse(self.augment)

    def resolve(self, spec: Spec, ipc: int) -> "DM":
        check_formation(self.formation, spec.shape)
        augment = default_strategy(spec.flip) if self.augment == "auto" else self.augment
        published = 1.0 if ipc <= 70 or spec.name == "cifar100" else 10.0
        lr = self.lr if self.lr is not None else published
        return replace(self, lr=lr, augment=augment)

    def images_per_step(self, real: RealSet, ipc: int) -> float:
        return float(real.counts.clamp(max=self.batch_real).sum()) + 3.0 * ipc * self.formation**2 * real.spec.classes

    def prepare(self, task: Task) -> "DistributionMatching":
        return DistributionMatching(self, task)


class DistributionMatching(ClassByClass):
    """`DM`, with all fields resolved, at work on a task."""

    def __init__(self, method: DM, task: Task) -> None:
        super().__init__(task, method.batch_real, method.augment, method.formation)
        self.method = method
        embed = embedding(task.network)
        self.embed = task.engine.rowwise(embed)
        self.gradient = task.engine.pixel_gradient(self.seen, partial(distance, embed, self.shown))
        self.pull = task.engine.split(partial(pull, embed))

    def leaves(self, images: Tensor) -> dict[str, Leaf]:
        assert self.method.lr is not None, "an unresolved method"
        return {"images": Leaf(images, self.method.lr * self._scale(), self.method.momentum)}

    def _scale(self) -> float:
        if self.method.lr_scale or isinstance(self.task.network, ConvNet):
            return self.method.lr_scale or 1.0
        scale = relative_rate(self.method, self.task)
        self.task.watcher.note(
            f"rate {self.method.lr:g} x {scale:.3g}: the pixels move as far in the first step as with convnet "
            "(--lr-scale 1 takes the rate as it is)"
        )
        return scale

    def term(self, leaves: Leaves, state: State, numbers: Shown, block: slice) -> Piece:
        shown = numbers.of(block)
        targets = self._targets(state, shown)
        rows = self.task.rows(block)
        images = leaves["images"][rows]
        if len(targets) * self.shown <= self.task.engine.micro_batch:
            found = self.gradient(images, (shown.how,), (state, targets))
        else:
            found = self._large(images, shown.how, state, targets)
        return Piece(found[0], {"images": (rows, found[1])})

    def _large(self, images: Tensor, how: How, state: State, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Value and gradient of the distance in the memory of a micro-batch: the mean embeddings first, then what they
        ask of each image's.
        """
        leaf = images.detach().requires_grad_()
        augmented = self.seen(leaf, how)
        features = self.embed(state, augmented.detach())
        gap = features.to(targets.dtype).unflatten(0, (-1, self.shown)).mean(1) - targets
        wanted = (gap * (2 / self.shown)).repeat_interleave(self.shown, 0)
        _, (asked,) = self.pull((state,), (augmented.detach(), wanted))
        return gap.square().sum(), pulled_back(asked, augmented, leaf)

    def _targets(self, state: State, shown: Shown) -> Tensor:
        """Mean embeddings of augmented real images, ``[classes, features]``; the engine says how many at once."""
        means: dict[int, Tensor] = {}
        for run, images, weights in self.real(shown):
            features = self.embed(state, images.flatten(0, 1), self.sampler.n * (run.stop - run.start))
            part = (features.unflatten(0, weights.shape) * weights[..., None]).sum(1)
            means[run.start] = means[run.start] + part if run.start in means else part
        return torch.cat(list(means.values()))


def relative_rate(method: DM, task: Task) -> float:
    """What to multiply a rate that suits ConvNet with, so that the first step on the task's network is as long.

    The ratio of the root-mean-square pixel gradients under ConvNet and under the task's network: at real images, not
    augmented, against `PROBED` other ones a class, in fp32. 1 where the network has no gradient, and where images
    are too small for ConvNet.
    """
    probe = replace(method, batch_real=min(method.batch_real, PROBED), augment="none")
    engine = Engine(replace(task.engine.compute, precision="fp32", compile=False), defers=False)
    try:
        reference = build("convnet", task.spec).to(next(task.network.parameters()).dtype)
    except InputError:
        return 1.0
    wanted, found = (
        _first_gradient(probe, replace(task, network=network, engine=engine, key=task.key("rate")))
        for network in (reference, task.network)
    )
    return wanted / found if found else 1.0


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
    features = embed(state, images)
    means = features.to(targets.dtype).unflatten(0, (-1, ipc)).mean(1)
    total: Tensor = (means - targets).square().sum()
    return total


def pull(embed: Rowwise, state: State, images: Tensor, wanted: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """The gradient in ``images [n, C, H, W]`` of the products of their embeddings with ``wanted [n, features]``."""
    return (), (grad(lambda images: (embed(state, images) * wanted).sum())(images),)
