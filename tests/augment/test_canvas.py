"""Canvases: crops beside rolling the torus, tiles by hand."""

import pytest
import torch

from distillset.augment import Crop, assembled
from distillset.keys import Key, fold


def test_a_crop_is_a_corner_of_the_rolled_canvas() -> None:
    """As the published code has it: `torch.roll`, then the top left."""
    canvases = torch.arange(2 * 3 * 6 * 8.0).view(2, 3, 6, 8)
    corners = torch.tensor([[5, 7], [2, 0]])
    found = Crop(corners, (3, 4)).apply(canvases)
    for i, (top, left) in enumerate(corners.tolist()):
        assert torch.equal(found[i], torch.roll(canvases[i], (-top, -left), (1, 2))[:, :3, :4])
    assert found[0, 0].tolist() == [[47, 40, 41, 42], [7, 0, 1, 2], [15, 8, 9, 10]]  # over both edges


def test_tiles_lie_in_rows() -> None:
    images = torch.stack([torch.full((1, 1, 2), float(i)) for i in range(8)])
    found = assembled(images, 2)
    assert found.tolist() == [[[[0, 0, 1, 1], [2, 2, 3, 3]]], [[[4, 4, 5, 5], [6, 6, 7, 7]]]]
    assert torch.equal(assembled(images, 1), images)
    assert torch.equal(Crop(torch.tensor([[1, 2], [0, 0]]), (1, 2)).apply(found), images[[3, 4]])


def test_crops_lie_anywhere_and_repeat_with_their_key() -> None:
    crop = Crop.draw(Key(1).words(), 4000, (2, 3), 2)
    assert torch.equal(crop.corners, Crop.draw(Key(1).words(), 4000, (2, 3), 2).corners)
    for side, length in enumerate((4, 6)):
        counts = torch.bincount(crop.corners[:, side])
        assert len(counts) == length
        assert float((counts - 4000 / length).abs().max()) < 5 * (4000 / length) ** 0.5


def test_the_gradient_of_a_crop_is_spread_over_the_torus() -> None:
    canvases = torch.zeros(1, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    crop = Crop(torch.tensor([[3, 3]]), (2, 2))
    crop.apply(canvases).backward(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]], dtype=torch.float64))
    assert canvases.grad is not None
    assert canvases.grad[0, 0].tolist() == [[4, 0, 0, 3], [0, 0, 0, 0], [0, 0, 0, 0], [2, 0, 0, 1]]
    torch.autograd.gradcheck(crop.apply, torch.randn(1, 1, 4, 4, dtype=torch.float64, requires_grad=True))


def test_streams_are_drawn_one_by_one_or_together() -> None:
    words = fold(Key(2).words(), torch.arange(3))
    together = Crop.draw(words, 5, (4, 6), 3)
    alone = [Crop.draw(one, 5, (4, 6), 3).corners for one in words]
    assert torch.equal(together.corners, torch.cat(alone))


@pytest.mark.parametrize("canvas", [2, 3])
def test_a_crop_has_the_size_of_an_image(canvas: int) -> None:
    found = Crop.draw(Key(0).words(), 5, (9, 14), canvas).apply(torch.zeros(5, 1, 9 * canvas, 14 * canvas))
    assert found.shape == (5, 1, 9, 14)
