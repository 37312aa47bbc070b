"""Folders of classes: layouts, names and kinds of files."""

import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from tests.sources.made import Case, build, case, folders, grey, of, pictures, splits, text, write

Step = Callable[[Path], object]

NFC, NFD = "caf\u00e9|cr\u00e8me", unicodedata.normalize("NFD", "caf\u00e9|cr\u00e8me")


def of_a_mac(root: Path) -> None:
    folders(root)
    for name in ("cat", "dog"):
        for file in ("._000.png", ".DS_Store", "Thumbs.db"):
            (root / name / file).write_bytes(b"\x00\x05\x16\x07")
    write(root / "__MACOSX" / "cat" / "._000.png", 0)
    write(root / "cat" / ".ipynb_checkpoints" / "000-checkpoint.png", 1)


def renamed(old: str, new: str, folder: str = "cat", count: int = 99) -> Step:
    def run(root: Path) -> None:
        for path in sorted((root / folder).glob(old))[:count]:
            path.rename(path.with_name(new.format(name=path.name, stem=path.stem)))

    return run


def links(root: Path) -> Path:
    folders(root / "store", "a|b")
    (root / "set" / "dog").mkdir(parents=True)
    (root / "set" / "cat").symlink_to(root / "store" / "a")
    for path in (root / "store" / "b").iterdir():
        (root / "set" / "dog" / path.name).symlink_to(path)
    return root / "set"


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


def turned(root: Path) -> None:
    folders(root, suffix=".jpg")
    for path in sorted(root.rglob("*.jpg"))[::2]:
        exif = Image.Exif()
        exif[274] = 6
        Image.open(path).transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)


def heic(count: int, name: str = "cat") -> Step:
    return build(*(text(f"{name}/IMG_{number}.HEIC", b"\0\0\0\x18ftypheic" + bytes(99)) for number in range(count)))


def modes(root: Path) -> None:
    for number, name in enumerate(("cat", "dog")):
        picture = grey(number)
        (root / name).mkdir()
        for seed, mode in enumerate(("P", "L", "CMYK", "RGB", "LA", "L")):
            picture.convert(mode).save(root / name / f"{seed}.{'tif' if mode == 'CMYK' else 'png'}")


def animated(root: Path) -> None:
    folders(root)
    for number, name, suffix in ((0, "cat", "gif"), (1, "dog", "webp"), (1, "dog", "png")):
        first, *more = [grey(number, seed) for seed in range(3)]
        first.save(root / name / f"a.{suffix}", save_all=True, append_images=more)


def nested_in(names: str, outer: str, inner: str, each: int) -> Step:
    return build(*(at(name, nested(outer, inner, each)) for name in names.split("|")))


def at(place: str, step: Step) -> Step:
    def run(root: Path) -> None:
        (root / place).mkdir()
        step(root / place)

    return run


def of_kinds(*kinds: str) -> Step:
    def run(root: Path) -> None:
        for kind in kinds:
            grey(0, 9).save(root / "cat" / f"x.{kind}")

    return run


def in_brackets(root: Path) -> Path:
    splits({"train": 6, "test": 2})(root / "my [data] (v1)*")
    return root / "my [data] (v1)*"


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
    case("a disk of a Mac", of_a_mac, TWO, 5, 1, r"took 12 images out of 2 folders$"),
    case(
        "other files",
        build(of(), text("cat/desktop.ini", "x"), text("README.md", "x")),
        TWO,
        5,
        1,
        r"left 1 \.md file \(README\.md\), 1 \.ini file \(cat/desktop\.ini\)",
    ),
    case(
        "hidden things",
        build(of(), text(".git/x", "x"), lambda root: write(root / "cat" / ".x.png", 1)),
        TWO,
        5,
        1,
        r"left 1 hidden file \(cat/\.x\.png\), 1 hidden folder \(\.git\)|1 hidden folder \(\.git\), 1 hidden file",
    ),
    case(
        "an empty folder",
        build(of(), lambda root: (root / "unsorted").mkdir()),
        TWO,
        5,
        1,
        r"left 1 folder without images \(unsorted\)",
    ),
    case(
        "a folder of notes",
        build(of(), text("annotations/list.txt", "cat/000.png 0\n")),
        TWO,
        5,
        1,
        r"1 folder without images \(annotations\)",
        r"1 \.txt file \(annotations/list\.txt\)",
    ),
    case(
        "a table of classes",
        build(of(), text("labels.csv", "id,breed\n0,cat\n1,dog\n")),
        TWO,
        5,
        1,
        r"left 1 \.csv file \(labels\.csv",
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
    case(
        "class/images beside class/masks",
        build(
            nested("benign|malignant", "images", 6), pictures("benign/masks", 6, 7), pictures("malignant/masks", 6, 7)
        ),
        "benign|malignant",
        5,
        1,
        r"left 12 images \(benign/masks: masks beside images\)",
    ),
    case("some in a folder inside", build(of(), pictures("cat/more", 4, 0)), TWO, [8, 5], [2, 1], r"took 16 images"),
    case("wrapped", of(at="flowers"), TWO),
    case("wrapped twice", of(at="a/b"), TWO),
    case("wrapped splits", build(of(at="seg_train/seg_train"), of(each=3, at="seg_test/seg_test")), TWO, 6, 3),
    case("one folder called train", of(at="train"), TWO),
    case("large letters in suffixes", build(of(), renamed("*.png", "{stem}.PNG")), TWO),
    case(
        "jfif",
        build(of(suffix=".jpg"), renamed("*.jpg", "{stem}.jfif", count=3), renamed("*.jpg", "{stem}.jfif", "dog")),
        TWO,
    ),
    case("a class of avif", build(of(), pictures("fox", 6, 2, ".avif")), "cat|dog|fox"),
    case("tga, jp2, pcx", build(of(), of_kinds("tga", "jp2", "pcx")), TWO, [7, 5], [2, 1], r"took 15 images"),
    case("without suffixes", build(of(), renamed("*.png", "{stem}"), renamed("*.png", "{stem}", "dog")), TWO),
    case(
        "as download programs name them",
        build(
            of(),
            renamed("*0.png", "{name} "),
            renamed("*1.png", "{name}.1"),
            renamed("*2.png", "{name}?w=1"),
            renamed("*3.png", "{name}:large"),
        ),
        TWO,
    ),
    case(
        "what download programs leave",
        build(of(), text("cat/x.png.part", b"\x89PNG"), text("cat/y.jpg~", "x")),
        TWO,
        5,
        1,
        r"1 \.part file \(cat/x\.png\.part\)",
        r"1 \.jpg~ file",
    ),
    case("names with underscores", build(of(), renamed("*.png", "__{name}")), TWO),
    case("kinds called otherwise", build(of(), renamed("*.png", "{stem}.jpg", count=3)), TWO),
    case(
        "HEIC beside others",
        build(of(), heic(5)),
        TWO,
        5,
        1,
        r"left 5 \.heic files \(cat/IMG_0\.HEIC: pip install pillow-heif reads them\)",
    ),
    case("HEIC alone, left out", build(of(), heic(5, "fox")), TWO, classes=[*TWO.split("|")]),
    case("brackets in the path", in_brackets, TWO, 6, 2),
    case("names in other scripts", of("caf\u00e9|\u732b|\u72ac\U0001f436"), "caf\u00e9|\u732b|\u72ac\U0001f436"),
    case("composed and decomposed letters", build(splits({"train": 6}, NFC), splits({"test": 3}, NFD)), NFC, 6, 3),
    case("decomposed letters", of(NFD), NFC),
    case("Cat and cat", build(splits({"train": 6}, "Cat|Dog"), splits({"test": 3})), "Cat|Dog", 6, 3),
    case("spaces around", build(splits({"train": 6}, "cat |dog"), splits({"test": 3})), TWO, 6, 3),
    case("signs in names", of("c,d|e'f|g.h|i;j|k%l|_x_"), "c,d|e'f|g.h|i;j|k%l|_x_"),
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
    case("links", links, TWO),
    case(
        "a link that leads round",
        build(of(), lambda root: (root / "cat" / "up").symlink_to(root)),
        TWO,
        5,
        1,
        r"left 1 folder \(cat/up: a link that leads round\)",
    ),
    case(
        "a single image of a class",
        build(of(), lambda root: write(root / "fox" / "0.png", 2)),
        "cat|dog|fox",
        [5, 5, 1],
        [1, 1, 0],
        r"no images of 1 of the 3 classes \(fox\)",
    ),
    case("modes", modes, TWO),
    case("moving pictures", animated, TWO, [6, 6], [1, 2]),
    case("turned photographs", turned, TWO),
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
    case(
        "images and masks",
        build(of(at="images"), of("dog|cat", at="masks")),
        TWO,
        5,
        1,
        r"left 12 images \(masks: masks beside images\)",
    ),
    case("super-classes, the inner named", super_classes, "cat|dog|fern|rose", classes=["cat", "dog", "fern", "rose"]),
    case("Tiny ImageNet's train alone", wnids, "n01443537|n01629819"),
    case("a damaged class left out", build(of(), text("fox/0.png", b"x")), TWO, classes=["cat", "dog"]),
    case("an empty class left out", build(of(), lambda root: (root / "fox").mkdir()), TWO, classes=["cat", "dog"]),
]

REFUSED = [
    case(
        "super-classes",
        super_classes,
        refused=r"two ways: 2 classes \(animal, plant\), or the 4 in them \(cat, dog, fern, "
        r"rose\); say which with --classes animal plant, or --classes cat dog fern rose",
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
        refused=r"test, train are called "
        r"like splits and hold images without folders of classes; .*--classes test train",
    ),
    case(
        "a class of HEIC",
        build(of(), heic(5, "fox")),
        refused=r"class 2 \(fox\) has no images; 5 \.heic files in its "
        r"folder are not read; pip install pillow-heif reads them; or leave it out with --classes",
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
