"""The picture of a set, pixel by pixel."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from distillset.data.grid import grid, write_grid


def test_layout_by_hand() -> None:
    """Three images of 32x32 in two rows: class 0 has two, class 1 one; white between and where nothing is."""
    pixels = torch.arange(1, 4, dtype=torch.uint8).view(3, 1, 1, 1).expand(3, 1, 32, 32)
    canvas = grid(pixels, torch.tensor([0, 1, 0]), 2)
    assert canvas.shape == (1, 2 * 34 + 2, 2 * 34 + 2)
    expected = torch.full((1, 70, 70), 255, dtype=torch.uint8)
    expected[0, 2:34, 2:34] = 1
    expected[0, 2:34, 36:68] = 3
    expected[0, 36:68, 2:34] = 2
    assert torch.equal(canvas, expected)


def test_small_images_are_enlarged_without_blur() -> None:
    pixels = torch.arange(12, dtype=torch.uint8).view(1, 1, 3, 4)
    canvas = grid(pixels, torch.tensor([0]), 1, gap=0)  # 3 rows: 11 times as large is the first of at least 32
    assert canvas.shape == (1, 33, 44)
    for i in range(3):
        for j in range(4):
            assert (canvas[0, 11 * i : 11 * i + 11, 11 * j : 11 * j + 11] == 4 * i + j).all()


@pytest.mark.parametrize(("side", "factor"), [(1, 32), (8, 4), (28, 2), (31, 2), (32, 1), (64, 1)])
def test_factor(side: int, factor: int) -> None:
    assert grid(torch.zeros(1, 3, side, side, dtype=torch.uint8), torch.tensor([0]), 1, gap=0).shape[1] == side * factor


def test_a_class_without_images_is_an_empty_row() -> None:
    canvas = grid(torch.zeros(1, 1, 32, 32, dtype=torch.uint8), torch.tensor([1]), 2)
    assert canvas.shape == (1, 70, 36)
    assert (canvas[0, :36] == 255).all()


def test_large_sets_are_cut() -> None:
    pixels = torch.zeros(60, 1, 32, 32, dtype=torch.uint8)
    assert grid(pixels, torch.zeros(60, dtype=torch.int64), 1, gap=0).shape == (1, 32, 50 * 32)
    assert grid(pixels[:1], torch.tensor([0]), 101, gap=0).shape == (1, 100 * 32, 32)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_the_file(tmp_path: Path, channels: int, mode: str) -> None:
    pixels = torch.randint(0, 256, (2, channels, 32, 40), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    classes = torch.tensor([0, 1])
    write_grid(tmp_path / "grid.png", pixels, classes, 2)
    with Image.open(tmp_path / "grid.png") as picture:
        assert picture.mode == mode
        shown = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
        assert picture.size == (44, 70)
    assert torch.equal(shown.view(70, 44, channels).permute(2, 0, 1), grid(pixels, classes, 2))


def test_no_picture_has_two_channels(tmp_path: Path) -> None:
    write_grid(tmp_path / "grid.png", torch.zeros(1, 2, 8, 8, dtype=torch.uint8), torch.tensor([0]), 1)
    assert list(tmp_path.iterdir()) == []
