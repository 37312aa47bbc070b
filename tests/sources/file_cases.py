"""Kinds and names of files in folders of classes."""

from pathlib import Path

from PIL import Image

from tests.sources.folder_cases import NFC, NFD, TWO, Step, nested
from tests.sources.made import Case, build, case, folders, grey, of, pictures, splits, text, write


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


def of_kinds(*kinds: str) -> Step:
    def run(root: Path) -> None:
        for kind in kinds:
            grey(0, 9).save(root / "cat" / f"x.{kind}")

    return run


def in_brackets(root: Path) -> Path:
    splits({"train": 6, "test": 2})(root / "my [data] (v1)*")
    return root / "my [data] (v1)*"


READ = [
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
        "class/images beside class/masks",
        build(
            nested("benign|malignant", "images", 6), pictures("benign/masks", 6, 7), pictures("malignant/masks", 6, 7)
        ),
        "benign|malignant",
        5,
        1,
        r"left 12 images \(benign/masks: masks beside images\)",
    ),
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
    case("links", links, TWO),
    case(
        "a link that leads round",
        build(of(), lambda root: (root / "cat" / "up").symlink_to(root)),
        TWO,
        5,
        1,
        r"left 1 folder \(cat/up: a link that leads round\)",
    ),
    case("modes", modes, TWO),
    case("moving pictures", animated, TWO, [6, 6], [1, 2]),
    case("turned photographs", turned, TWO),
    case(
        "images and masks",
        build(of(at="images"), of("dog|cat", at="masks")),
        TWO,
        5,
        1,
        r"left 12 images \(masks: masks beside images\)",
    ),
    case("a damaged class left out", build(of(), text("fox/0.png", b"x")), TWO, classes=["cat", "dog"]),
]

REFUSED = [
    case(
        "a class of HEIC",
        build(of(), heic(5, "fox")),
        refused=r"class 2 \(fox\) has no images; 5 \.heic files in its "
        r"folder are not read; pip install pillow-heif reads them; or leave it out with `classes`",
    ),
]

CASES: list[Case] = [*READ, *REFUSED]
