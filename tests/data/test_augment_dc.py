"""The DC paper's evaluation augmentation, case by case, worked by hand."""

import torch

from distillset.data.augment_dc import DCAugmentation, DCDraw
from distillset.keys import Key


def draw(
    operation: int, offset: tuple[int, int] = (4, 4), factor: tuple[float, float] = (1.0, 1.0), angle: int = 0
) -> DCDraw:
    """One image's."""
    return DCDraw(
        torch.tensor([operation]),
        torch.tensor([offset]),
        torch.tensor([factor], dtype=torch.float64),
        torch.tensor([angle]),
    )


IMAGE = torch.arange(100.0).reshape(1, 1, 10, 10)


def test_crop_fills_with_the_mean() -> None:
    assert torch.equal(draw(0).apply(IMAGE), IMAGE)
    moved = draw(0, (2, 7)).apply(IMAGE)  # the window starts 2 rows above and 3 columns right of the image
    assert torch.equal(moved[0, 0, 2:, :7], IMAGE[0, 0, :8, 3:])
    assert (moved[0, 0, :2] == 49.5).all()
    assert (moved[0, 0, :, 7:] == 49.5).all()


def test_scale_is_nearest_on_zeros() -> None:
    smaller = draw(1, factor=(0.8, 1.0)).apply(IMAGE)  # 8 rows: one of zeros above and below
    assert (smaller[0, 0, [0, 9]] == 0).all()
    assert torch.equal(smaller[0, 0, 1:9], IMAGE[0, 0, [0, 1, 2, 3, 5, 6, 7, 8]])  # floor(i * 10 / 8)
    larger = draw(1, factor=(1.0, 1.2)).apply(IMAGE)  # 12 columns, of which the middle ten stay
    assert torch.equal(larger[0, 0], IMAGE[0, 0][:, [0, 1, 2, 3, 4, 5, 5, 6, 7, 8]])  # floor((i + 1) * 10 / 12)


def test_rotation_turns_against_the_clock_and_fills_with_the_mean() -> None:
    image = torch.zeros(1, 1, 11, 11)
    image[0, 0, 5, 8] = 121.0  # right of the centre; the mean of the image is 1
    assert torch.allclose(draw(2).apply(image), image)
    turned = draw(2, angle=45).apply(image)
    row, column = divmod(int(turned[0, 0].argmax()), 11)
    # Up and right by 3 / sqrt(2) from the canvas's centre 7.5, of whose 16 pixels 3 are cut: (2.4, 6.6).
    assert (row, column) == (2, 7)
    assert turned.shape == image.shape
    assert abs(float(turned[0, 0, 0, 0]) - 1) < 1e-5


def test_one_operation_an_image_of_the_published_ranges() -> None:
    drawn = DCAugmentation().draw(Key(0), (1, 28, 28), 3000)
    assert sorted(set(drawn.operations.tolist())) == [0, 1, 2]
    assert abs(float((drawn.operations == 2).double().mean()) - 1 / 3) < 0.03
    assert sorted(set(drawn.offsets.flatten().tolist())) == list(range(8))
    assert 0.8 <= float(drawn.factors.min()) < 0.81
    assert 1.19 < float(drawn.factors.max()) <= 1.2
    assert sorted(set(drawn.angles.tolist())) == list(range(-45, 45))
    again = DCAugmentation().draw(Key(0), (1, 28, 28), 3000)
    assert torch.equal(drawn.factors, again.factors)


def test_it_writes_to_nothing() -> None:
    images = torch.randn(20, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    before = images.clone()
    made = DCAugmentation().draw(Key(1), (1, 28, 28), 20).apply(images)
    assert made.shape == images.shape
    assert made.dtype == images.dtype
    assert torch.equal(images, before)
