import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from distillset.data.real import RealSet
from distillset.errors import InputError
from distillset.keys import Key
from distillset.sources import decode, pictures
from distillset.sources.known import KNOWN
from distillset.sources.load import Data, load
from distillset.sources.pictures import Form
from distillset.sources.places import find
from distillset.watch import Watcher
from tests.sources.on_disk import channels_first, picture, write_classes, write_parquet
from tests.watchers import Notes


def quietly(data: Any, **options: Any) -> Data:
    return load(data, watcher=Watcher(), **options)


def test_digits_are_the_1797_of_scikit_learn_with_a_fixed_test_split() -> None:
    from sklearn.datasets import load_digits

    data = quietly("digits")
    assert (len(data.train), len(data.test)) == (1438, 359)
    assert data.train.spec.shape == (1, 8, 8)
    assert data.train.spec.class_names == tuple("0123456789")
    assert not data.train.spec.flip
    assert data.source == "digits"
    raw = load_digits()
    shares = torch.bincount(torch.from_numpy(raw.target)) / 5
    assert float((data.test.counts - shares).abs().max()) <= 0.5
    # every image is in one of the two, with its label; grey values are 0 to 16 sixteenths of 255
    pixels = np.concatenate([data.train.images.numpy(), data.test.images.numpy()])[:, 0]
    labels = np.concatenate([data.train.labels.numpy(), data.test.labels.numpy()])
    expected = np.round(raw.images * 255 / 16).astype(np.uint8)
    found = sorted((int(y), p.tobytes()) for p, y in zip(pixels, labels, strict=True))
    assert found == sorted((int(y), p.tobytes()) for p, y in zip(expected, raw.target, strict=True))
    # The split is part of every published number on the digits: it must never change.
    assert data.train.fingerprint() == "accfdfb29aeafb2b9f4eb0ed0267d7b73619aaa6b9e57c7a924261a5431b813f"


def test_a_known_name_is_found_below_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [picture(n) for n in range(6)]
    folder = tmp_path / "sets" / "cifar10"
    # two shards, in the order of their names, and the hub's column name
    write_parquet(folder, "train", images[:3], [0, 1, 0], image="img", names=["cat", "dog"], part="00000-of-00002")
    write_parquet(folder, "train", images[3:4], [1], image="img", names=["cat", "dog"], part="00001-of-00002")
    write_parquet(folder, "test", images[4:], [1, 0], image="img", names=["cat", "dog"])
    data = quietly("cifar10", data_dir=tmp_path / "sets")
    assert data.source == "cifar10"
    assert data.notes == (f"{folder}: took 3 .parquet files out of 1 folder",)
    assert data.train.images.numpy().tolist() == channels_first(images[:4]).tolist()
    assert data.test.images.numpy().tolist() == channels_first(images[4:]).tolist()
    assert data.train.labels.tolist() == [0, 1, 0, 1]
    assert data.test.labels.tolist() == [1, 0]
    spec = data.train.spec
    assert (spec.name, spec.class_names, spec.mean) == ("cifar10", ("cat", "dog"), KNOWN["cifar10"].mean)
    assert data.test.spec == spec
    monkeypatch.setenv("DISTILLSET_DATA", str(tmp_path / "sets"))
    assert quietly("cifar10").train.fingerprint() == data.train.fingerprint()


def test_the_fine_labels_are_taken_and_other_columns_ignored(tmp_path: Path) -> None:
    images = [picture(n, channels=1) for n in range(4)]
    extra: dict[str, Any] = {"coarse_label": [0, 0, 0, 0], "id": [7, 8, 9, 10], "caption": ["x"] * 4}
    write_parquet(tmp_path / "d", "train", images, [1, 0, 1, 0], label="fine_label", names=["p", "q"], extra=extra)
    write_parquet(tmp_path / "d", "validation", images, [0, 0, 1, 0], label="fine_label", names=["p", "q"], extra=extra)
    data = quietly(tmp_path / "d")
    assert data.train.labels.tolist() == [1, 0, 1, 0]
    assert data.test.labels.tolist() == [0, 0, 1, 0]
    assert data.train.spec.shape == (1, 6, 4)
    # a folder has no published statistics: they are measured on its training images
    scaled = channels_first(images) / 255
    assert data.train.spec.mean == pytest.approx([scaled.mean()], rel=1e-12)
    assert data.train.spec.std == pytest.approx([scaled.std()], rel=1e-12)


@pytest.mark.parametrize("labels", [["b", "a", "b", "a"], [1, 0, 1, 0]])
def test_labels_may_be_names_or_plain_numbers(tmp_path: Path, labels: list[Any]) -> None:
    images = [picture(n) for n in range(4)]
    write_parquet(tmp_path / "d", "train", images, labels)
    write_parquet(tmp_path / "d", "test", images[:1], labels[:1])
    data = quietly(str(tmp_path / "d"))
    assert data.train.labels.tolist() == [1, 0, 1, 0]
    assert data.test.labels.tolist() == [1]
    assert data.train.spec.class_names == (("a", "b") if labels[0] == "b" else ("0", "1"))


def test_a_folder_of_classes(tmp_path: Path) -> None:
    # a class called "train", unequal classes, and files that are no images
    images = {"cat": [picture(n) for n in range(7)], "train": [picture(10 + n) for n in range(4)]}
    folder = write_classes(tmp_path / "pets", images)
    (folder / "cat" / ".DS_Store").write_text("x")
    (folder / "cat" / "notes.txt").write_text("x")
    (folder / "README.md").write_text("x")
    heard: list[str] = []
    data = load(folder, watcher=Notes(heard))
    assert data.train.spec.class_names == ("cat", "train")
    assert data.train.spec.shape == (3, 6, 4)
    assert data.train.counts.tolist() == [6, 3]
    assert data.test.counts.tolist() == [1, 1]
    assert data.source == str(folder)
    assert data.notes == (
        f"{folder}: took 11 images out of 2 folders; left 1 .md file (README.md), 1 .txt file (cat/notes.txt)",
        f"{folder}: no test split; held out a stratified 20% for testing (2 of 11 images)",
    )
    assert heard[-2:] == list(data.notes)
    both = [*data.train.images.tolist(), *data.test.images.tolist()]
    assert sorted(both) == sorted(channels_first(images["cat"] + images["train"]).tolist())


def test_the_held_out_images_do_not_enter_the_statistics(tmp_path: Path) -> None:
    folder = write_classes(tmp_path / "d", {c: [picture(n + 9 * i) for n in range(9)] for i, c in enumerate("ab")})
    data = quietly(folder)
    scaled = data.train.images.double() / 255
    assert data.train.spec.mean == pytest.approx(scaled.mean((0, 2, 3)).tolist(), rel=1e-12)
    assert len(data.test) == 4


def test_a_folder_of_splits_of_classes(tmp_path: Path) -> None:
    write_classes(tmp_path / "d" / "train", {"a": [picture(0)], "b": [picture(1)], "c": [picture(2)]})
    write_classes(tmp_path / "d" / "val", {"a": [picture(3)], "c": [picture(4)]})
    data = quietly(tmp_path / "d")
    assert data.train.labels.tolist() == [0, 1, 2]
    # numbered as the training classes are, although b is missing here
    assert data.test.labels.tolist() == [0, 2]
    assert data.test.images.tolist() == channels_first([picture(3), picture(4)]).tolist()
    assert data.notes == (
        f"{tmp_path / 'd'}: took 5 images out of 5 folders",
        f"{tmp_path / 'd'}, split val: no images of 1 of the 3 classes (b); accuracy is that on the others",
    )


def test_a_dataset_that_was_saved_to_disk(tmp_path: Path) -> None:
    import datasets

    table = datasets.Dataset.from_dict(
        {"picture": [Image.fromarray(picture(n)) for n in range(4)], "label": [0, 1, 0, 1]},
        features=datasets.Features(picture=datasets.Image(), label=datasets.ClassLabel(names=["a", "b"])),
    )
    datasets.DatasetDict(train=table, test=table.select([3]), extra=table).save_to_disk(str(tmp_path / "d"))
    data = quietly(tmp_path / "d")
    assert data.train.images.tolist() == channels_first([picture(n) for n in range(4)]).tolist()
    assert data.test.labels.tolist() == [1]
    assert data.notes[0] == f"{tmp_path / 'd'}: left unused: extra"
    table.save_to_disk(str(tmp_path / "alone"))
    assert len(quietly(tmp_path / "alone", test=tmp_path / "d").test) == 1
    # the same objects in memory
    data = quietly(datasets.DatasetDict(train=table, test=table.select([2])))
    assert data.test.images.tolist() == channels_first([picture(2)]).tolist()
    assert data.train.spec.class_names == ("a", "b")


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_a_file_of_arrays(tmp_path: Path, suffix: str) -> None:
    images = np.stack([picture(n) for n in range(4)])  # [N, H, W, C]
    labels = np.array([0, 1, 1, 0])
    path = tmp_path / f"mine.{suffix}"
    arrays: dict[str, Any] = {
        "images": images,
        "labels": labels,
        "test_images": images[:1] / 255.0,
        "test_labels": labels[:1],
    }
    if suffix == "npz":
        np.savez(path, **arrays)
    else:
        save_file({name: torch.from_numpy(array).contiguous() for name, array in arrays.items()}, path)
    data = quietly(path)
    assert data.train.spec.name == "mine"
    assert data.train.images.tolist() == images.transpose(0, 3, 1, 2).tolist()
    assert data.test.images.tolist() == images[:1].transpose(0, 3, 1, 2).tolist()
    assert data.train.labels.tolist() == labels.tolist()


def test_the_test_set_may_lie_elsewhere(tmp_path: Path) -> None:
    train = write_classes(tmp_path / "d", {"a": [picture(0)], "b": [picture(1)]})
    test = write_classes(tmp_path / "t", {"b": [picture(2)]})
    data = quietly(train, test=test)
    assert data.test.labels.tolist() == [1]
    assert len(data.train) == 2
    assert data.test_source == str(test)
    assert [note.rpartition(": ")[2] for note in data.notes] == [
        "took 2 images out of 2 folders",
        "took 1 image out of 1 folder",
        "no images of 1 of the 2 classes (a); accuracy is that on the others",
    ]


def test_mixed_modes_become_the_widest_without_loss(tmp_path: Path) -> None:
    grey, colour, clear = picture(0, channels=1), picture(1), picture(2, channels=4)
    folder = write_classes(tmp_path / "d", {"a": [grey, colour], "b": [colour, grey]})
    data = quietly(folder, test=write_classes(tmp_path / "t", {"a": [clear], "b": [grey]}))
    assert data.train.spec.channels == 4
    opaque = np.full((6, 4), 255, np.uint8)
    assert data.train.images[0].tolist() == np.stack([grey, grey, grey, opaque]).tolist()
    assert data.train.images[1].tolist() == [*colour.transpose(2, 0, 1).tolist(), opaque.tolist()]
    assert data.test.images[0].tolist() == clear.transpose(2, 0, 1).tolist()
    assert len(data.notes) == 3
    assert "5 images were converted to RGBA" in data.notes[-1]


def test_palettes_bits_and_orientation_are_decoded_as_they_are_seen(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    (folder / "a").mkdir(parents=True)
    (folder / "b").mkdir()
    colour = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [9, 9, 9]]], np.uint8)
    Image.fromarray(colour).convert("P", palette=Image.Palette.ADAPTIVE, colors=4).save(folder / "a" / "0.png")
    Image.fromarray(np.array([[True, False], [False, True]])).save(folder / "b" / "0.png")
    rotated = Image.Exif()
    rotated[0x0112] = 3  # turned by 180 degrees
    Image.fromarray(colour).save(folder / "b" / "1.png", exif=rotated)
    data = quietly(folder, test=folder)
    assert data.train.images[0].permute(1, 2, 0).tolist() == colour.tolist()
    assert data.train.images[1].tolist() == [[[255, 0], [0, 255]]] * 3
    assert data.train.images[2].permute(1, 2, 0).tolist() == colour[::-1, ::-1].tolist()


def test_resize_brings_every_image_to_one_size(tmp_path: Path) -> None:
    flat = np.full((8, 8), 77, np.uint8)
    folder = write_classes(tmp_path / "d", {"a": [picture(0, 6, 4, 1)], "b": [flat]})
    data = quietly(folder, test=folder, resize=(4, 5))
    assert data.train.spec.shape == (1, 4, 5)
    assert bool((data.train.images[1] == 77).all())
    # halving averages with weights 1, 3, 3, 1 in each direction, reflected at no border: a ramp stays a ramp inside
    ramp = np.tile(np.arange(0, 160, 10, dtype=np.uint8), (4, 1))
    data = quietly((ramp[None].repeat(2, 0), [0, 1]), test=(ramp[None], [0]), resize=(2, 8))
    assert data.train.images[0, 0, 0, 1:-1].tolist() == [25, 45, 65, 85, 105, 125]


class Pairs(torch.utils.data.Dataset[Any]):
    """A map-style dataset of (PIL image, label), as torchvision's are."""

    classes = ("cat", "dog")

    def __init__(self, images: list[Any], labels: list[Any]) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> tuple[Any, Any]:
        return self.images[row], self.labels[row]


def test_in_python_a_dataset_of_pil_images() -> None:
    images = [picture(n, channels=1 if n == 1 else 3) for n in range(6)]
    data = quietly(Pairs([Image.fromarray(i) for i in images], [0, 1, 0, 1, torch.tensor(0), np.int64(1)]))
    assert data.train.spec.class_names == ("cat", "dog")
    assert data.train.spec.shape == (3, 6, 4)
    assert data.train.counts.tolist() == [2, 2]
    assert data.test.counts.tolist() == [1, 1]
    assert "held out" in data.notes[0]


def test_in_python_a_dataset_of_tensors_and_one_to_test_on() -> None:
    images = torch.randint(0, 256, (5, 3, 6, 7), dtype=torch.uint8)
    train = torch.utils.data.TensorDataset(images / 255.0, torch.tensor([0, 1, 0, 1, 1]))
    data = quietly(train, test=torch.utils.data.Subset(train, [4, 0]))
    assert torch.equal(data.train.images, images)
    assert torch.equal(data.test.images, images[[4, 0]])
    assert data.test.labels.tolist() == [1, 0]
    assert data.test.spec == data.train.spec


def test_in_python_arrays_and_real_sets() -> None:
    images, labels = torch.randint(0, 256, (10, 3, 6, 7), dtype=torch.uint8), torch.arange(10) % 2
    data = quietly((images, labels))
    assert (len(data.train), len(data.test)) == (8, 2)
    real = RealSet.from_arrays(images, labels, name="mine", class_names=["x", "y"], mean=[0.5] * 3, std=[0.25] * 3)
    data = quietly(real)
    assert data.train.spec == real.spec
    assert data.source == "mine"
    rest, held = real.split(0.2, Key(5))
    data = quietly(rest, test=held)
    assert torch.equal(data.train.images, rest.images)
    assert torch.equal(data.test.images, held.images)


def test_in_python_other_kinds_are_refused() -> None:
    class Stream(torch.utils.data.IterableDataset[Any]):
        def __iter__(self) -> Iterator[Any]:
            return iter(())

    good = (torch.zeros(4, 6, 7, dtype=torch.uint8), [0, 1, 0, 1])
    bad: list[tuple[Any, Any, str]] = [
        (Stream(), None, r"a stream \(Stream\) cannot be drawn from at random; load it whole"),
        (torch.utils.data.DataLoader(Pairs([good[0][0]], [0])), None, r"a stream \(DataLoader\)"),
        ((image for image in good[0]), None, r"a stream \(generator\)"),
        (3, None, "int found"),
        ([1, 2], None, "list found"),
        ((good[0],), None, "a tuple of 1"),
        (good, "digits", "digits': is a name"),
        ("digits", good, "tuple found"),
        (good, (good[0], [0, 1, 2, 1]), "label 2; allowed are 0 to 1"),
        (Pairs([good[0][0]], [0.5]), None, "row 0: label 0.5"),
        (Pairs([good[0][0], good[0][0, 1:]], [0, 1]), None, "row 1: the image is 5x7"),
        (Pairs(["x.png"], [0]), None, "str found"),
        (Pairs([good[0][0]], [5]), None, "label 5; allowed are 0 to 1"),
        (Pairs([], []), None, "empty"),
    ]
    for data, test, named in bad:
        with pytest.raises(InputError, match=named):
            quietly(data, test=test)


def test_a_name_beats_a_folder_of_the_same_name_and_a_path_means_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_classes(tmp_path / "digits", {"a": [picture(0)], "b": [picture(1)]})
    monkeypatch.chdir(tmp_path)
    assert find("digits").path is None
    assert find("./digits").path == tmp_path / "digits"
    assert find(Path("digits")).path == tmp_path / "digits"
    # a folder below the data folder need not be a known name
    assert (
        find("mine", write_classes(tmp_path / "sets" / "mine", {"a": [], "b": []}).parent).path
        == tmp_path / "sets/mine"
    )


def test_what_is_noted_and_shown_goes_to_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_classes(tmp_path / "pets", {"a": [picture(0), picture(1)], "b": [picture(2)]})
    with monkeypatch.context() as patch:
        patch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
        data = load(folder)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "decoding pets" in shown.err
    assert "3.00/3.00" in shown.err
    assert f"distillset: {data.notes[0]}\n" in shown.err
    load(folder, resize=(3, 3))  # not on a terminal
    assert "decoding" not in capsys.readouterr().err


def test_large_images_are_decoded_block_by_block_in_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "SMALL", 8)
    monkeypatch.setattr(decode, "BLOCK_BYTES", 200)  # two images of 72 bytes
    sizes: list[int] = []

    def watched(block: Any, form: Form, row: Callable[[int], str], pool: Executor | None) -> tuple[torch.Tensor, int]:
        assert pool is not None
        sizes.append(len(block))
        return pictures.decode(block, form, row, pool)

    monkeypatch.setattr(decode, "decode", watched)
    images = [picture(n) for n in range(5)]
    folder = write_classes(tmp_path / "d", {"a": images[:2], "b": images[2:]})
    data = quietly(folder, test=write_classes(tmp_path / "t", {"b": images[:1]}))
    assert sizes == [2, 2, 1, 1]
    assert data.train.images.tolist() == channels_first(images).tolist()
