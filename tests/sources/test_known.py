"""Known names: the hub's columns, configurations and splits, and the published subsets of ImageNet."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from distillset.errors import InputError
from distillset.sources import cache as decoded
from distillset.sources.imagenet import SUBSETS
from distillset.sources.known import KNOWN
from distillset.sources.load import Data, load
from distillset.sources.places import find
from distillset.watch import Watcher
from tests.sources.on_disk import channels_first, picture, png, write_classes

PICTURES = [picture(n) for n in range(4)]


def quietly(data: Any, **options: Any) -> Data:
    return load(data, watcher=Watcher(), **options)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[Any, ...], Any]:
    """What the hub holds: arguments of `datasets.load_dataset` to a set, or to an error."""
    import datasets

    holds: dict[tuple[Any, ...], Any] = {}

    def load_dataset(*arguments: Any, **named: Any) -> Any:
        found = holds[(*arguments, *named.values())]
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return holds


def rows(images: list[Any], labels: list[Any], names: list[str], image: str = "image", label: str = "label") -> Any:
    import datasets

    encoded = [{"bytes": png(picture), "path": None} for picture in images]
    features = {image: datasets.Image(), label: datasets.ClassLabel(names=names)}
    return datasets.Dataset.from_dict({image: encoded, label: labels}, features=datasets.Features(features))


def splits(**parts: Any) -> Any:
    import datasets

    return datasets.DatasetDict(parts)


@pytest.mark.parametrize(
    ("name", "asked", "image", "label", "test"),
    [
        ("mnist", ("ylecun/mnist", None), "image", "label", "test"),
        ("fashion_mnist", ("zalando-datasets/fashion_mnist", None), "image", "label", "test"),
        ("kmnist", ("tanganke/kmnist", None), "image", "label", "test"),
        ("emnist", ("tanganke/emnist_letters", None), "image", "label", "test"),
        ("usps", ("flwrlabs/usps", None), "image", "label", "test"),
        ("svhn", ("ufldl-stanford/svhn", "cropped_digits"), "image", "label", "test"),
        ("cifar10", ("uoft-cs/cifar10", None), "img", "label", "test"),
        ("cifar100", ("uoft-cs/cifar100", None), "img", "fine_label", "test"),
        ("tiny_imagenet", ("zh-plus/tiny-imagenet", None), "image", "label", "valid"),
    ],
)
def test_the_hub_s_names_columns_configurations_and_splits(
    hub: dict[tuple[Any, ...], Any], name: str, asked: tuple[Any, ...], image: str, label: str, test: str
) -> None:
    whole = rows(PICTURES, [1, 0, 1, 0], ["a", "b"], image, label)
    more = {"extra": whole} if name == "svhn" else {}
    hub[asked] = splits(train=whole, **{test: whole.select([2, 3])}, **more)
    data = quietly(name)
    assert data.train.images.tolist() == channels_first(PICTURES).tolist()
    assert (data.train.labels.tolist(), data.test.labels.tolist()) == ([1, 0, 1, 0], [1, 0])
    assert data.source == name
    assert data.notes == (("svhn: left unused: extra",) if name == "svhn" else ())
    mean = KNOWN[name].mean
    if mean is not None and len(mean) == 3:
        assert (data.train.spec.mean, data.train.spec.std) == (mean, KNOWN[name].std)
    else:  # not published, or for grey images
        scaled = channels_first(PICTURES) / 255
        assert data.train.spec.mean == pytest.approx(scaled.mean((0, 2, 3)), rel=1e-12)
    assert data.train.spec.flip == (name in ("fashion_mnist", "cifar10", "cifar100", "tiny_imagenet"))


def test_grey_images_among_coloured_ones_keep_the_published_statistics(hub: dict[tuple[Any, ...], Any]) -> None:
    images = [picture(0, channels=1), *PICTURES[1:]]
    whole = rows(images, [1, 0, 1, 0], ["n01443537", "n01629819"])
    hub["zh-plus/tiny-imagenet", None] = splits(train=whole, valid=whole)
    data = quietly("tiny_imagenet")
    assert data.train.images[0].tolist() == [images[0].tolist()] * 3
    assert data.train.spec.mean == (0.485, 0.456, 0.406)
    assert data.notes == ("tiny_imagenet: 2 images were converted to RGB, as the others are",)


def test_a_set_with_a_script_is_taken_from_the_branch_without(hub: dict[tuple[Any, ...], Any]) -> None:
    names = list(SUBSETS["imagenette"].values())
    images = [picture(n) for n in range(10)]
    script = RuntimeError("Dataset scripts are no longer supported, but found imagenette.py")
    hub["frgfm/imagenette", "320px"] = script
    whole = rows(images, list(range(10)), names)
    hub["frgfm/imagenette", "320px", "refs/convert/parquet"] = splits(train=whole, validation=whole)
    data = quietly("imagenette")
    assert data.train.spec.class_names == tuple(names)
    assert "another split; the papers use ImageNet's own" in data.notes[0]
    hub["frgfm/imagewoof", "320px"] = RuntimeError("out of order")
    with pytest.raises(InputError, match=r"imagewoof: not found on this machine.*out of order"):
        quietly("imagewoof")


# The numbers of the classes among ImageNet's thousand, wnids ascending, as the code of Cazenavette et al. gives them.
NUMBERS = {
    "imagenette": [0, 217, 482, 491, 497, 566, 569, 571, 574, 701],
    "imagewoof": [193, 182, 258, 162, 155, 167, 159, 273, 207, 229],
    "imagemeow": [281, 282, 283, 284, 285, 291, 292, 290, 289, 287],
    "imagesquawk": [84, 130, 88, 144, 145, 22, 96, 9, 100, 89],
    "imagefruit": [953, 954, 949, 950, 951, 957, 952, 945, 943, 948],
    "imageyellow": [309, 986, 954, 951, 987, 779, 599, 291, 72, 11],
}


def test_the_subsets_are_those_of_the_papers() -> None:
    assert SUBSETS.keys() == NUMBERS.keys()
    wnid_of: dict[int, tuple[str, str]] = {}
    for subset, numbers in NUMBERS.items():
        classes = list(SUBSETS[subset].items())
        assert len(classes) == len(set(classes)) == 10
        for number, pair in zip(numbers, classes, strict=True):
            # a class that is in several subsets is the same in all of them
            assert wnid_of.setdefault(number, pair) == pair
    # numbers ascend with wnids, so that a wrong wnid stands out of the order
    ordered = [wnid_of[number][0] for number in sorted(wnid_of)]
    assert ordered == sorted(ordered)
    assert len(set(ordered)) == len(ordered) == 57


def imagenet(folder: Path, classes: Mapping[str, str], others: dict[str, list[Any]] | None = None) -> Path:
    """A small ImageNet: two training images and one for validation of each class."""
    for split, count in (("train", 2), ("val", 1)):
        images: dict[str, list[Any]] = {wnid: [picture(n + int(wnid[-3:])) for n in range(count)] for wnid in classes}
        write_classes(folder / split, {**images, **(others or {})})
    return folder


@pytest.mark.parametrize("name", ["imagenet", "ILSVRC2012", "imagefruit"])
def test_a_subset_from_a_folder_by_wnid(tmp_path: Path, name: str) -> None:
    # a folder of other sizes is never looked into
    imagenet(tmp_path / name, SUBSETS["imagefruit"], {"n01440764": [picture(1, 3, 3)]})
    data = quietly("imagefruit", data_dir=tmp_path)
    assert data.source == "imagefruit"
    assert data.train.spec.class_names == tuple(SUBSETS["imagefruit"].values())
    assert data.train.spec.mean == (0.485, 0.456, 0.406)
    assert (data.train.counts.tolist(), data.test.counts.tolist()) == ([2] * 10, [1] * 10)
    for label, wnid in enumerate(SUBSETS["imagefruit"]):
        first = data.train.images[data.train.index(label)[0]]
        assert first.tolist() == channels_first([picture(int(wnid[-3:]))])[0].tolist()
    assert data.origin()["source"] == "imagefruit"
    assert "classes" not in data.origin()
    part = quietly("imagefruit", data_dir=tmp_path, classes=["fig", "pineapple"])
    assert part.train.spec.class_names == ("fig", "pineapple")
    assert part.train.images[part.train.index(1)].tolist() == data.train.images[data.train.index(0)].tolist()


def test_a_subset_by_the_names_of_the_hub_with_a_test_split_without_labels(hub: dict[tuple[Any, ...], Any]) -> None:
    synonyms = {"tabby": "tabby, tabby cat", "tiger": "tiger, Panthera tigris", "lynx": "lynx, catamount"}
    names = ["tench, Tinca tinca", *(synonyms.get(name, name) for name in reversed(SUBSETS["imagemeow"].values()))]
    images = [picture(n) for n in range(11)]
    whole = rows(images, list(range(11)), names)
    hub["ILSVRC/imagenet-1k", None] = splits(train=whole, validation=whole, test=rows(images[:2], [-1, -1], names))
    data = quietly("imagemeow")
    assert data.train.spec.class_names == tuple(SUBSETS["imagemeow"].values())
    assert data.train.labels.tolist() == list(range(9, -1, -1))
    assert data.test.images.tolist() == channels_first(images[1:]).tolist()
    assert data.notes == ("imagemeow: left unused: test (it has no labels)",)


def test_a_subset_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    classes = dict(list(SUBSETS["imagewoof"].items())[:9])
    imagenet(tmp_path / "imagenet", classes)
    with pytest.raises(
        InputError,
        match=r"data='imagewoof': class Old English sheepdog \(n02105641\) is not among the 9 classes of .*imagenet",
    ):
        quietly("imagewoof", data_dir=tmp_path)


def test_tiny_imagenet_as_it_is_handed_out(tmp_path: Path) -> None:
    folder = tmp_path / "tiny-imagenet-200"
    for wnid, seeds in (("n01443537", (0, 1)), ("n01629819", (2, 3))):
        (folder / "train" / wnid / "images").mkdir(parents=True)
        (folder / "train" / wnid / f"{wnid}_boxes.txt").write_text("x")
        for seed in seeds:
            (folder / "train" / wnid / "images" / f"{seed}.JPEG").write_bytes(png(picture(seed)))
    (folder / "val" / "images").mkdir(parents=True)
    (folder / "test" / "images").mkdir(parents=True)
    for split, seed in (("val", 4), ("val", 5), ("test", 6)):
        (folder / split / "images" / f"{seed}.JPEG").write_bytes(png(picture(seed)))
    annotations = folder / "val" / "val_annotations.txt"
    annotations.write_text("5.JPEG\tn01443537\t0\t0\t9\t9\n4.JPEG\tn01629819\t0\t0\t9\t9\n")
    data = quietly("tiny_imagenet", data_dir=tmp_path)
    assert data.train.spec.class_names == ("n01443537", "n01629819")
    assert data.train.images.tolist() == channels_first([picture(n) for n in range(4)]).tolist()
    assert data.test.images.tolist() == channels_first([picture(5), picture(4)]).tolist()
    assert data.test.labels.tolist() == [0, 1]
    annotations.write_text("5.JPEG\tn01443537\n4.JPEG\tn99999999\n")
    with pytest.raises(InputError, match=r"val_annotations\.txt, line 2: .*n99999999.*one of the 2 classes"):
        quietly("tiny_imagenet", data_dir=tmp_path)


def test_entries_of_the_cache_made_before_are_still_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # a key that an earlier version made: what was decoded then need not be decoded again
    monkeypatch.setattr(decoded, "files_of", lambda path: [])
    (tmp_path / "cifar10" / "data").mkdir(parents=True)
    whole = Path.resolve
    monkeypatch.setattr(
        Path,
        "resolve",
        lambda path, strict=False: Path("/data/cifar10") if path.name == "cifar10" else whole(path, strict),
    )
    place = find("cifar10", tmp_path)
    key = decoded.place("cifar10", {"train": place.identity(), "test": None, "resize": None}).name
    assert key == "cifar10-c1cac1166cbc37dff417f0a4"


def test_offline_a_known_name_fails_in_one_line(hub: dict[tuple[Any, ...], Any], tmp_path: Path, cache: Path) -> None:
    hub["ufldl-stanford/svhn", "cropped_digits"] = ConnectionError("Couldn't reach the Hub\n(offline)")
    with pytest.raises(
        InputError, match=r"svhn: not found on this machine, and ufldl-stanford/svhn cannot .*`data_dir`"
    ) as e:
        quietly("svhn", data_dir=tmp_path)
    assert "\n" not in str(e.value)
    assert list(cache.iterdir()) == []
