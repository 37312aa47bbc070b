"""Folders of classes: layouts."""

import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from tests.sources.made import Case, build, case, of, pictures, splits, text, write

Step = Callable[[Path], object]

NFC, NFD = "caf\u00e9|cr\u00e8me", unicodedata.normalize("NFD", "caf\u00e9|cr\u00e8me")


def nested(outer: str, inner: str, each: int = 2) -> Step:
    def run(root: Path) -> None:
        for number, name in enumerate(outer.split("|")):
            for place, part in enumerate(inner.split("|")):
                for seed in range(each):
                    write(root / name / part / f"{seed}.png", number, 10 * place + seed)

    return run


def super_classes(root: Path) -> None:
    for number, name in enumerate(("animal/cat", "animal/dog", "plant/fern", "plant/rose")):
        for seed in range(6):
            write(root / name / f"{seed}.png", number, seed)


def nested_in(names: str, outer: str, inner: str, each: int) -> Step:
    return build(*(at(name, nested(outer, inner, each)) for name in names.split("|")))


def at(place: str, step: Step) -> Step:
    def run(root: Path) -> None:
        (root / place).mkdir()
        step(root / place)

    return run


def double_copy(root: Path) -> None:
    for place in (root, root / "chest_xray"):
        splits({"train": 6, "val": 2, "test": 3}, "NORMAL|PNEUMONIA")(place)


def npy(root: Path) -> None:
    for name in ("cat", "dog"):
        (root / name).mkdir()
        np.save(root / name / "0.npy", np.zeros((4, 4, 3), np.uint8), allow_pickle=False)


def wnids(root: Path) -> Path:
    for number, wnid in enumerate(("n01443537", "n01629819")):
        for seed in range(6):
            write(root / "train" / wnid / "images" / f"{wnid}_{seed}.JPEG", number, seed)
        text(f"train/{wnid}/{wnid}_boxes.txt", "a\t0\t0\t9\t9\n")(root)
    return root / "train"


TWO = "cat|dog"

READ = [
    case("plain", of(), TWO, 5, 1, r"took 12 images out of 2 folders$"),
    case(
        "an empty folder",
        build(of(), lambda root: (root / "unsorted").mkdir()),
        TWO,
        5,
        1,
        r"left 1 folder without images \(unsorted\)",
    ),
    case(
        "a class missing in the test folder",
        build(splits({"train": 6}, "cat|dog|fox"), splits({"test": 3})),
        "cat|dog|fox",
        6,
        [3, 3, 0],
        r"no images of 1 of the 3 classes \(fox\)",
    ),
    case(
        "a class empty in the test folder",
        build(splits({"train": 6}), splits({"test": 3}, "cat"), lambda root: (root / "test" / "dog").mkdir()),
        TWO,
        6,
        [3, 0],
        r"no images of 1 of the 2 classes \(dog\)",
    ),
    case("numbers", of([str(n) for n in range(12)], 3), "|".join(map(str, range(12))), 2, 1),
    case(
        "splits in classes",
        build(
            *(
                pictures(f"{name}/{split}", each, number)
                for number, name in enumerate(("cat", "dog"))
                for split, each in (("train", 6), ("test", 3))
            )
        ),
        TWO,
        6,
        3,
        r"took 18 images out of 4 folders$",
    ),
    case("folders in folders", of(at="/".join(f"d{n}" for n in range(60))), TWO),
    case(
        "numbers in splits",
        build(*(of([str(n) for n in range(12)], each, at=name) for name, each in (("train", 3), ("test", 2)))),
        "|".join(map(str, range(12))),
        3,
        2,
    ),
    case(
        "numbers with zeros in front of one side",
        build(splits({"train": 3}, "01|02|03"), splits({"test": 2}, "1|2|3")),
        "01|02|03",
        3,
        2,
    ),
    case(
        "class/patient",
        nested("benign|malignant", "patient0|patient1|patient2", 3),
        "benign|malignant",
        7,
        2,
        r"classes are the outer folders; those in them \(patient0, patient1, patient2\)",
    ),
    case(
        "class/patient/magnification", nested("benign|malignant", "p1/40X|p1/100X|p2/40X", 3), "benign|malignant", 7, 2
    ),
    case(
        "split/class/magnification",
        nested_in("train|test", "benign|malignant", "40X|100X", 3),
        "benign|malignant",
        6,
        6,
    ),
    case("class/images", nested("benign|malignant", "images", 6), "benign|malignant", 5, 1),
    case("some in a folder inside", build(of(), pictures("cat/more", 4, 0)), TWO, [8, 5], [2, 1], r"took 16 images"),
    case("wrapped", of(at="flowers"), TWO),
    case("wrapped twice", of(at="a/b"), TWO),
    case("wrapped splits", build(of(at="seg_train/seg_train"), of(each=3, at="seg_test/seg_test")), TWO, 6, 3),
    case("one folder called train", of(at="train"), TWO),
    case("train, valid, test", splits({"train": 6, "valid": 3, "test": 2}), TWO, 6, 2, r"left unused: valid"),
    case("train and Validation", splits({"train": 6, "Validation": 3}), TWO, 6, 3),
    case("Training and Testing", splits({"Training": 6, "Testing": 3}), TWO, 6, 3),
    case("training_set and test_set", splits({"training_set": 6, "test_set": 3}), TWO, 6, 3),
    case("Training_set and Test_set", splits({"Training_set": 6, "Test_set": 3}), TWO, 6, 3),
    case("trainset and testset", splits({"trainset": 6, "testset": 3}), TWO, 6, 3),
    case("TrainImages and TestImages", splits({"TrainImages": 6, "TestImages": 3}), TWO, 6, 3),
    case("train2017 and val2017", splits({"train2017": 6, "val2017": 3}), TWO, 6, 3),
    case("cifar-train and cifar-test", splits({"cifar-train": 6, "cifar-test": 3}), TWO, 6, 3),
    case("fold1 and fold2", splits({"fold1": 6, "fold2": 6}), TWO, 10, 2, r"fold1, fold2 were pooled"),
    case(
        "a single image of a class",
        build(of(), lambda root: write(root / "fox" / "0.png", 2)),
        "cat|dog|fox",
        [5, 5, 1],
        [1, 1, 0],
        r"no images of 1 of the 3 classes \(fox\)",
    ),
    case(
        "train/CLASS and flat test",
        build(splits({"train": 6}), pictures("test", 4)),
        TWO,
        5,
        1,
        r"left unused: test \(it has no labels\)",
        r"left 4 images \(test: in no folders of classes\)",
    ),
    case(
        "flat val of ImageNet",
        build(splits({"train": 6}), pictures("val", 4)),
        TWO,
        5,
        1,
        r"left 4 images \(val: in no folders of classes\)",
    ),
    case(
        "train/CLASS and test/unknown",
        build(splits({"train": 6}), pictures("test/unknown")),
        TWO,
        5,
        1,
        r"left unused: test \(it has no labels\)",
    ),
    case(
        "seg_train, seg_test, seg_pred",
        build(splits({"seg_train": 6, "seg_test": 3}), pictures("seg_pred", 4)),
        TWO,
        6,
        3,
        r"left 4 images \(seg_pred: beside seg_test, seg_train\)",
    ),
    case(
        "a folder of papers",
        build(splits({"train": 6, "val": 3}), text("docs/paper.pdf", "x")),
        TWO,
        6,
        3,
        r"1 \.pdf file \(docs/paper\.pdf",
    ),
    case(
        "a folder of figures",
        build(splits({"train": 6, "val": 3}), pictures("figures", 2)),
        TWO,
        6,
        3,
        r"left 2 images \(figures: beside train, val\)",
    ),
    case(
        "a double copy",
        double_copy,
        "NORMAL|PNEUMONIA",
        6,
        3,
        r"left 22 images \(chest_xray: beside test, train, val\)",
    ),
    case(
        "pictures beside the classes",
        build(of(), pictures("", 3)),
        TWO,
        5,
        1,
        r"left 3 images \(000\.png: in no folder of a class\)",
    ),
    case("a class called test", of("homework|quiz|test"), "homework|quiz|test"),
    case("a class called train", of("bus|train|tram"), "bus|train|tram"),
    case("classes called train and test, named", of("test|train"), "test|train", classes=["test", "train"]),
    case("super-classes, the inner named", super_classes, "cat|dog|fern|rose", classes=["cat", "dog", "fern", "rose"]),
    case("Tiny ImageNet's train alone", wnids, "n01443537|n01629819"),
    case("an empty class left out", build(of(), lambda root: (root / "fox").mkdir()), TWO, classes=["cat", "dog"]),
]

REFUSED = [
    case(
        "super-classes",
        super_classes,
        refused=r"two ways: 2 classes \(animal, plant\), or the 4 in them \(cat, dog, fern, "
        r"rose\); say which with `classes=\['animal', 'plant'\]`, or `classes=\['cat', 'dog', 'fern', 'rose'\]`",
    ),
    case(
        "domains",
        nested("photo|sketch", "cat|dog", 3),
        refused=r"two ways: 2 classes \(photo, sketch\), or the 2 in them "
        r"\(cat, dog\)",
    ),
    case(
        "a single split beside other folders",
        build(splits({"train": 6}), splits({"more": 6})),
        refused=r"more, train can be "
        r"read in two ways: train as a split, or all of them as classes; say which",
    ),
    case(
        "train and test without classes",
        of("train|test"),
        refused=r"test, train have the "
        r"names of splits and hold images without folders of classes; .*`classes=\['test', 'train'\]`",
    ),
    case(
        "classes of arrays",
        npy,
        refused=r"holds no images .* 2 \.npy files \(cat/0\.npy: arrays are read from one \.npz",
    ),
    case("no labels", pictures("", 12), refused=r"12 images, but nothing says of which class each is"),
    case("an archive", text("data.zip", b"PK"), refused=r"1 \.zip file \(data\.zip: unpack them\)"),
    case("two names alike", of(f"{NFC}|{NFD}"), refused=r"another folder is called caf. as well"),
    case(
        "train twice", splits({"train": 6, "Training": 6, "test": 3}), refused=r"two folders are called like one split"
    ),
    case(
        "class of numbers and test of names",
        build(splits({"train": 3}, "0|1"), splits({"test": 3}, "cat|dog")),
        refused=r"class cat is not among those of the training set \(0, 1\)",
    ),
    case("an empty file", build(of(), text("dog/zz.png", b"")), refused=r"dog/zz\.png .*not an image file"),
    case(
        "16 bits",
        build(of(), lambda root: Image.fromarray(np.zeros((6, 5), np.uint16)).save(root / "cat" / "x.png")),
        refused=r"cat/x\.png .*mode is I;16",
    ),
]

CASES: list[Case] = [*READ, *REFUSED]
