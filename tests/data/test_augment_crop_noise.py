"""The augmentation of the DC evaluation for ConvNetBN, worked by hand from its description: for each image either a
crop out of the image padded by 4 with the batch's mean of each channel, or normal noise of 0.001.
"""

import torch

from distillset.data.augment_crop_noise import CropNoise, CropNoiseDraw
from distillset.keys import Key

IMAGES = torch.arange(400.0).reshape(2, 2, 10, 10)


def draw(operations: list[int], offsets: list[list[int]]) -> CropNoiseDraw:
    return CropNoiseDraw(torch.tensor(operations), torch.tensor(offsets), Key(5))


def test_a_crop_is_a_window_of_the_image_padded_with_the_means_of_the_batch() -> None:
    """Window at row 2, column 7 of the padded image: 2 rows above it, 3 columns to the right."""
    moved = draw([0, 0], [[2, 7], [4, 4]]).apply(IMAGES)
    assert torch.equal(moved[0, :, 2:, :7], IMAGES[0, :, :8, 3:])
    # channel 0 holds 0..99 and 200..299, channel 1 is 100 more: means 149.5 and 249.5
    assert (moved[0, 0, :2] == 149.5).all()
    assert (moved[0, 1, :, 7:] == 249.5).all()
    assert torch.equal(moved[1], IMAGES[1])


def test_noise_is_normal_of_a_thousandth() -> None:
    images = torch.zeros(64, 3, 32, 32)
    noise = draw([1] * 64, [[0, 0]] * 64).apply(images)
    assert abs(float(noise.std()) - 0.001) < 2e-5
    assert abs(float(noise.mean())) < 2e-5
    assert torch.equal(noise, draw([1] * 64, [[0, 0]] * 64).apply(images))


def test_each_image_has_one_operation_and_a_place_of_its_own() -> None:
    drawn = CropNoise().draw(Key(0), (3, 32, 32), 3000)
    assert sorted(set(drawn.operations.tolist())) == [0, 1]
    assert abs(float(drawn.operations.double().mean()) - 1 / 2) < 0.03
    assert sorted(set(drawn.offsets.flatten().tolist())) == list(range(8))
    images = torch.randn(20, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    before = images.clone()
    made = CropNoise().draw(Key(1), (3, 32, 32), 20).apply(images)
    assert made.shape == images.shape
    assert torch.equal(images, before)
    assert not torch.equal(made, images)
