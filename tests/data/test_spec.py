import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from distillset.data.spec import Spec
from distillset.errors import InputError
from distillset.sources.known import KNOWN

CIFAR = Spec("cifar10", 3, 2, 4, ("a", "b"), mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.2010))


def test_normalise_is_the_published_formula() -> None:
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 1, 256).expand(3, 1, 256)
    mean, std = torch.tensor(CIFAR.mean, dtype=torch.float64), torch.tensor(CIFAR.std, dtype=torch.float64)
    expected = (torch.arange(256) / torch.tensor(255.0, dtype=torch.float64) - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    found = CIFAR.normalise(pixels)
    assert found.dtype == torch.float32
    assert float((found.double() - expected).abs().max()) < 1e-6


def test_normalise_leaves_the_pixels_alone_and_takes_leading_dimensions() -> None:
    pixels = torch.randint(0, 256, (5, 7, 3, 2, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    before = pixels.clone()
    found = CIFAR.normalise(pixels)
    assert found.shape == pixels.shape
    assert torch.equal(pixels, before)
    assert torch.equal(found[2, 3], CIFAR.normalise(pixels[2, 3]))


@pytest.mark.parametrize("name", [name for name, known in KNOWN.items() if known.mean])
def test_every_byte_survives_the_round_trip(name: str) -> None:
    known = KNOWN[name]
    assert known.mean is not None
    assert known.std is not None
    channels = len(known.mean)
    spec = Spec(name, channels, 16, 16, ("a", "b"), known.mean, known.std)
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16).expand(channels, 16, 16)
    assert torch.equal(spec.denormalise(spec.normalise(pixels)), pixels)


def test_denormalise_clamps_and_rounds() -> None:
    spec = Spec("grey", 1, 1, 5, ("a", "b"), mean=(0.0,), std=(1.0,))
    images = torch.tensor([[[-3.0, 0.5 / 255 + 1e-4, 100.4 / 255, 100.6 / 255, 7.0]]])
    assert spec.denormalise(images).flatten().tolist() == [0, 1, 100, 101, 255]


def test_statistics_cached_under_inference_mode_may_enter_a_graph() -> None:
    spec = Spec("fresh", 1, 1, 1, ("a", "b"), mean=(0.125,), std=(0.75,))
    with torch.inference_mode():
        spec.normalise(torch.zeros(1, 1, 1, dtype=torch.uint8))
    image = spec.normalise(torch.full((1, 1, 1), 255, dtype=torch.uint8))
    weight = torch.ones((), requires_grad=True)
    (image * weight).sum().backward()
    assert weight.grad is not None
    assert float(weight.grad) == pytest.approx((1 - 0.125) / 0.75)


finite = st.floats(-10, 10)
names = st.lists(st.text(min_size=1, max_size=5), min_size=2, max_size=4)


@given(data=st.data(), channels=st.sampled_from([1, 3, 4]), class_names=names, flip=st.booleans())
def test_json_round_trip(data: st.DataObject, channels: int, class_names: list[str], flip: bool) -> None:
    mean = tuple(data.draw(st.lists(finite, min_size=channels, max_size=channels)))
    std = tuple(data.draw(st.lists(st.floats(1e-3, 10), min_size=channels, max_size=channels)))
    spec = Spec("x", channels, 3, 5, tuple(class_names), mean, std, flip)
    assert Spec.from_json(spec.to_json()) == spec
    assert spec.shape == (channels, 3, 5)
    assert spec.classes == len(class_names)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"channels": 0}, "channels"),
        ({"height": "8"}, "height"),
        ({"width": True}, "width"),
        ({"class_names": ["one"]}, "class"),
        ({"class_names": [1, 2]}, "class_names"),
        ({"mean": [0.5, 0.5]}, "mean"),
        ({"std": [0.0]}, "std"),
        ({"std": [math.inf]}, "std"),
        ({"mean": ["0.5"]}, "mean"),
        ({"mean": 0.5}, "mean"),
        ({"flip": "no"}, "flip"),
        ({"name": 3}, "name"),
        ({"colour": 1}, "colour"),
    ],
)
def test_from_json_names_what_is_wrong(change: dict[str, Any], named: str) -> None:
    good = Spec("x", 1, 2, 3, ("a", "b"), (0.5,), (0.5,)).to_json()
    with pytest.raises(InputError, match=named):
        Spec.from_json({**good, **change})


def test_from_json_wants_every_field_of_an_object() -> None:
    good = Spec("x", 1, 2, 3, ("a", "b"), (0.5,), (0.5,)).to_json()
    for what in set(good) - {"flip"}:
        with pytest.raises(InputError, match=what):
            Spec.from_json({key: value for key, value in good.items() if key != what})
    with pytest.raises(InputError, match="list"):
        Spec.from_json([1])
