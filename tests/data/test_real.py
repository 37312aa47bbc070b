from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from distillset.data.measure import statistics
from distillset.data.real import RealSet
from distillset.data.spec import Spec
from distillset.errors import InputError
from distillset.keys import Key


def some(counts: list[int], channels: int = 3, height: int = 5, width: int = 7, seed: int = 0) -> RealSet:
    """A set with so many random images of each class, in a shuffled order."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.cat([torch.full((count,), label) for label, count in enumerate(counts)])
    labels = labels[torch.randperm(len(labels), generator=generator)]
    shape = (len(labels), channels, height, width)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    return RealSet.from_arrays(images, labels)


class_sizes = st.lists(st.integers(1, 12), min_size=2, max_size=5)


@given(counts=class_sizes)
def test_index_lists_every_row_once_ascending(counts: list[int]) -> None:
    real = some(counts, height=2, width=2)
    assert real.counts.tolist() == counts
    for label in range(len(counts)):
        index = real.index(label)
        assert index.tolist() == (real.labels == label).nonzero().flatten().tolist()


@given(counts=class_sizes, n=st.integers(0, 40), seed=st.integers(0, 10))
def test_a_class_is_used_up_evenly(counts: list[int], n: int, seed: int) -> None:
    # n = q * size + r: every image q times, and r of them once more
    real = some(counts, height=2, width=2)
    label = len(counts) - 1
    rows = real.draw_rows(label, n, Key(seed)("draw"))
    assert len(rows) == n
    assert bool((real.labels[rows] == label).all())
    times = torch.bincount(rows, minlength=len(real))[real.index(label)]
    quotient, remainder = divmod(n, counts[label])
    assert sorted(times.tolist()) == [quotient] * (counts[label] - remainder) + [quotient + 1] * remainder


def test_a_draw_is_a_value_of_its_key() -> None:
    real = some([40, 50])
    first = real.draw_rows(1, 20, Key(3)("real", 7))
    torch.rand(5)  # the global state has no part in it
    assert torch.equal(first, real.draw_rows(1, 20, Key(3)("real", 7)))
    assert not torch.equal(first, real.draw_rows(1, 20, Key(3)("real", 8)))
    assert not torch.equal(first, real.draw_rows(1, 20, Key(4)("real", 7)))


def test_draws_are_uniform_over_the_class() -> None:
    # 3 of 10 rows in each of 2,000 draws: 600 expected for each, standard deviation sqrt(2000 * 0.3 * 0.7) = 20.5
    real = some([10, 2], height=2, width=2)
    times = torch.zeros(len(real))
    for number in range(2000):
        times[real.draw_rows(0, 3, Key(0)(number))] += 1
    assert float((times[real.index(0)] - 600).abs().max()) < 5 * 20.5


def test_draw_gathers_normalises_and_keeps_the_order() -> None:
    real = some([9, 4])
    key = Key(0)("x")
    rows = real.draw_rows(0, 6, key)
    drawn = real.draw(0, 6, key)
    assert drawn.dtype == torch.float32
    assert torch.equal(drawn, real.spec.normalise(real.images[rows]))
    assert torch.equal(drawn, real.rows(rows))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_statistics_are_those_of_float64(channels: int) -> None:
    # more than one chunk of 1,024, the last one incomplete
    images = torch.randint(
        0, 200, (1500, channels, 2, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )
    scaled = images.numpy().astype(np.float64) / 255
    mean, std = statistics(images)
    assert np.allclose(mean, scaled.mean((0, 2, 3)), rtol=1e-13)
    assert np.allclose(std, scaled.std((0, 2, 3)), rtol=1e-11)


def test_a_constant_channel_normalises_to_zero() -> None:
    images = torch.randint(0, 256, (10, 4, 3, 2), dtype=torch.uint8)
    images[:, 3] = 255
    real = RealSet.from_arrays(images, torch.arange(10) % 2)
    assert real.spec.std[3] == 1.0
    assert float(real.rows(torch.arange(10))[:, 3].abs().max()) < 1e-6


@given(counts=class_sizes, fraction=st.floats(0.05, 0.95), seed=st.integers(0, 5))
def test_split_is_stratified_and_complete(counts: list[int], fraction: float, seed: int) -> None:
    real = some(counts, height=2, width=2)
    if max(counts) == 1:
        with pytest.raises(InputError, match="single image"):
            real.split(fraction, Key(seed))
        return
    rest, held = real.split(fraction, Key(seed))
    assert len(rest) + len(held) == len(real)
    for label, count in enumerate(counts):
        kept, taken = int(rest.counts[label]), int(held.counts[label])
        assert kept + taken == count
        assert kept >= 1
        assert taken >= (1 if count > 1 else 0)
        if count > 1:
            assert abs(taken - fraction * count) <= 1


def test_split_gives_each_image_to_one_side() -> None:
    images = torch.arange(60, dtype=torch.uint8).view(60, 1, 1)
    real = RealSet.from_arrays(images, torch.arange(60) % 3)
    rest, held = real.split(0.2, Key(0))
    assert sorted(rest.images.flatten().tolist() + held.images.flatten().tolist()) == list(range(60))
    assert held.counts.tolist() == [4, 4, 4]
    for part in (rest, held):
        assert torch.equal(part.labels, part.images.flatten().long() % 3)
        assert part.spec == real.spec
    again, _ = real.split(0.2, Key(0))
    assert torch.equal(again.images, rest.images)
    other, _ = real.split(0.2, Key(1))
    assert not torch.equal(other.images, rest.images)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_split_refuses_a_fraction_out_of_range(fraction: float) -> None:
    with pytest.raises(InputError, match="fraction"):
        some([3, 3]).split(fraction, Key(0))


def test_fingerprint_sees_pixels_labels_shape_and_names() -> None:
    images = torch.arange(48, dtype=torch.uint8).view(4, 3, 4)
    labels = torch.tensor([0, 1, 0, 1])
    changed = images.clone()
    changed[3, 2, 3] += 1
    variants: list[tuple[Tensor, Tensor, tuple[str, ...]]] = [
        (images, labels, ("a", "b")),
        (changed, labels, ("a", "b")),
        (images, 1 - labels, ("a", "b")),
        (images.view(4, 4, 3), labels, ("a", "b")),
        (images, labels, ("a", "c")),
    ]
    prints = [RealSet.from_arrays(i, y, class_names=n).fingerprint() for i, y, n in variants]
    assert len(set(prints)) == 5
    assert all(len(text) == 64 for text in prints)
    # what it is called and how it is normalised do not change its content
    assert RealSet.from_arrays(images, labels, class_names=("a", "b"), name="x", mean=(0,)).fingerprint() == prints[0]
    assert (
        RealSet(images[:, None], labels, RealSet.from_arrays(images, labels).spec, fingerprint="known").fingerprint()
        == "known"
    )


def test_subset_keeps_order_and_may_lack_classes() -> None:
    real = some([5, 5])
    part = real.subset(real.index(1).flip(0))
    assert part.labels.tolist() == [1] * 5
    assert torch.equal(part.images, real.images[real.index(1).flip(0)])
    assert part.counts.tolist() == [0, 5]
    with pytest.raises(InputError, match=r"class 0 \(0\) has no images"):
        part.draw(0, 1, Key(0))


LAYOUTS: list[tuple[Any, tuple[int, int, int]]] = [
    (np.zeros((6, 5, 7), np.uint8), (1, 5, 7)),
    (np.zeros((6, 3, 5, 7), np.uint8), (3, 5, 7)),
    (np.zeros((6, 5, 7, 3), np.uint8), (3, 5, 7)),
    (np.zeros((6, 5, 7, 1), np.uint8), (1, 5, 7)),
    (np.zeros((6, 4, 5, 7), np.float32), (4, 5, 7)),
    (torch.zeros(6, 5, 7, 4, dtype=torch.float64), (4, 5, 7)),
    (torch.zeros(6, 3, 32, 8, dtype=torch.bfloat16), (3, 32, 8)),
]


@pytest.mark.parametrize(("images", "shape"), LAYOUTS)
def test_the_layout_is_inferred(images: Any, shape: tuple[int, int, int]) -> None:
    real = RealSet.from_arrays(images, np.arange(6, dtype=np.uint16) % 2)
    assert real.spec.shape == shape
    assert real.images.is_contiguous()


def test_channels_last_moves_the_pixels_too() -> None:
    images = torch.randint(0, 256, (4, 3, 5, 7), dtype=torch.uint8)
    last = RealSet.from_arrays(images.permute(0, 2, 3, 1).numpy(), [0, 1, 0, 1])
    assert torch.equal(last.images, images)


def test_floats_are_rounded_to_bytes() -> None:
    values = np.array([0.0, 0.4 / 255, 0.6 / 255, 127.4 / 255, 1.0, 1.0], dtype=np.float64)
    real = RealSet.from_arrays(values.reshape(2, 1, 3), [0, 1])
    assert real.images.flatten().tolist() == [0, 0, 1, 127, 255, 255]


BAD: list[tuple[Any, Any, str]] = [
    (torch.full((2, 5, 5), float("nan")), [0, 1], "row 0 has a pixel of nan"),
    (torch.tensor([0.0, 0.5, 1.0, float("inf")]).view(2, 1, 2), [0, 1], "row 1 has a pixel of inf"),
    (torch.full((2, 5, 5), 255.0), [0, 1], "255"),
    (torch.full((2, 5, 5), -0.1), [0, 1], "-0.1"),
    (torch.zeros(2, 5, 5, dtype=torch.int32), [0, 1], "int32"),
    (torch.zeros(2, 3, 4, 3, dtype=torch.uint8), [0, 1], r"reads as \[N, C, H, W\] and"),
    (torch.zeros(2, 5, 7, 9, dtype=torch.uint8), [0, 1], "1, 3 or 4"),
    (torch.zeros(2, 5, dtype=torch.uint8), [0, 1], "allowed are"),
    (torch.zeros(0, 1, 5, 5, dtype=torch.uint8), [], "empty"),
    (torch.zeros(2, 5, 5, dtype=torch.uint8), [0, 1, 0], "2 images but 3 labels"),
    (torch.zeros(2, 5, 5, dtype=torch.uint8), [0.0, 1.5], "row 1: label 1.5"),
    (torch.zeros(2, 5, 5, dtype=torch.uint8), [0, -1], "row 1 is -1"),
    (torch.zeros(2, 5, 5, dtype=torch.uint8), [[[0]], [[1]]], r"\[N\]"),
    (torch.zeros(2, 5, 5, dtype=torch.uint8), [[0, 1], [1, 1]], r"row 1 is \[1, 1\]"),
    (torch.zeros(2, 5, 5, dtype=torch.uint8), [True, 0], "row 1: label 0"),
    (torch.zeros(2, 5, 5, dtype=torch.uint8), ["a", "a"], "at least two"),
    (torch.zeros(2, 5, 5, dtype=torch.uint8), [1, 1], "at least two classes"),
    (torch.zeros(2, 5, 5, dtype=torch.uint8), [0, 2], "1 never occurs"),
    ([[object()]], [0, 1], "array of numbers"),
]


@pytest.mark.parametrize(("images", "labels", "named"), BAD)
def test_bad_arrays_are_named_in_one_line(images: Any, labels: Any, named: str) -> None:
    with pytest.raises(InputError, match=named) as caught:
        RealSet.from_arrays(images, labels)
    assert "\n" not in str(caught.value)


def test_a_set_is_checked_against_its_spec() -> None:
    spec = Spec("x", 1, 2, 2, ("a", "b", "c"), (0.5,), (0.5,))
    images, labels = torch.zeros(3, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 1, 2])
    RealSet(images, labels, spec)
    bad: list[tuple[Tensor, Tensor, str]] = [
        (images.float(), labels, "uint8"),
        (images[:, :, :1], labels, "spec"),
        (images, labels.int(), "int64"),
        (images[:2], labels, "one label per image"),
        (images, torch.tensor([0, 1, 3]), "label 3 of row 2; allowed are 0 to 2"),
        (images, torch.tensor([0, 1, 1]), r"class 2 \(c\) has no images"),
        (images[:0], labels[:0], "empty"),
    ]
    for pixels, numbers, named in bad:
        with pytest.raises(InputError, match=named):
            RealSet(pixels, numbers, spec)
    assert len(RealSet(images, torch.tensor([0, 1, 1]), spec, partial=True)) == 3
    with pytest.raises(InputError, match="class 3; allowed are 0 to 2"):
        RealSet(images, labels, spec).index(3)
