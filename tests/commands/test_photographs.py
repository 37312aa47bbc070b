"""A folder of photographs of many sizes, some of them grey, in unequal classes; one is cut short, then removed."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from distillset import SyntheticSet
from distillset.commands import main
from tests import toys

EAGER = ["--device", "cpu", "--precision", "fp32", "--compile", "off"]
COUNTS = {"dunes": 14, "lake": 9, "meadow": 21}
SKY, GROUND = {"dunes": 30, "lake": 150, "meadow": 210}, {"dunes": 20, "lake": 130, "meadow": 80}


def photograph(kind: str, seed: int) -> Image.Image:
    """Sky over ground in the hues of a class, with a horizon, a sun and grain that differ from one to the next."""
    generator = np.random.default_rng([seed, *kind.encode()])
    height, width = int(generator.integers(50, 90)), int(generator.integers(100, 150))
    y, x = np.mgrid[:height, :width]
    horizon = generator.uniform(0.4, 0.6) * height + 4 * np.sin(x / generator.uniform(8, 20))
    hue = np.where(y < horizon, SKY[kind], GROUND[kind])
    saturation = np.where(y < horizon, 90, 170)
    value = 230 - 100 * np.abs(y - horizon) / height + generator.normal(0, 6, (height, width))
    sun = (y - generator.uniform(5, 15)) ** 2 + (x - generator.uniform(20, 80)) ** 2 < 50
    planes = [hue, np.where(sun, 20, saturation), np.where(sun, 255, value)]
    return Image.fromarray(np.stack(planes, -1).clip(0, 255).astype(np.uint8), "HSV").convert("RGB")


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    folder = tmp_path / "photographs"
    for kind, count in COUNTS.items():
        (folder / kind).mkdir(parents=True)
        for number in range(count):
            image = photograph(kind, number)
            if number % 5 == 4:
                image = image.convert("L")
            image.save(folder / kind / f"{number:03}.{'png' if number % 7 == 3 else 'jpg'}")
    return folder


def test_the_cut_one_is_named_and_the_rest_distilled_by_one_command(
    photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = photographs / "lake" / "005.jpg"
    cut.write_bytes(cut.read_bytes()[:900])
    out = tmp_path / "run"
    command = [
        "distill", "dm", "--data", str(photographs), "--resize", "16x24", "--ipc", "2", "--steps", "12",
        "--batch-real", "8", "--network", "ConvNetD2W8", "--out", str(out), *EAGER,
    ]  # fmt: skip
    assert main(command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    # rows are counted over all classes: 14 of the first, and five before it in the second
    assert line.startswith(f"distillset: error: {cut} (row 19): the image is damaged or of an unknown kind (")
    assert not out.exists()
    cut.unlink()
    assert main(command) == 0
    told = capsys.readouterr().err
    # a fifth of 14, 8 and 21, rounded; every fifth is grey
    assert "held out a stratified 20% for testing (9 of 43 images)" in told
    assert "7 images were converted to RGB, as the others are" in told
    assert "images resized to 16x24 (bilinear, antialiased, each side scaled by itself)" in told
    synthetic = SyntheticSet.load(out)
    assert synthetic.images.shape == (6, 3, 16, 24)
    assert synthetic.spec.class_names == tuple(COUNTS)
    assert synthetic.card["data"]["resize"] == [16, 24]
    with Image.open(io.BytesIO((out / "grid.png").read_bytes())) as picture:
        # enlarged two times, three rows of two, and gaps of 2 pixels
        assert picture.size == (2 * 48 + 3 * 2, 3 * 32 + 4 * 2)
    # the images are of their class still: the sky of each is nearest to the real sky of the same class
    start = SyntheticSet.load(out).pixels[:, :, :4].float().mean((2, 3)).view(3, 2, 3).mean(1)
    real = torch.stack([_sky(photographs / kind) for kind in COUNTS])
    assert torch.cdist(start, real).argmin(1).tolist() == [0, 1, 2]
    judge = ["evaluate", str(out), "--networks", toys.NETWORK, "--repeats", "1", "--epochs", "2", "--beside", "none"]
    assert main([*judge, *EAGER]) == 0  # finds the folder, its size and its held-out images from the card alone


def _sky(folder: Path) -> torch.Tensor:
    """The mean colour of the upper quarter of the coloured photographs of a class."""
    found = []
    for path in sorted(folder.iterdir()):
        with Image.open(path) as image:
            if image.mode == "RGB":
                array = np.asarray(image)
                found.append(array[: len(array) // 4].mean((0, 1)))
    return torch.from_numpy(np.stack(found)).float().mean(0)
