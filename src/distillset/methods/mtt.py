"""MTT: Dataset Distillation by Matching Training Trajectories (Cazenavette et al., CVPR 2022).

Experts are networks trained on the real set, their parameters ``q_0, q_1, ...`` recorded epoch by epoch. In every step
a student starts at an expert's ``q_t``, takes N steps of SGD on the synthetic images, and should arrive where the
expert was M epochs later (section 3.2 there)::

    minimise over S and r   || p_N - q_{t+M} ||^2 / || q_t - q_{t+M} ||^2,
                            p_0 = q_t,  p_{i+1} = p_i - r grad l(A_i(S); p_i)

with ``r`` a learned rate, ``A_i`` augmentations drawn per image, and t uniform below `max_start`. The gradient is that
of the full graph, by its exact adjoint (`distillset.methods.unroll`).

Deviations from the authors' code: random numbers come from named streams; the SGD step D on the rate is applied as
``r * exp(D / r)``, the same to first order, so that r stays positive; a step whose loss is not finite or above `limit`
is skipped and counted; the set is that of the last step, not the best on the test set; CIFAR-100 has its own mean and
std; batch norm uses the batch, in experts and students alike; every student draws its expert independently, where the
authors go through all of them in a random order before the next.
"""

from dataclasses import replace
from typing import Self, TypeVar

import torch
from torch import Tensor

from distillset.augment import Augmentation, Crop, Table, assembled
from distillset.data.spec import Spec
from distillset.data.whiten import LARGEST
from distillset.engine import GradientAndVJP, State
from distillset.errors import InputError
from distillset.keys import Key, fold, integers, permutation, words
from distillset.methods.base import Inputs, Leaf, Leaves, Matcher, Piece, Role
from distillset.methods.method import Method, Sizes, check_strategy
from distillset.methods.mtt_experts import Experts, Wanted, count_reaching, experts_in, trained_experts
from distillset.methods.settings import AUTO, setting
from distillset.methods.task import Task
from distillset.methods.unroll import Batch, unroll
from distillset.nets import mixes_images
from distillset.presets.papers import PAPERS
from distillset.presets.trajectories import SETTINGS, published
from distillset.training import Layout, flat_loss

PATIENCE = 20
"""Skipped steps in a row after which a run is lost."""

PAPER = PAPERS["mtt"].settings
PUBLISHED = "auto takes the published one for the data and the images per class"

T = TypeVar("T")


def known(value: T | None) -> T:
    """The value of a field of a resolved method."""
    assert value is not None, "an unresolved method"
    return value


class MTT(Method):
    """Trajectory matching: synthetic images on which a network trains as experts did on the real set."""

    name = "mtt"
    steps = PAPERS["mtt"].steps
    init = PAPERS["mtt"].init
    protocol = "mtt"
    batch_norm = (
        "batch norm: experts and students use the statistics of each batch, as running ones are no part of a "
        "trajectory; networks with instance norm, such as convnet, are the advised default"
    )

    lr: float | None = setting(None, f"learning rate of the images; {PUBLISHED}", above=0)
    momentum: float = setting(PAPER["momentum"], "momentum of SGD, for all that is learned", least=0, below=1)
    lr_start: float | None = setting(None, f"first value of the learned learning rate; {PUBLISHED}", above=0)
    lr_lr: float | None = setting(None, f"learning rate of the learned learning rate; {PUBLISHED}", above=0)
    syn_steps: int | None = setting(
        None, "N: training steps of a student on synthetic images; auto takes the published number", least=1
    )
    expert_epochs: int | None = setting(
        None, "M: epochs of an expert that these steps match; auto takes the published number", least=1
    )
    max_start: int | None = setting(
        None, "students start below this epoch of an expert (T+ in later papers); auto takes the published one",
        least=1,
    )  # fmt: skip
    batch_syn: int | None = setting(
        None, "synthetic images per step of a student; 0 takes all; auto takes the published number", least=0
    )
    canvas: int = setting(
        1,
        "learn textures: each is this many images wide and high, its edges join, and each step takes a new crop; "
        "1 is an ordinary image; not for whitened images",
        least=1,
        below=17,
    )
    augment: str = setting(
        AUTO,
        "augmentation of students and experts, drawn for each image: operations joined by _, such as crop_flip; none; "
        "or auto, which is the published one, without flip for digits",
        check=check_strategy,
    )
    segments: int = setting(1, "students per step; their gradients are averaged", least=1)
    limit: float = setting(
        10.0, "skip steps with a larger loss; at 1 a student came no nearer to its expert (DATM skips those)", above=0
    )
    experts: str = setting("", "folder of experts; if empty, experts are trained first, in the folder of the run")
    expert_count: int | None = setting(
        None,
        "number of experts to train, or to use from the folder; auto is the published 100, or all in the folder",
        least=1,
    )
    expert_lr: float = setting(PAPER["expert_lr"], "learning rate of the experts that are trained first", above=0)
    expert_batch: int = setting(PAPER["expert_batch"], "images per update of these experts", least=1)
    sam: float = setting(
        0.0, "radius of sharpness-aware minimisation of these experts; 0 is plain SGD (FTD uses 0.01)", least=0
    )
    min_start: int = setting(0, "students start at this epoch of an expert or later (T- of DATM)", least=0)
    grow: int = setting(
        0, "steps in which the range of starts grows evenly to max_start; 0 uses all of it at once", least=0
    )
    average: float = setting(
        0.0,
        "decay of a moving average of the images, which becomes the result; 0 is off (FTD uses 0.999 to 0.9999)",
        least=0,
        below=1,
    )
    lr_labels: float = setting(
        0.0,
        "learning rate of soft labels, learned as logits; 0 keeps hard labels (DATM uses 2 to 10)",
        least=0,
    )
    correct: int = setting(
        0, "start from real images that this many experts classify correctly at their last epoch; 0 takes any", least=0
    )

    def check(self) -> None:
        if self.max_start is not None and self.min_start >= self.max_start:
            raise InputError("min_start", self.min_start, f"must be below `max_start={self.max_start}`")

    @property
    def picks_images(self) -> bool:
        """Real images that experts classify correctly."""
        return self.correct > 0

    def resolve(self, spec: Spec, ipc: int) -> Self:
        row, _ = published(spec.name, spec.classes, ipc)
        changed = replace(
            super().resolve(spec, ipc),
            expert_epochs=row.expert_epochs if self.expert_epochs is None else self.expert_epochs,
            max_start=max(row.max_start, self.min_start + 1) if self.max_start is None else self.max_start,
            syn_steps=row.syn_steps if self.syn_steps is None else self.syn_steps,
            batch_syn=row.batch_syn if self.batch_syn is None else self.batch_syn,
            lr=row.lr if self.lr is None else self.lr,
            lr_lr=row.lr_lr if self.lr_lr is None else self.lr_lr,
            lr_start=row.lr_start if self.lr_start is None else self.lr_start,
        )
        if changed.expert_count is not None:
            return changed
        return replace(
            changed, expert_count=count_reaching(self.experts, changed.reach) if self.experts else PAPER["expert_count"]
        )

    def whitening(self, spec: Spec, ipc: int) -> str:
        """``zca`` where it was published for this data, and the images are of the published size at most."""
        row, _ = published(spec.name, spec.classes, ipc)
        small = spec.channels * spec.height * spec.width <= LARGEST and self.canvas == 1
        return row.whiten if spec.name in SETTINGS and small else "none"

    def images_per_step(self, real: Sizes, ipc: int) -> float:
        """A student's step is a gradient (3 passes) and a product with its Jacobian (8 compiled)."""
        row, _ = published(real.spec.name, real.spec.classes, ipc)
        steps = row.syn_steps if self.syn_steps is None else self.syn_steps
        batch = row.batch_syn if self.batch_syn is None else self.batch_syn
        whole = ipc * real.spec.classes
        return 11.0 * self.segments * steps * min(batch or whole, whole)

    def images_before(self, real: Sizes) -> float:
        """The epochs of the experts, if none are given; sharpness-aware ones cost twice."""
        epochs = 0 if self.experts else known(self.expert_count) * self.reach
        return (6.0 if self.sam else 3.0) * len(real) * epochs

    @property
    def reach(self) -> int:
        """The last epoch of an expert that a segment can end at."""
        return known(self.max_start) - 1 + known(self.expert_epochs)

    def prepare(self, task: Task) -> "TrajectoryMatching":
        wanted = Wanted(self.reach, known(self.expert_count), self.expert_lr, self.expert_batch, self.augment, self.sam)
        return TrajectoryMatching(
            self, task, experts_in(self.experts, wanted, task) if self.experts else trained_experts(wanted, task)
        )


class TrajectoryMatching(Matcher):
    """`MTT`, with all fields resolved, at work on a task. A term is a student beside an expert."""

    streams = ("order", "augment", "crop")
    patience = PATIENCE

    def __init__(self, method: MTT, task: Task, experts: Experts) -> None:
        super().__init__(task)
        self.method, self.experts, self.limit = method, experts, method.limit
        self.blocks = range(method.segments)
        self.augmentation = Augmentation.parse(method.augment)
        loss = flat_loss(task.network, Layout(task.network))
        self.gradient_and_vjp = GradientAndVJP(task.engine, loss, mixes_images(task.network))
        self.hard = torch.arange(task.spec.classes, device=task.device).repeat_interleave(task.ipc)
        count = len(self.hard)
        size = self.size = min(known(method.batch_syn) or count, count)
        # The batches of an order are taken from its end, as published: a short one, where there is one, comes first.
        starts = [*reversed(range(0, count, size))]
        self.orders = -(-known(method.syn_steps) // len(starts))
        cuts = [(order, slice(start, start + size)) for order in range(self.orders) for start in starts]
        self.cuts = cuts[: known(method.syn_steps)]
        """Of every step the number of its order, and what of that order is its batch."""
        self._draw = task.engine.draws(self._drawn)

    def leaves(self, images: Tensor) -> dict[str, Leaf]:
        method = self.method
        if method.correct:
            images = self.experts.correct_images(method.correct, self.task, self.task.ipc * method.canvas**2).to(images)
        if len(images) == len(self.hard) * method.canvas**2:  # a run that goes on has canvases already
            images = assembled(images, method.canvas)
        rate = images.new_tensor([known(method.lr_start)])
        leaves = {
            "images": Leaf(images, known(method.lr), method.momentum, average=method.average, role=Role.PIXELS),
            "lr": Leaf(rate, known(method.lr_lr), method.momentum, positive=True, role=Role.LR),
        }
        if method.lr_labels:
            _, height, width = self.task.spec.shape
            labels = self.experts.first_labels(images[..., :height, :width], self.hard, self.task)
            leaves["labels"] = Leaf(labels, method.lr_labels, method.momentum, role=Role.LABEL_LOGITS)
        return leaves

    def close(self) -> None:
        self.experts.close()

    def diagnosis(self, leaves: Leaves, step: int, key: Key) -> str:
        expert, start = self.segment(step, key("segment", self.method.segments - 1))
        end = start + known(self.method.expert_epochs)
        return (
            f"learned rate {float(leaves['lr']):.3g}, expert {expert} from epoch {start} to {end}; try a smaller "
            "`lr_start`, `lr_lr`, `syn_steps` or `lr`"
        )

    def segment(self, step: int, key: Key) -> tuple[int, int]:
        """The expert that a student is set beside, and the epoch it starts at."""
        expert, start = fold(key("draw").words(), torch.arange(2))
        count, end = known(self.method.expert_count), self._starts(step)
        return int(integers(expert, (), 0, count)), int(integers(start, (), self.method.min_start, end))

    def inputs(self, step: int, key: Key) -> Inputs:
        """Words for every student, and the parameters its expert has at the start and at the end of its segment."""
        keys = [key("segment", i) for i in self.blocks]
        inputs = {name: words([student(name) for student in keys]) for name in self.streams}
        segments = [self.segment(step, student) for student in keys]
        pairs = [self.experts.segment(*segment, known(self.method.expert_epochs)) for segment in segments]
        first, last = zip(*pairs, strict=True)
        return {**inputs, "start": torch.stack(first), "target": torch.stack(last)}

    def begin(self, inputs: Inputs) -> State:
        """A student starts where its expert is."""
        return {}

    def draw(self, inputs: Inputs) -> tuple[list[list[Batch]], Tensor, Tensor]:
        """The batches of every student, and the expert's parameters."""
        orders, table, crops = self._draw(inputs["order"], inputs["augment"], inputs["crop"])
        students: list[list[Batch]] = []
        for block in self.blocks:
            students.append([])
            for step, (number, cut) in enumerate(self.cuts):
                rows = orders[block, number, cut]
                first = (block * len(self.cuts) + step) * self.size
                part = slice(first, first + len(rows))
                crop = None if crops is None else replace(crops, corners=crops.corners[part])
                students[block].append(Batch(rows, table[part], crop))
        return students, inputs["start"], inputs["target"]

    def _drawn(self, order: Tensor, augment: Tensor, crop: Tensor) -> tuple[Tensor, Table, Crop | None]:
        """The orders ``[students, orders, N]``; the augmentation and crop of every image of every step of every
        student, as many a step as the largest batch has.
        """
        device, count, shape = order.device, len(self.hard), self.task.spec.shape
        orders = permutation(fold(order[:, None], torch.arange(self.orders, device=device)), count, count)
        steps = torch.arange(len(self.cuts), device=device)
        streams = fold(augment[:, None], steps).flatten(0, 1)
        table = self.augmentation.draw(streams, shape, self.size, on_host=not self.task.engine.defers)
        crops = None
        if self.method.canvas > 1:
            crops = Crop.draw(fold(crop[:, None], steps).flatten(0, 1), self.size, shape[1:], self.method.canvas)
        return orders, table, crops

    def term(
        self, leaves: Leaves, state: State, numbers: tuple[list[list[Batch]], Tensor, Tensor], block: int
    ) -> Piece:
        method, images = self.method, leaves["images"]
        students, first, last = numbers
        labels = leaves["labels"].softmax(1) if "labels" in leaves else self.hard
        unrolled = unroll(
            self.gradient_and_vjp,
            images,
            labels,
            leaves["lr"],
            first[block].to(images.dtype),
            last[block].to(images.dtype),
            students[block],
            None if self.task.engine.defers else method.limit,
        )
        share = 1 / method.segments
        gradients = {
            "images": (slice(0, len(images)), unrolled.images * share),
            "lr": (slice(0, 1), unrolled.rate * share),
        }
        if unrolled.labels is not None:
            inner = (unrolled.labels * labels).sum(1, keepdim=True)
            gradients["labels"] = (slice(0, len(images)), labels * (unrolled.labels - inner) * share)
        return Piece(unrolled.loss * share, gradients)

    def _starts(self, step: int) -> int:
        """Starts of this step are below this epoch."""
        method, end = self.method, known(self.method.max_start)
        if step >= method.grow:
            return end
        return method.min_start + max(1, -(-(end - method.min_start) * (step + 1) // method.grow))
