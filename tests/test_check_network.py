"""What `check_network` and `check_selector` find: networks and selectors with a fault each."""

import re
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import distillset as ds
from distillset.coresets import Selector
from distillset.nets import Family, Source, Word
from distillset.testing import check_network, check_selector

SHAPES = [(1, 4, 4)]


class Right(nn.Module):
    """One hidden layer."""

    def __init__(self, channels: int, height: int, width: int, classes: int) -> None:
        super().__init__()
        self.hidden, self.last = nn.Linear(channels * height * width, 6), nn.Linear(6, classes)

    def embed(self, images: Tensor) -> Tensor:
        found: Tensor = self.hidden(images.flatten(1)).tanh()
        return found

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.last(self.embed(images))
        return found


class Unused(Right):
    def __init__(self, channels: int, height: int, width: int, classes: int) -> None:
        super().__init__(channels, height, width, classes)
        self.aside = nn.Linear(2, 2)


class Mixing(Right):
    def embed(self, images: Tensor) -> Tensor:
        return super().embed(images) - 0.002 * super().embed(images).mean(0)


class Blind(Right):
    def embed(self, images: Tensor) -> Tensor:
        return super().embed(torch.zeros_like(images))


class Infinite(Right):
    def embed(self, images: Tensor) -> Tensor:
        return super().embed(images) / 0


class Detached(Right):
    """Its gradient in the parameters does not depend on the pixels."""

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.last(self.hidden(images.flatten(1)).sign() + self.hidden.weight.sum())
        return found


class TooMany(Right):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images)[:, :-1]


def test_they_need_no_pytest() -> None:
    script = "import distillset.testing, sys; assert 'pytest' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_network_keeps_the_contract() -> None:
    check_network(Right, shapes=[*SHAPES, (3, 5, 7)])
    check_network("ConvNetD1W8", shapes=SHAPES)


@pytest.mark.parametrize(
    ("network", "line"),
    [
        (Unused, "Unused on images of 1x4x4: aside.weight, aside.bias: without effect on the logits"),
        (Mixing, "Mixing on images of 1x4x4: the logits of an image depend on the other images, in evaluation mode"),
        (Blind, "Blind on images of 1x4x4: logits of different images are the same"),
        (Infinite, "Infinite on images of 1x4x4: logits are not finite"),
        (Detached, "Detached on images of 1x4x4: the logits do not depend on the pixels of every image"),
        (TooMany, r"gives \[2, 3\] for 2 images; \[n, 4\] is needed"),
        (nn.Linear(3, 4), r"fails on images of \[2, 1, 4, 4\]"),
        ("perceptron", "not known"),
    ],
)
def test_a_fault_of_a_network_is_one_line(network: Source, line: str) -> None:
    with pytest.raises(AssertionError, match=line) as caught:
        check_network(network, shapes=SHAPES)
    assert "\n" not in str(caught.value)


def test_every_form_of_a_family_is_tried() -> None:
    family = Family(
        "Odd",
        {"kind": Word({"R": "right", "U": "unused"}, "right")},
        lambda spec, fields: (Unused if fields["kind"] == "unused" else Right)(*spec.shape, spec.classes),
    )
    with pytest.raises(AssertionError, match=r"network OddU on images of 1x4x4: aside\.weight"):
        check_network(family, shapes=SHAPES)


Choose = Callable[[Tensor, int, ds.Key], Tensor]


def far(features: Tensor, ipc: int, key: ds.Key) -> Tensor:
    lengths: Tensor = features.norm(dim=1)
    return lengths.topk(ipc).indices


def same(rows: Tensor, ipc: int, key: ds.Key) -> Tensor:
    return torch.zeros(ipc, dtype=torch.int64)


def outside(rows: Tensor, ipc: int, key: ds.Key) -> Tensor:
    return torch.arange(ipc) + len(rows)


def floats(rows: Tensor, ipc: int, key: ds.Key) -> Tensor:
    return torch.arange(ipc).float()


def few(rows: Tensor, ipc: int, key: ds.Key) -> Tensor:
    return torch.arange(ipc - 1)


def by_chance(rows: Tensor, ipc: int, key: ds.Key) -> Tensor:
    return torch.randperm(len(rows))[:ipc]


CALLS: list[int] = []


def hashed(rows: Tensor, ipc: int, key: ds.Key) -> Tensor:
    CALLS.append(ipc)
    return (torch.arange(ipc) + len(CALLS)) % len(rows)


def writing(rows: Tensor, ipc: int, key: ds.Key) -> Tensor:
    chosen = torch.arange(ipc)
    rows.zero_()
    return chosen


def halting(rows: Tensor, ipc: int, key: ds.Key) -> Tensor:
    return torch.arange(ipc) if ipc < len(rows) else torch.arange(len(rows) - 1)


def test_a_selector_keeps_the_contract() -> None:
    check_selector("random")
    check_selector(Selector(far, "features"))


@pytest.mark.parametrize(
    ("choose", "line"),
    [
        (same, "selector 'same': gives .*; needed are 3 different positions"),
        (outside, "selector 'outside': gives .*; needed are 1 different positions"),
        (floats, "selector 'floats': gives .*; needed are 1 different positions"),
        (few, "selector 'few': gives .*; needed are 1 different positions"),
        (by_chance, "selector 'by-chance': it draws from the caller's random state"),
        (hashed, "selector 'hashed': chooses others for the same key"),
        (halting, "selector 'halting': gives .*; needed are 5 different positions from 0 to 4"),
        (writing, "selector 'writing': does not choose 1 different images of each class"),
        (lambda rows, ipc, key: torch.arange(ipc), "has no name for the artifact's card"),
    ],
)
def test_a_fault_of_a_selector_is_one_line(choose: Choose, line: str) -> None:
    with pytest.raises(AssertionError) as caught:
        check_selector(Selector(choose))
    assert re.search(line, str(caught.value))
    assert "\n" not in str(caught.value)
