"""Tables that list images."""

import json
from collections.abc import Callable
from pathlib import Path

from tests.sources.made import Case, build, case, flat, of, pictures, table, text, write

Step = Callable[[Path], object]

TWO, NUMBERS = "cat|dog", "0|1"


def rows_of(*lines: str, file: str = "train.csv") -> Step:
    """A table of these lines."""
    return text(file, "\n".join(lines) + "\n")


def above(kind: str) -> Step:
    """Flat train and test folders, and a table above them that names both."""

    def run(root: Path) -> None:
        rows = []
        for split, count in (("train", 12), ("test", 4)):
            for seed in range(count):
                write(root / split / f"file_{seed}.png", seed % 2, seed)
                rows.append((f"{split}/file_{seed}.png", "ab"[seed % 2]))
        if kind == "csv":
            text("data.csv", "file_name,label\n" + "".join(f"{name},{label}\n" for name, label in rows))(root)
        else:
            lines = [json.dumps({"file_name": name, "label": label}) + "\n" for name, label in rows]
            text("metadata.jsonl", "".join(lines))(root)

    return run


def words(root: Path) -> None:
    names = [
        "photo of a cat",
        "photo of a train",
        "photo of test tubes",
        "a dog",
        "tram",
        "train station",
        "val",
        "train",
    ]
    for seed, name in enumerate(names):
        write(root / f"{name}.png", seed % 2, seed)
    lines = [json.dumps({"file_name": f"{name}.png", "label": "ab"[seed % 2]}) for seed, name in enumerate(names)]
    text("metadata.jsonl", "\n".join(lines))(root)


def art(root: Path) -> None:
    """Class folders with the same names in each, and a table whose column says train or test."""
    of("baroque|realism")(root)
    lines = [f"{n:03}.png,{c},{'test' if n > 3 else 'train'}" for c in ("baroque", "realism") for n in range(6)]
    text("ArtBench.csv", "\n".join(["name,label,split", *lines]))(root)


def competition(root: Path) -> None:
    flat(root / "train_images", 12, ".jpg")
    flat(root / "test_images", 4, ".jpg")
    text("train.csv", "image_id,label\n" + "".join(f"{n:03}.jpg,{n % 2}\n" for n in range(12)))(root)
    text("sample_submission.csv", "image_id,label\n000.jpg,4\n")(root)


def three_tables(root: Path) -> None:
    names = flat(root / "images", 24)
    for split, part in (("train", names[:12]), ("valid", names[12:18]), ("test", names[18:])):
        lines = [f"images/{name}.png,{TWO.split('|')[int(name) % 2]}" for name in part]
        text(f"{split}.csv", "\n".join(["filepath,label", *lines]))(root)


def captions(root: Path) -> None:
    of(at="train")(root)
    lines = [f"{c}/{n:03}.png,a {c}" for c in ("cat", "dog") for n in range(6)]
    text("train/metadata.csv", "\n".join(["file_name,text", *lines]))(root)


def absolute(root: Path) -> None:
    names = flat(root / "images")
    lines = [f"{root}/images/{name}.png,{int(name) % 2}" for name in names]
    text("labels.csv", "\n".join(["path,label", *lines]))(root)


def two_parts(root: Path) -> None:
    names = flat(root / "part_1", 6) + flat(root / "part_2", 6, first=6)
    text("HAM.csv", "\n".join(["image_id,dx,age", *(f"{n},{('mel', 'nv')[int(n) % 2]},4" for n in names)]))(root)


def file(name: str, step: Step) -> Callable[[Path], Path]:
    """The data are a file in the folder, named itself."""

    def run(root: Path) -> Path:
        step(root)
        return root / name

    return run


READ = [
    case(
        "ids without suffix",
        table("id,breed", "{name},{label}", file="labels.csv", images="train", suffix=".jpg"),
        TWO,
        5,
        1,
        r"took 12 images out of 1 folder$",
    ),
    case("image_id without suffix", table("image_id,label", "{name},{number}", images="train_images"), NUMBERS),
    case("image_id with suffix", table("image_id,label", "{name}.png,{number}", images="train_images"), NUMBERS),
    case(
        "a competition",
        competition,
        NUMBERS,
        5,
        1,
        r"left 4 images \(test_images/000\.jpg: in no table\)",
        r"1 \.csv file \(sample_submission\.csv: a form to fill in\)",
    ),
    case(
        "train_images and test_images",
        build(table("path,label", "train_images/{name}.png,{number}", images="train_images"), pictures("test_images")),
        NUMBERS,
        5,
        1,
        r"left 4 images \(test_images/000\.png: in no table",
    ),
    case("file names in a folder below", table("filename,label", "{name}.png,{label}"), TWO),
    case("paths", table("path,label", "images/{name}.png,{label}"), TWO),
    case("paths of Windows", table("path,label", "images\\{name}.png,{label}\r"), TWO),
    case("absolute paths inside", absolute, NUMBERS),
    case("a mark of Excel", table("path,label", "images/{name}.png,{label}", encoding="utf-8-sig"), TWO),
    case("UTF-16", table("path\tlabel", "images/{name}.png\t{label}", encoding="utf-16"), TWO),
    case(
        "Windows-1252",
        table("path,label", "images/{name}.png,{label}", labels=("\u00e9t\u00e9", "hiver"), encoding="cp1252"),
        "\u00e9t\u00e9|hiver",
        5,
        1,
        r"train\.csv: not UTF-8; read as Windows-1252",
    ),
    case("semicolons", table("path;label", "images/{name}.png;{label}"), TWO),
    case("tabs", table("path\tlabel", "images/{name}.png\t{label}", file="train.tsv"), TWO),
    case("Caffe", table("", "images/{name}.png {number}", file="train.txt"), NUMBERS),
    case("no first line", table("", "images/{name}.png,{label}"), TWO),
    case("large letters", table("Image,Label", "images/{name}.png,{label}"), TWO),
    case("id_code and diagnosis", table("id_code,diagnosis", "{name}.png,{number}"), NUMBERS),
    case("an index of pandas", table(",path,label", "{seed},images/{name}.png,{number}"), NUMBERS),
    case("other numbers", table("path,width,height,target", "images/{name}.png,16,16,{number}"), NUMBERS),
    case("another name of the labels", table("path,kind", "images/{name}.png,{label}"), TWO),
    case("numbers as floats", table("path,label", "images/{name}.png,{number}.0"), NUMBERS),
    case("True and False", table("path,label", "images/{name}.png,{label}", labels=("False", "True")), "False|True"),
    case("yes and no", table("path,label", "images/{name}.png,{label}", labels=("no", "yes")), "no|yes"),
    case("on and off", table("path,label", "images/{name}.png,{label}", labels=("off", "on")), "off|on"),
    case("None and NA", table("path,label", "images/{name}.png,{label}", labels=("NA", "None")), "NA|None"),
    case(
        "nan, null and n/a",
        table("path,label", "images/{name}.png,{label}", labels=("n/a", "nan", "null")),
        "n/a|nan|null",
        3,
    ),
    case("codes", table("path,label", "images/{name}.png,{label}", labels=("001", "002", "010")), "001|002|010", 3),
    case("numbers from 1", table("path,label", "images/{name}.png,{label}", labels=("1", "2")), "1|2"),
    case(
        "names composed in two ways",
        table("path,label", "images/{name}.png,{label}", labels=("cafe\u0301", "x"), last="images/000.png,caf\u00e9"),
        "caf\u00e9|x",
        [6, 5],
        1,
    ),
    case("empty lines", table("path,label\n\n", "images/{name}.png,{label}", last="\n\n"), TWO),
    case("spaces", table("path, label ", " images/{name}.png , {label} "), TWO),
    case(
        "quotes",
        table('"path","label"', '"images/{name}.png","{label}"', labels=("a, b", 'c "d"'.replace('"', '""'))),
        'a, b|c "d"',
    ),
    case(
        "an image twice",
        table("path,label", "images/{name}.png,{label}", last="images/000.png,cat"),
        TWO,
        [6, 5],
        1,
        r"1 rows name an image of another row again; each row",
    ),
    case(
        "more images than rows",
        build(table("path,label", "images/{name}.png,{label}"), lambda root: write(root / "images" / "more.png", 1)),
        TWO,
        5,
        1,
        r"left 1 image \(images/more\.png: in no table\)",
    ),
    case(
        "a column of splits",
        table(
            "path,label,split",
            "images/{name}.png,{label},train",
            last="images/000.png,cat,test\nimages/001.png,dog,test",
        ),
        TWO,
        6,
        1,
    ),
    case(
        "is_train",
        table("path,label,is_train", "images/{name}.png,{label},1", last="images/000.png,cat,0\nimages/001.png,dog,0"),
        TWO,
        6,
        1,
    ),
    case("three tables", three_tables, TWO, 6, 3, r"left unused: validation"),
    case(
        "one-hot columns",
        table("image,MEL,NV", "{name},{onehot}".replace("{onehot}", "{label}"), labels=("1.0,0.0", "0.0,1.0")),
        "MEL|NV",
    ),
    case("two folders of one table", two_parts, "mel|nv"),
    case("a table above the splits", above("csv"), "a|b", 6, 2),
    case("metadata.jsonl above the splits", above("jsonl"), "a|b", 6, 2),
    case("split words in names of files", words, "a|b", 3, 1),
    case("folders, and a table with splits", art, "baroque|realism", 4, 2),
    case(
        "captions beside classes",
        captions,
        TWO,
        5,
        1,
        r"metadata\.csv: no column of labels; its columns are file_name, text",
    ),
    case("captions of one class", build(of(), rows_of("file_name,text", "000.png,x", file="cat/metadata.csv")), TWO),
    case(
        "metadata.jsonl",
        build(
            pictures("", 12),
            text(
                "metadata.jsonl",
                "".join(
                    json.dumps({"file_name": f"{n:03}.png", "label": TWO.split("|")[n % 2]}) + "\n" for n in range(12)
                ),
            ),
        ),
        TWO,
    ),
    case(
        "a list of objects",
        build(
            pictures("x", 12),
            text("labels.json", json.dumps([{"image": f"{n:03}.png", "class": n % 2} for n in range(12)])),
        ),
        NUMBERS,
    ),
    case("a table named itself", file("train.csv", table("path,label", "images/{name}.png,{label}")), TWO),
    case(
        "one of two tables",
        file(
            "b.csv",
            build(
                table("path,label", "images/{name}.png,{label}", file="a.csv"),
                table("path,label", "images/{name}.png,{label}", file="b.csv"),
            ),
        ),
        TWO,
    ),
    case(
        "a table of one class of several",
        build(of(), rows_of("file,label", *(f"cat/{n:03}.png,cat" for n in range(6)))),
        TWO,
        5,
        1,
        r"1 \.csv file \(train\.csv: all its rows are of one class\)",
    ),
    case(
        "a table that says otherwise than its folders",
        build(
            of(),
            rows_of(
                "file,label",
                *(f"{c}/{n:03}.png,{'dog' if c == 'cat' else 'cat'}" for c in TWO.split("|") for n in range(6)),
            ),
        ),
        "dog|cat",
        5,
        1,
        r"train\.csv: 12 images lie in folders called like another class \(.*cat/000\.png\); the table is believed",
    ),
    case(
        "a column of splits of another kind",
        table("path,label,fold", "images/{name}.png,{label},{seed}"),
        TWO,
        5,
        1,
        r"train\.csv: column fold names no splits that are known; it is not heeded",
    ),
    case(
        "spaces in paths",
        build(pictures("my pics", 12), text("train.txt", "".join(f"my pics/{n:03}.png {n % 2}\n" for n in range(12)))),
        NUMBERS,
    ),
]

REFUSED = [
    case(
        "floats as labels",
        table("path,label", "images/{name}.png,{number}.5"),
        refused=r"row 0: label 0\.5 \(column label\)",
    ),
    case(
        "an image that is missing",
        table("path,label", "images/{name}.png,{label}", last="images/999.png,cat"),
        refused=r"train\.csv, row 12: No such file: images/999\.png",
    ),
    case(
        "images that are missing",
        table("path,label", "images/{name}.png,{label}", last="images/999.png,cat\nimages/998.png,dog"),
        refused=r"train\.csv: 2 rows cannot be used: row 12: No such file: images/999\.png.*; row 13: No such file",
    ),
    case(
        "a label that is missing",
        table("path,label", "images/{name}.png,{label}", last="images/000.png,"),
        refused=r"train\.csv, row 12: no label \(column label\); 1 of 13 rows have none",
    ),
    case(
        "ids of other images",
        table("lesion_id,image_id,dx", "HAM_{seed},ISIC_{name},{label}", file="HAM.csv"),
        refused=r"HAM\.csv: row 0, column image_id: No such file: ISIC_000",
    ),
    case(
        "several columns of labels",
        table("path,colour,shape", "images/{name}.png,{label},{number}"),
        refused=r"train\.csv: several columns could be the labels: colour, shape; .*call the labels' column label",
    ),
    case(
        "no column of labels",
        table("path,age", "images/{name}.png,{seed}"),
        refused=r"train\.csv: no column of labels; its columns are path, age",
    ),
    case(
        "tables of the same images",
        build(*(table("path,label", "images/{name}.png,{label}", file=f"{n}.csv") for n in "ab")),
        refused=r"several tables list images to train on: a\.csv, b\.csv; give one of them as `data`",
    ),
    case(
        "names in several folders",
        build(pictures("x", 12), pictures("y", 12), rows_of("name,label", *(f"{n:03},{n % 2}" for n in range(12)))),
        refused=r"train\.csv: images of these names lie in several folders: x, y; write the folder in front",
    ),
    case(
        "a row too short",
        table("path,label", "images/{name}.png,{label}", last="images/000.png"),
        refused=r"train\.csv: row 12: 1 cells; the first line has 2|row 12: 1 cells",
    ),
]

CASES: list[Case] = [*READ, *REFUSED]
