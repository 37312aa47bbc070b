"""Single pictures: what Pillow stumbles over, channels that are asked for, and every damaged one named."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin

from distillset.commands import main
from distillset.errors import InputError
from distillset.sources.channels import with_channels
from distillset.sources.load import Data, load
from distillset.sources.places import check_named_by_card
from distillset.watch import Watcher
from tests.sources.made import folders, grey, write


def quietly(path: Path, **options: object) -> Data:
    return load(path, watcher=Watcher(), **options)  # type: ignore[arg-type]


def test_grey_is_that_of_pillow_and_other_conversions_lose_nothing() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (31, 37, 4), dtype=np.uint8)
    rgba = torch.from_numpy(colours).permute(2, 0, 1)
    as_grey = np.array(Image.fromarray(colours[..., :3]).convert("L"))
    assert with_channels(rgba[:3], 1).tolist() == [as_grey.tolist()]
    assert with_channels(rgba, 1).tolist() == [as_grey.tolist()]
    assert with_channels(rgba, 3).tolist() == rgba[:3].tolist()
    assert with_channels(rgba[:1], 3).tolist() == [rgba[0].tolist()] * 3
    assert with_channels(rgba[:1], 4).tolist() == [*[rgba[0].tolist()] * 3, [[255] * 37] * 31]
    # blocks of a set go the same way
    assert with_channels(rgba[:3].expand(1030, 3, 31, 37)[:, :, :2, :2], 1).unique(dim=0).shape[0] == 1


def transparent(folder: Path) -> Path:
    folders(folder)
    picture = grey(0, 9).convert("RGBA")
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    picture.save(folder / "cat" / "shot.png")
    return folder


def test_one_transparent_picture_is_named_and_channels_are_offered(tmp_path: Path) -> None:
    data = quietly(transparent(tmp_path / "d"))
    assert data.train.spec.channels == 4
    assert data.notes[-1].endswith("images were converted to RGBA, as "
                                   f"{tmp_path}/d/cat/shot.png (row 6) is; `channels=3` takes all as RGB")  # fmt: skip
    three = quietly(tmp_path / "d", channels=3)
    assert three.train.spec.channels == three.test.spec.channels == 3
    assert three.train.images.tolist() == data.train.images[:, :3].tolist()
    assert three.notes[-1] == f"{tmp_path}/d: images taken as RGB"
    assert three.origin()["channels"] == 3
    assert quietly(tmp_path / "d", channels=1).train.spec.channels == 1
    with pytest.raises(InputError, match=r"channels=2: choose one of 1 \(grey\), 3 \(RGB\), 4 \(RGBA\)"):
        quietly(tmp_path / "d", channels=2)


def test_an_opaque_screenshot_makes_no_set_of_four_channels(tmp_path: Path) -> None:
    folders(tmp_path / "d")
    grey(0, 9).convert("RGBA").save(tmp_path / "d" / "cat" / "shot.png")
    assert quietly(tmp_path / "d").train.spec.channels == 3


def test_channels_in_memory() -> None:
    images = torch.randint(0, 256, (8, 3, 6, 5), dtype=torch.uint8)
    data = load((images, [0, 1] * 4), test=(images, [0, 1] * 4), channels=1, watcher=Watcher())
    assert data.train.images.tolist() == with_channels(images, 1).tolist()
    assert data.train.spec.mean == pytest.approx([float(data.train.images.double().mean() / 255)])


def test_evaluate_takes_the_channels_of_the_card(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = str(transparent(tmp_path / "d")), str(tmp_path / "o")
    assert main(["select", "random", "--data", source, "--ipc", "1", "--channels", "3", "--out", out]) == 0
    judged = ["evaluate", out, "--repeats", "1", "--epochs", "1", "--networks", "mlp"]
    assert main(judged) == 0, capsys.readouterr().err


@pytest.mark.parametrize("chunk", ["text", "profile"])
def test_a_png_with_much_text_is_no_damage(tmp_path: Path, chunk: str) -> None:
    folders(tmp_path / "d")
    info = PngImagePlugin.PngInfo()
    if chunk == "text":
        info.add_text("x", "a" * 2_000_000, zip=True)
        grey(0, 9).save(tmp_path / "d" / "cat" / "big.png", pnginfo=info)
    else:
        grey(0, 9).save(tmp_path / "d" / "cat" / "big.png", icc_profile=bytes(2_000_000))
    data = quietly(tmp_path / "d", test=folders(tmp_path / "t"))
    assert data.train.images[6].tolist() == np.array(grey(0, 9)).transpose(2, 0, 1).tolist()


def test_all_damaged_files_are_named_in_one_line(tmp_path: Path) -> None:
    folders(tmp_path / "d")
    for name in ("cat/003.png", "dog/000.png", "dog/zz.png"):
        (tmp_path / "d" / name).write_bytes(b"")
    with pytest.raises(InputError, match=r"^3 images cannot be used: ") as error:
        quietly(tmp_path / "d")
    said = str(error.value)
    assert "\n" not in said
    rows = [
        f"{tmp_path}/d/{name} (row {row})" for name, row in (("cat/003.png", 3), ("dog/000.png", 6), ("dog/zz.png", 12))
    ]
    why = "the image is damaged or of an unknown kind (not an image file)"
    assert f"{rows[0]}: {why} (also {rows[1]}, {rows[2]})" in said
    for number in range(40):
        (tmp_path / "d" / "cat" / f"x{number}.png").write_bytes(b"x")
    with pytest.raises(InputError, match=r"^43 images cannot be used: .*; and 33 more$") as error:
        quietly(tmp_path / "d")
    assert len(str(error.value)) < 10 * (150 + len(str(tmp_path)))


def test_what_pillow_would_hand_to_other_programs_is_not_opened(tmp_path: Path) -> None:
    folders(tmp_path / "d")
    (tmp_path / "d" / "cat" / "x.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 6 5\nshowpage\n")
    with pytest.raises(InputError, match=r"cat/x\.png .*not an image file"):
        quietly(tmp_path / "d")


def test_pipes_and_devices_beside_images_are_left(tmp_path: Path) -> None:
    folders(tmp_path / "d")
    os.mkfifo(tmp_path / "d" / "cat" / "pipe.png")
    (tmp_path / "d" / "cat" / "zero.png").symlink_to("/dev/zero")
    assert "left 2 files (cat/pipe.png: a link to nowhere, or no regular file)" in quietly(tmp_path / "d").notes[0]


@pytest.mark.parametrize("source", ["/", "~", "~root", "/home", str(Path.home()), "/usr", str(Path.home() / ".")])
def test_no_card_has_a_home_looked_through(source: str) -> None:
    with pytest.raises(InputError, match=r"data\.source of the card is .*: a home folder, or .*; .*say so with `data`"):
        check_named_by_card(source, "source")
    assert check_named_by_card("cifar10", "source") == "cifar10"


def test_a_home_in_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell expands ``--out ~/x``, but not ``--out=~/x``, and a program nothing."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(folders(tmp_path / "d"))
    assert main(["select", "random", "--data=~/d", "--test=~/d", "--ipc=1", "--out=~/o"]) == 0
    assert (tmp_path / "o").is_dir()
    assert not (tmp_path / "d" / "~").exists()
    assert len(quietly(Path("~/d")).train) == len(load("~/d", watcher=Watcher()).train) == 10


def test_a_folder_of_another_is_read_where_a_card_names_it(tmp_path: Path) -> None:
    assert check_named_by_card(str(write(tmp_path / "d" / "x.png", 0).parent), "source") == str(tmp_path / "d")
