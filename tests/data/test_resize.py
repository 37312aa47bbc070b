"""Scaling to one size: against Pillow, and against positions worked out by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from distillset.data.resize import Resize
from distillset.errors import InputError
from distillset.sources.load import load
from tests.sources.on_disk import picture, write_classes
from tests.watchers import Notes


@given(
    sides=st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(1, 40)),
    channels=st.sampled_from([1, 3, 4]),
)
def test_it_is_pillow_s_bilinear_to_within_a_grey_level(sides: tuple[int, int, int, int], channels: int) -> None:
    from_height, from_width, height, width = sides
    pixels = picture(1, from_height, from_width, channels)
    array = pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)
    found = Resize(height, width)(torch.from_numpy(array.copy()))
    # plane by plane: Pillow weighs colours with their alpha
    expected = [
        np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.BILINEAR), dtype=int)
        for plane in np.ascontiguousarray(array)
    ]
    assert found.shape == (channels, height, width)
    assert int((found.numpy().astype(int) - np.stack(expected)).__abs__().max()) <= 1


def test_the_crop_keeps_the_proportions() -> None:
    # 4 x 12, halved to 2 x 6, of which the middle 2 x 2 is the original's columns 4 to 8
    image = torch.zeros(1, 4, 12, dtype=torch.uint8)
    image[..., 4:8] = 200
    cropped = Resize(2, 2, crop=True)(image)
    whole = Resize(2, 6)(image)
    assert torch.equal(cropped, whole[..., 2:4])
    assert int(cropped.min()) > 150
    assert int(Resize(2, 2)(image).max()) < 150


@given(st.tuples(st.integers(1, 30), st.integers(1, 30)), st.tuples(st.integers(1, 30), st.integers(1, 30)))
def test_the_crop_always_covers(size: tuple[int, int], wanted: tuple[int, int]) -> None:
    image = torch.full((2, 3, *size), 9, dtype=torch.uint8)
    found = Resize(*wanted, crop=True)(image)
    assert found.shape == (2, 3, *wanted)
    assert bool((found == 9).all())
    # what has the proportions already is not cut
    twice = torch.randint(0, 256, (1, 2 * wanted[0], 2 * wanted[1]), dtype=torch.uint8)
    assert torch.equal(Resize(*wanted, crop=True)(twice), Resize(*wanted)(twice))


def test_what_has_the_size_is_left_alone() -> None:
    image = torch.randint(0, 256, (3, 5, 6), dtype=torch.uint8)
    assert Resize(5, 6)(image) is image
    assert torch.equal(Resize(5, 6, crop=True)(image), image)


@pytest.mark.parametrize("crop", [False, True])
def test_the_method_is_announced_and_in_the_card(tmp_path: Path, crop: bool) -> None:
    images: dict[str, list[Any]] = {"a": [picture(0, 8, 20), picture(1, 9, 7)], "b": [picture(2, 4, 4)]}
    folder = write_classes(tmp_path / "d", images)
    heard: list[str] = []
    for _ in range(2):  # once decoded, once from the cache
        heard.clear()
        data = load(folder, test=folder, resize=(4, 6), crop=crop, watcher=Notes(heard))
        how = "the proportions kept and the centre cut out" if crop else "each side scaled by itself"
        assert heard[-1] == f"{folder}: images resized to 4x6 (bilinear, antialiased, {how})"
    origin = data.origin()
    assert (origin["resize"], origin.get("crop", False)) == ([4, 6], crop)
    assert origin["resize_method"] == f"bilinear, antialiased, {how}"
    first = torch.from_numpy(images["a"][0].transpose(2, 0, 1).copy())
    assert torch.equal(data.train.images[0], Resize(4, 6, crop)(first))
    pair = (torch.from_numpy(np.stack([picture(0), picture(1)])), [0, 1])
    in_memory = load(pair, test=pair, resize=(4, 6), crop=crop, watcher=Notes(heard))
    assert in_memory.origin()["resize_method"] == origin["resize_method"]


def test_a_crop_needs_a_size(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"crop=True: says how to resize, so `resize=\(height, width\)` is needed"):
        load(tmp_path, crop=True)
    for size in ((0, 4), (4, 4097)):
        with pytest.raises(InputError, match=r"resize=\(\d, \d+\): .* at least 1 and at most 4096"):
            Resize(*size)
