"""What `check_method` finds: methods with a fault each, and what a class has to have before it can be used."""

import re
from typing import Any

import pytest
import torch
from torch import Tensor

import distillset as ds
from distillset.distillation.episodes import Episodes
from distillset.distillation.learned import Learned
from distillset.engine import State
from distillset.errors import InputError
from distillset.keys import Key
from distillset.mesh import Solo
from distillset.methods import Images, Leaf, Leaves, Matcher, Piece, Role, Task, check_strategy
from distillset.methods.by_loss import LossMatcher
from distillset.nets import build
from distillset.testing import check_method
from tests import toys


class Right(ds.Method):
    """The mean embedding, as DM has it."""

    name = "right"
    second_order = False
    lr: float = ds.setting(0.5, "learning rate of the images", above=0)
    batch_real: int = ds.setting(4, "real images per class and step", least=1)
    augment: str = ds.setting("none", "siamese augmentation", check=check_strategy)

    def loss(self, task: Task, network: State, synthetic: Images, real: Images) -> Tensor:
        ours, theirs = synthetic.mean(task.embed(network, synthetic)), real.mean(task.embed(network, real))
        return self.gap(ours - theirs)

    def gap(self, difference: Tensor) -> Tensor:
        return difference.square().sum()


def test_it_keeps_the_contract() -> None:
    check_method(Right)
    check_method(Right(augment="color_crop_cutout_flip_scale_rotate"))


class Global(Right):
    def gap(self, difference: Tensor) -> Tensor:
        return (difference * torch.rand_like(difference)).square().sum()


class Reading(Right):
    def gap(self, difference: Tensor) -> Tensor:
        return difference.square().sum() / max(float(difference.detach().abs().max()), 1e-3)


class Detached(Right):
    def gap(self, difference: Tensor) -> Tensor:
        return (difference * difference.detach()).sum()


class Infinite(Right):
    def gap(self, difference: Tensor) -> Tensor:
        return (difference.square() + float("inf")).sum()


class Rooted(Right):
    def gap(self, difference: Tensor) -> Tensor:
        return difference.square().sum() + (difference - difference).abs().sum().sqrt()


class Unweighted(Right):
    """A plain mean counts the images that only fill up a small class."""

    def loss(self, task: Task, network: State, synthetic: Images, real: Images) -> Tensor:
        ours, theirs = synthetic.mean(task.embed(network, synthetic)), task.embed(network, real).mean(1)
        return self.gap(ours - theirs)


class Spread(Right):
    """One image has no spread to divide by."""

    def loss(self, task: Task, network: State, synthetic: Images, real: Images) -> Tensor:
        ours, theirs = task.embed(network, synthetic), task.embed(network, real)
        target = real.mean(theirs)
        spread = real.mean((theirs - target[:, None]).square()).sum(1, keepdim=True)
        return self.gap((synthetic.mean(ours) - target) / spread)


class Mistaken(Right):
    name = "mistaken"

    def gap(self, difference: Tensor) -> Tensor:
        return (difference @ difference).sum()


class Diverging(Right):
    """Only in a whole run, which has a folder."""

    name = "diverging"

    def loss(self, task: Task, network: State, synthetic: Images, real: Images) -> Tensor:
        loss = super().loss(task, network, synthetic, real)
        return loss if task.folder is None else loss * float("inf")


class OneClass(Right):
    def gap(self, difference: Tensor) -> Tensor:
        return difference[:1].square().sum()


class Unchecked(Right):
    batch_real: int = ds.setting(4, "real images per class and step", least=1)
    lr: float = ds.setting(0.5, "learning rate of the images")

    def images_per_step(self, real: Any, ipc: int) -> float:
        return 1.0


class Whole(Right):
    """A loss of a mean over classes depends on which of them make a block."""

    def gap(self, difference: Tensor) -> Tensor:
        return difference.square().mean()


class Own(Right):
    def prepare(self, task: Task) -> Matcher:
        return Unlike(self.loss, {"lr": self.lr}, task, self.batch_real, self.augment, 1)


class Unlike(LossMatcher):
    def leaves(self, images: Tensor) -> dict[str, Leaf]:
        return {"pixels": Leaf(images, 1.0)}


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (Global, "it draws from the caller's random state"),
        (Reading, "the gradient says"),
        (Detached, "the loss changes by"),
        (Infinite, r"the loss is inf; nothing had moved yet.* a division by 0.* \(check_update\)"),
        (Rooted, r"the gradient of images is not finite, though the loss is \(.*a square root.* \(check_update\)"),
        (Spread, r"with a class of one real image the loss is .*\(check_weights\)"),
        (Unweighted, r"real images of weight 0, .* use images.mean\(features\).* \(check_weights\)"),
        (Mistaken, r"mistaken: RuntimeError: .* \(check_update\)"),
        (Diverging, r"diverging: diverged at step 1: the loss is inf.* \(check_runs\)"),
        (OneClass, "some classes are not moved"),
        (Unchecked, "images_per_step of 1 and 2 images"),
        (Whole, "in micro-batches of 3"),
        (Own, "0 learned tensors have the role PIXELS; there must be one"),
    ],
)
def test_a_fault_is_found(kind: type[ds.Method], why: str) -> None:
    with pytest.raises(AssertionError, match=why) as caught:
        check_method(kind)
    assert "\n" not in str(caught.value)


class Nameless(ds.Method):
    lr: float = ds.setting(1.0, "learning rate of the images")


class Lossless(ds.Method):
    name = "lossless"
    lr: float = ds.setting(1.0, "learning rate of the images")


class Rateless(ds.Method):
    name = "rateless"

    def loss(self, task: Task, network: State, synthetic: Images, real: Images) -> Tensor:
        return synthetic.pixels.sum()


class Plain(Rateless):
    name = "plain"
    lr: float = 1.0


class Odd(Rateless):
    name = "odd"
    lr: float = ds.setting(1.0, "learning rate of the images")
    sizes: tuple[int, ...] = ds.setting((1, 2), "sizes")


class Open(Rateless):
    name = "open"
    lr: float | None = ds.setting(None, "learning rate of the images")


class Quiet(Right):
    """It means to change the default of a setting."""

    batch_real = 8


class HalfOpen(Open):
    """It says that it resolves, and does not."""

    name = "half-open"

    def resolve(self, spec: ds.Spec, ipc: int) -> "HalfOpen":
        return self


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (Nameless, "method Nameless: name is ''; give it one"),
        (Lossless, "method Lossless: has neither loss() nor prepare(); define one of them"),
        (Rateless, "method Rateless: has no learning rate for the images; declare one"),
        (Plain, "method Plain: field lr is not declared by setting()"),
        (Odd, "method Odd: setting sizes is of type tuple"),
        (Open, "method Open: setting lr is auto by default, and there is no resolve()"),
        (
            Quiet,
            "method Quiet: batch_real is a setting, whose default stays 4; to change it, write "
            "batch_real: int = setting(8, 'what it is')",
        ),
        (object, "choose one of dc, dsa, dm, mtt, or give one such as DM()"),
        ("dmm", "did you mean dm?"),
        (Right(), None),
    ],
)
def test_what_is_missing_is_said_before_data_are_read(kind: Any, why: str | None) -> None:
    unread: Any = object()
    with pytest.raises(InputError, match=re.escape(why) if why else "data") as caught:
        ds.distill(unread, kind, 1, machine=toys.EAGER)
    assert "\n" not in str(caught.value)


def test_what_stays_open_is_said_before_anything_is_computed() -> None:
    with pytest.raises(InputError, match="lr='auto': method half-open chooses no value for it"):
        ds.distill(toys.toy_data(), HalfOpen(), 1, network=toys.NETWORK, machine=toys.EAGER)


class Scaled(Right):
    """It learns a factor of its own beside the pixels."""

    name = "scaled"

    def prepare(self, task: Task) -> Matcher:
        return Scaling(self.loss, {"lr": self.lr}, task, self.batch_real, self.augment, 1)


class Scaling(LossMatcher):
    def leaves(self, images: Tensor) -> dict[str, Leaf]:
        pixels = super().leaves(images)["images"]
        return {"pixels": pixels, "factor": Leaf(torch.ones(2), 0.1), "rate": Leaf(torch.ones(1), 0.1, role=Role.LR)}

    def term(self, leaves: Leaves, state: State, numbers: Any, block: slice) -> Piece:
        piece = super().term({"images": leaves["pixels"]}, state, numbers, block)
        one = torch.full((2,), float(block.start == 0))
        moved = {"factor": (slice(0, 2), one), "rate": (slice(0, 1), one[:1])}
        return Piece(piece.loss, {"pixels": piece.gradients["images"], **moved})


def test_learned_tensors_go_by_their_roles_whatever_their_names() -> None:
    check_method(Scaled)
    made = ds.distill(toys.toy_data(), Scaled(), 1, steps=2, network=toys.NETWORK, machine=toys.EAGER)
    assert made.learned.keys() == {"factor"}
    torch.testing.assert_close(made.learned["factor"], torch.full((2,), 1 - 2 * 0.1))
    assert made.lr == pytest.approx(1 - 2 * 0.1)
    assert made.card["rates"] == {"pixels": 0.5, "factor": 0.1, "rate": 0.1}


def test_the_mean_leaves_filler_out_and_keeps_the_type_of_features() -> None:
    """Of a class of one image the mean is that image, in float32 though weights are float64."""
    real = toys.toy((6, 1))
    task = Task(real, 1, build(toys.NETWORK, real.spec), toys.engine())
    images = task.draw_real(Key(0).words(), 4, slice(0, 2))
    assert images.weights.tolist() == [[0.25] * 4, [1, 0, 0, 0]]
    assert images.weights.dtype == torch.float64
    mean = images.mean(images.pixels)
    assert mean.dtype == torch.float32
    torch.testing.assert_close(mean[1], real.rows(real.index(1))[0])


@pytest.mark.parametrize("kind", [Rooted, Infinite])
@pytest.mark.parametrize("defers", [False, True])
def test_what_was_not_finite_is_worked_out_after_the_fact(kind: type[Right], defers: bool) -> None:
    """Also where the host hears of it late, as from a GPU."""
    real = toys.toy()
    task = Task(real, 2, build(toys.NETWORK, real.spec), toys.engine(defers=defers))
    matcher = kind().prepare(task)
    learned = Learned(matcher.leaves(torch.randn(6, 3, 8, 8)), matcher.limit, matcher.patience, defers)
    episodes = Episodes(task, matcher, learned, Solo(), Key(0))
    for step in range(2):
        if not learned.lost():
            episodes.run(step, last=1)
    assert learned.lost()
    assert episodes.not_finite(0) == (["images"] if kind is Rooted else [])
