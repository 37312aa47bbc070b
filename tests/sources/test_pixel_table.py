"""Tables of pixels: MNIST and its kin as CSV, Kaggle's and FER-2013's."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distillset.errors import InputError
from distillset.sources.load import Data, load
from distillset.watch import Watcher
from tests.sources.published import images


def quietly(data: Any, **options: Any) -> Data:
    return load(data, watcher=Watcher(), **options)


PIXELS = images(20, 12, 12)[:, 0]
LABELS = np.arange(20) % 4
TRAIN, TEST = slice(0, 12), slice(12, 20)


def csv(
    rows: slice, header: str | None = "label,{}", pixel: str = "pixel{}", last: bool = False, scale: float = 1
) -> str:
    lines = [] if header is None else [header.format(",".join(pixel.format(n) for n in range(144)))]
    for label, image in zip(LABELS[rows], PIXELS[rows], strict=True):
        values = [f"{value / scale:g}" if scale != 1 else str(value) for value in image.reshape(-1)]
        lines.append(",".join([*values, str(label)] if last else [str(label), *values]))
    return "\n".join(lines) + "\n"


def check(data: Data) -> None:
    assert data.train.images.tolist() == PIXELS[TRAIN, None].tolist()
    assert data.test.images.tolist() == PIXELS[TEST, None].tolist()
    assert data.train.labels.tolist() == LABELS[TRAIN].tolist()
    assert data.test.labels.tolist() == LABELS[TEST].tolist()


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, ("fashion-mnist_train.csv", "fashion-mnist_test.csv")),
        ({"pixel": "{}x1"}, ("mnist_train.csv", "mnist_test.csv")),
        ({"header": None}, ("mnist_train.csv", "mnist_test.csv")),
        ({"header": "{},label", "last": True, "pixel": "pixel{:04}"}, ("train.csv", "val.csv")),
        ({"header": '"Label",{}'}, ("train.csv", "test.csv")),
    ],
)
def test_a_folder_and_its_tables(tmp_path: Path, options: dict[str, Any], names: tuple[str, str]) -> None:
    (tmp_path / "d").mkdir()
    for name, rows in zip(names, (TRAIN, TEST), strict=True):
        (tmp_path / "d" / name).write_text(csv(rows, **options))
    data = quietly(tmp_path / "d")
    check(data)
    assert any("no line of names; the first column is taken" in note for note in data.notes) == (
        options.get("header", "") is None
    )
    check(quietly(tmp_path / "d" / names[0], test=tmp_path / "d" / names[1]))


def test_kaggle_s_test_table_has_no_labels(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "train.csv").write_text(csv(slice(0, 20)))
    unlabelled = "\n".join(line.split(",", 1)[1] for line in csv(TEST).splitlines())
    (tmp_path / "d" / "test.csv").write_text(unlabelled)
    (tmp_path / "d" / "sample_submission.csv").write_text("ImageId,Label\n1,0\n")
    data = quietly(tmp_path / "d")
    assert (len(data.train), len(data.test)) == (16, 4)
    assert any("left unused: test (it has no labels)" in note for note in data.notes)


def test_fer_2013(tmp_path: Path) -> None:
    lines = ["emotion,pixels,Usage"]
    for n, (label, image) in enumerate(zip(LABELS, PIXELS, strict=True)):
        usage = "Training" if n < 12 else "PrivateTest"
        lines.append(f"{label},{' '.join(map(str, image.reshape(-1)))},{usage}")
    (tmp_path / "fer2013.csv").write_text("\n".join(lines) + "\n")
    check(quietly(tmp_path / "fer2013.csv"))
    (tmp_path / "fer2013.csv").write_text("\n".join([*lines[:3], "1,1 2 x,Training"]) + "\n")
    with pytest.raises(InputError, match=r"fer2013\.csv: column pixels: numbers between spaces are needed"):
        quietly(tmp_path / "fer2013.csv")
    (tmp_path / "fer2013.csv").write_text("\n".join([*lines[:3], "1,1 2 3,Training"]) + "\n")
    with pytest.raises(InputError, match=r"fer2013\.csv: column pixels: the rows have different numbers of pixels"):
        quietly(tmp_path / "fer2013.csv")


def test_floats_up_to_one(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(csv(slice(0, 20), scale=255))
    found = quietly(tmp_path / "train.csv")
    both = {image.tobytes() for image in [*found.train.images.numpy(), *found.test.images.numpy()]}
    assert both == {image.tobytes() for image in PIXELS}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (csv(TRAIN).replace("label", "thing"), r"no column of labels \(beside pixels: thing\); call it label"),
        (csv(TRAIN).replace("pixel7,", "", 1), "it is no table"),
        (csv(TRAIN) + "1,2\n", "it is no table"),
        (csv(TRAIN) + "1" + ",300" * 144 + "\n", "whole numbers from 0 to 255, or floats from 0 to 1"),
        (csv(TRAIN) + "1" + ",-1" * 144 + "\n", "whole numbers from 0 to 255"),
        (csv(TRAIN) + "1" + ",x" * 144 + "\n", r"column 'pixel0': a number is needed in every row"),
        (csv(TRAIN) + "1" + "," * 144 + "\n", r"column 'pixel0': a number is needed in every row"),
        (csv(TRAIN).splitlines()[0] + "\n", "a number is needed|it has no rows"),
        ("\n".join(line.rsplit(",", 1)[0] for line in csv(TRAIN).splitlines()), "143 pixels per row, which is no"),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_used_are_one_short_line(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "train.csv").write_text(content)
    with pytest.raises(InputError, match=rf"train\.csv: .*({told})") as refused:
        quietly(tmp_path / "train.csv")
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 600


def test_names_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_bytes(csv(TRAIN).encode().replace(b"pixel3,", b"pixel\xff,"))
    with pytest.raises(InputError, match=r"train\.csv: it is no table \('utf-8' codec"):
        quietly(tmp_path / "train.csv")
