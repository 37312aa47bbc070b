"""The DC paper's evaluation augmentation: cases worked by hand, every published parameter against an oracle."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from distillset.augment import DC_AUGMENTATIONS, DCAugmentation, DCTable
from distillset.augment.dc import OPERATIONS
from distillset.augment.splines import turned
from distillset.errors import InputError
from distillset.keys import Key, fold
from tests.oracles import dc_augment_oracle as oracle

WORDS = Key(5).words()[None]
WAYS = pytest.mark.parametrize("on_host", [False, True], ids=["table", "on_host"])


class Rows:
    """A row for each pair of parameters, in one batch."""

    def __init__(self, operation: str, *parameters: Sequence[float], on_host: bool = False) -> None:
        number = OPERATIONS.index(operation)
        numbers = [[number, *pair, *[0] * (2 - len(pair))] for pair in parameters]
        self.numbers, self.on_host = torch.tensor(numbers, dtype=torch.float64), on_host

    def apply(self, images: Tensor) -> Tensor:
        channels, height, width = images.shape[1:]
        return DCTable(self.numbers, WORDS, (channels, height, width), OPERATIONS, self.on_host).apply(images)


IMAGE = torch.arange(100.0).reshape(1, 1, 10, 10)


@WAYS
def test_crop_fills_with_the_mean(on_host: bool) -> None:
    assert torch.equal(Rows("crop", (4, 4), on_host=on_host).apply(IMAGE), IMAGE)
    moved = Rows("crop", (2, 7), on_host=on_host).apply(IMAGE)  # the window starts 2 rows above, 3 columns right
    assert torch.equal(moved[0, 0, 2:, :7], IMAGE[0, 0, :8, 3:])
    assert (moved[0, 0, :2] == 49.5).all()
    assert (moved[0, 0, :, 7:] == 49.5).all()


@WAYS
def test_crop_fills_each_channel_with_its_mean_over_the_batch(on_host: bool) -> None:
    images = torch.arange(400.0).reshape(2, 2, 10, 10)
    moved = Rows("crop", (2, 7), (4, 4), on_host=on_host).apply(images)
    # channel 0 holds 0..99 and 200..299, channel 1 is 100 more: means 149.5 and 249.5
    assert (moved[0, 0, :2] == 149.5).all()
    assert (moved[0, 1, :, 7:] == 249.5).all()
    assert torch.equal(moved[1], images[1])


@WAYS
def test_scale_is_nearest_on_zeros(on_host: bool) -> None:
    smaller = Rows("scale", (8, 10), on_host=on_host).apply(IMAGE)  # 8 rows: one of zeros above and below
    assert (smaller[0, 0, [0, 9]] == 0).all()
    assert torch.equal(smaller[0, 0, 1:9], IMAGE[0, 0, [0, 1, 2, 3, 5, 6, 7, 8]])  # floor(i * 10 / 8)
    larger = Rows("scale", (10, 12), on_host=on_host).apply(IMAGE)  # 12 columns, of which the middle ten stay
    assert torch.equal(larger[0, 0], IMAGE[0, 0][:, [0, 1, 2, 3, 4, 5, 5, 6, 7, 8]])  # floor((i + 1) * 10 / 12)


@WAYS
def test_the_published_centre_of_odd_differences(on_host: bool) -> None:
    """9 rows among 10: floor(1 / 2) = 0 above. Beside 11 columns they lie in a square of 11, floor(2 / 2) = 1 down,
    whose window begins at floor(1 / 2) = 0, so a row of zeros is above. 11 rows: the window begins with the first.
    """
    nine = [0, 1, 2, 3, 4, 5, 6, 7, 8]  # floor(i * 10 / 9)
    eleven = [0, 0, 1, 2, 3, 4, 5, 6, 7, 8]  # floor(i * 10 / 11)
    found = Rows("scale", (9, 10), (9, 11), (11, 10), on_host=on_host).apply(IMAGE.expand(3, -1, -1, -1))[:, 0]
    assert torch.equal(found[0, :9], IMAGE[0, 0, nine])
    assert (found[0, 9] == 0).all()
    assert (found[1, 0] == 0).all()
    assert torch.equal(found[1, 1:], IMAGE[0, 0][nine][:, eleven])
    assert torch.equal(found[2], IMAGE[0, 0, eleven])


@WAYS
def test_all_sizes_of_the_published_scale(on_host: bool) -> None:
    sizes = [(h, w) for h in range(22, 34) for w in range(22, 34)]  # floor(28 f), f in [0.8, 1.2)
    images = torch.randn(len(sizes), 1, 28, 28, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = Rows("scale", *sizes, on_host=on_host).apply(images)
    for image, made, size in zip(images.numpy(), found.numpy(), sizes, strict=True):
        assert np.array_equal(made, oracle.scale(image, *size)), size


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("shape", [(1, 28, 28), (2, 9, 9), (1, 2, 2), (1, 1, 1), (1, 24, 21)], ids=str)
@WAYS
def test_all_angles_of_the_published_rotation(shape: tuple[int, int, int], dtype: torch.dtype, on_host: bool) -> None:
    angles = range(-45, 45) if shape[1] == shape[2] else range(-20, 20)  # the canvas is nowhere below the image
    images = torch.randn(len(angles), *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.5
    found = Rows("rotate", *[(a,) for a in angles], on_host=on_host).apply(images.to(dtype))
    fill = float(images.mean())
    expected = np.stack([oracle.rotate(image, fill, a) for image, a in zip(images.numpy(), angles, strict=True)])
    torch.testing.assert_close(
        found.double(), torch.from_numpy(expected), rtol=0, atol=1e-11 if dtype == torch.float64 else 3e-5
    )


@WAYS
def test_all_windows_of_the_published_crop(on_host: bool) -> None:
    windows = [(r, c) for r in range(8) for c in range(8)]
    images = torch.randn(len(windows), 2, 9, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = Rows("crop", *windows, on_host=on_host).apply(images)
    means = images.mean((0, 2, 3)).numpy()
    for image, made, window in zip(images.numpy(), found.numpy(), windows, strict=True):
        assert np.array_equal(made, oracle.crop(image, means, *window))


def test_rotation_turns_against_the_clock_and_fills_with_the_mean() -> None:
    image = torch.zeros(1, 1, 11, 11)
    image[0, 0, 5, 8] = 121.0  # right of the centre; the mean of the image is 1
    torch.testing.assert_close(Rows("rotate", (0,)).apply(image), image, rtol=0, atol=1e-4)
    turned_image = Rows("rotate", (45,)).apply(image)
    row, column = divmod(int(turned_image[0, 0].argmax()), 11)
    # Up and right by 3 / sqrt(2) from the canvas's centre 7.5, of whose 16 pixels 2 are cut: (3.4, 7.6).
    assert (row, column) == (3, 8)
    assert abs(float(turned_image[0, 0, 0, 0]) - 1) < 1e-5


def test_a_spline_goes_through_its_pixels() -> None:
    images = torch.randn(3, 2, 7, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    still = turned(images, torch.zeros(3, dtype=torch.float64), torch.zeros(3, 2, dtype=torch.float64), torch.zeros(3))
    torch.testing.assert_close(still, images, rtol=0, atol=1e-13)


@WAYS
def test_noise_is_normal_of_a_thousandth(on_host: bool) -> None:
    images = torch.zeros(64, 3, 32, 32)
    table = Rows("noise", *[(0, 0)] * 64, on_host=on_host)
    noise = table.apply(images)
    assert abs(float(noise.std()) - 0.001) < 2e-5  # of 196,608: 12 standard errors
    assert abs(float(noise.mean())) < 1e-5
    assert torch.equal(noise, table.apply(images))
    assert len(set(noise[:, 0, 0, 0].tolist())) == 64


def test_one_operation_an_image_of_the_published_ranges() -> None:
    numbers = DCAugmentation().draw(Key(0).words(), (1, 28, 28), 3000).numbers
    operations = numbers[:, 0]
    assert sorted(set(operations.tolist())) == [0, 1, 2]
    for number in range(3):
        assert abs(float((operations == number).double().mean()) - 1 / 3) < 0.034  # four standard errors
    crops, scales, turns = (numbers[operations == number, 1:] for number in range(3))
    assert sorted(set(crops.flatten().tolist())) == list(range(8))
    # floor(28 f) for f in [0.8, 1.2) is 22 for f below 23 / 28, 0.0214 of 0.4, and 33 from 33 / 28 on
    sides, counts = scales.flatten().unique(return_counts=True)
    assert sides.tolist() == list(range(22, 34))
    shares = torch.tensor([0.6 / 11.2] + [1 / 11.2] * 10 + [0.6 / 11.2])
    assert float((counts / scales.numel() - shares).abs().max()) < 4 * float((0.09 / scales.numel()) ** 0.5)
    assert sorted(set(turns[:, 0].tolist())) == list(range(-45, 45))
    assert (turns[:, 1] == 0).all()


def test_crop_and_noise_are_drawn_alike() -> None:
    numbers = DC_AUGMENTATIONS["dc/crop_noise"].draw(Key(0).words(), (3, 32, 32), 3000).numbers
    assert sorted(set(numbers[:, 0].tolist())) == [0, 3]
    assert abs(float((numbers[:, 0] == 0).double().mean()) - 1 / 2) < 0.037
    assert sorted(set(numbers[numbers[:, 0] == 0, 1:].flatten().tolist())) == list(range(8))
    assert (numbers[numbers[:, 0] == 3, 1:] == 0).all()


@pytest.mark.parametrize("name", ["dc/crop_scale_rotate", "dc/crop_noise"])
def test_batches_together_are_batches_alone(name: str) -> None:
    """Their means, parameters and noise are each their own; where the host reads along nothing changes."""
    augmentation, words = DC_AUGMENTATIONS[name], fold(Key(3).words(), torch.arange(3))
    assert str(augmentation) == name
    images = torch.randn(3, 12, 2, 14, 14, generator=torch.Generator().manual_seed(0)) + torch.arange(3.0).view(
        3, 1, 1, 1, 1
    )
    together = augmentation.draw(words, (2, 14, 14), 12).apply(images.flatten(0, 1))
    alone = [
        augmentation.draw(one, (2, 14, 14), 12, True).apply(batch) for one, batch in zip(words, images, strict=True)
    ]
    torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["dc/crop_scale_rotate", "dc/crop_noise"])
def test_autocast_changes_nothing(name: str) -> None:
    images = torch.randn(20, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    table = DC_AUGMENTATIONS[name].draw(Key(1).words(), (1, 12, 12), 20)
    with torch.autocast("cpu", torch.bfloat16):
        cast = table.apply(images)
    assert torch.equal(cast, table.apply(images))


@pytest.mark.parametrize("name", ["dc/crop_scale_rotate", "dc/crop_noise"])
@WAYS
def test_it_writes_to_nothing(name: str, on_host: bool) -> None:
    images = torch.randn(20, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    before = images.clone()
    table = DC_AUGMENTATIONS[name].draw(Key(1).words(), (1, 28, 28), 20, on_host)
    made: Tensor = table.apply(images)
    assert made.shape == images.shape
    assert made.dtype == images.dtype
    assert torch.equal(images, before)
    assert not torch.equal(made, images)


def test_a_table_refuses_what_it_was_not_drawn_for() -> None:
    table = DCAugmentation().draw(Key(1).words(), (1, 28, 28), 20)
    with pytest.raises(InputError, match="images: 19 of them"):
        table.apply(torch.zeros(19, 1, 28, 28))
    with pytest.raises(InputError, match="images: 2 of them"):
        DCAugmentation().draw(Key(1).words(), (1, 28, 28), 1).apply(torch.zeros(2, 1, 28, 28))
    with pytest.raises(InputError, match="images: shape"):
        table.apply(torch.zeros(20, 1, 28, 29))
    with pytest.raises(InputError, match="uint8"):
        table.apply(torch.zeros(20, 1, 28, 28, dtype=torch.uint8))


@WAYS
def test_half_precision_is_that_of_float_rounded(on_host: bool) -> None:
    images = torch.randn(20, 1, 12, 12, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    table = DCAugmentation().draw(Key(1).words(), (1, 12, 12), 20, on_host)
    assert torch.equal(table.apply(images), table.apply(images.float()).to(torch.bfloat16))
