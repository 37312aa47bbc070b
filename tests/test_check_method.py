"""What `check_method` finds: methods with a fault each, and what a class has to have before it can be used."""

import re
from typing import Any

import pytest
import torch
from torch import Tensor

import distillset as ds
from distillset.engine import State
from distillset.errors import InputError
from distillset.methods import Images, Leaf, Leaves, Matcher, Piece, Role, Task, check_strategy
from distillset.methods.by_loss import LossMatcher
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
        (Infinite, "the gradient of the loss is not finite"),
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
