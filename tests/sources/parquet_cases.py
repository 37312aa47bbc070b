"""Parquet with images inside, and cards of data set repositories."""

import base64
from pathlib import Path
from typing import Any

from tests.sources.made import Case, build, case, encoded, pictures, text
from tests.sources.table_cases import NUMBERS, TWO, Step, file


def parquet(file: str = "train-00000-of-00001.parquet", count: int = 12, **columns: Any) -> Step:
    """A parquet file; by default with ``image`` (encoded) beside ``columns``, which are functions of the row."""

    def run(root: Path) -> None:
        import datasets

        made = {"image": lambda row: {"bytes": encoded(row % 2, row), "path": None}, **columns}
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        rows = {name: [value(row) for row in range(count)] for name, value in made.items() if value is not None}
        datasets.Dataset.from_dict(rows).to_parquet(str(root / file))

    return run


def plain_parquet(root: Path) -> None:
    """Parquet without what `datasets` writes of its columns."""
    import pyarrow as pa
    from pyarrow import parquet as pq

    rows = pa.table({"image": [encoded(n % 2, n) for n in range(12)], "label": [n % 2 for n in range(12)]})
    pq.write_table(rows, root / "train.parquet")


CARD = """---
configs:
- config_name: default
  data_files:
  - split: train
    path: "{path}"
---
"""

NAMED = """---
dataset_info:
  features:
  - name: image
    dtype: image
  - name: label
    dtype:
      class_label:
        names:
          '0': owl
          '1': bat
---
"""

READ = [
    case(
        "parquet of paths named itself",
        file(
            "x.parquet",
            build(
                pictures("i", 12),
                parquet(
                    "x.parquet",
                    image=None,
                    path=lambda row: f"i/{row:03}.png",
                    label=lambda row: TWO.split("|")[row % 2],
                ),
            ),
        ),
        TWO,
    ),
    case("parquet named itself", file("x.parquet", parquet("x.parquet", label=lambda row: row % 2)), NUMBERS),
    case("parquet, several numbers", parquet(label=lambda row: row % 2, age=lambda row: row), NUMBERS),
    case("parquet, nested", parquet(annotation=lambda row: {"label": row % 2, "name": "x"}), NUMBERS),
    case("parquet, species", parquet(species=lambda row: TWO.split("|")[row % 2]), TWO),
    case("parquet, truth values", parquet(label=lambda row: row % 2 == 1), "False|True"),
    case("parquet, floats", parquet(label=lambda row: float(row % 2)), NUMBERS),
    case(
        "parquet, base 64",
        parquet(image=lambda row: base64.b64encode(encoded(row % 2, row)).decode(), label=lambda row: row % 2),
        NUMBERS,
    ),
    case(
        "parquet, brackets",
        lambda root: (
            parquet("set[1]/train.parquet", label=lambda row: row % 2)(root)
            or parquet("set1/train.parquet", 4, label=lambda row: 0)(root)
            or root / "set[1]"
        ),
        NUMBERS,
    ),
    case(
        "parquet, splits",
        build(
            parquet("data/train-00000-of-00001.parquet", label=lambda row: row % 2),
            parquet("data/test-00000-of-00001.parquet", 4, label=lambda row: row % 2),
            parquet("data/extra-00000-of-00001.parquet", 4, label=lambda row: row % 2),
        ),
        NUMBERS,
        6,
        2,
        r"left unused: extra",
        r"took 3 \.parquet files",
    ),
    case(
        "parquet, splits as folders",
        build(
            parquet("train/0000.parquet", label=lambda row: row % 2),
            parquet("validation/0000.parquet", 4, label=lambda row: row % 2),
        ),
        NUMBERS,
        6,
        2,
    ),
    case("parquet, names in the card", build(plain_parquet, text("README.md", NAMED)), "owl|bat"),
    case(
        "parquet, files in the card",
        build(
            parquet("a/x.parquet", label=lambda row: row % 2),
            parquet("b/x.parquet", label=lambda row: 0),
            text("README.md", CARD.format(path="a/*.parquet")),
        ),
        NUMBERS,
        5,
        1,
        r"left 1 \.md file \(README\.md\), 1 \.parquet file \(b/x\.parquet\)|1 \.parquet file \(b/x\.parquet\), 1 \.md",
    ),
]

REFUSED = [
    case(
        "parquet of paths elsewhere",
        parquet(image=lambda row: {"bytes": None, "path": f"/home/x/{row}.png"}, label=lambda row: row % 2),
        refused=r"row 0: /home/x/0\.png is outside the data's folder",
    ),
    case(
        "a card of files elsewhere",
        build(parquet(label=lambda row: row % 2), text("README.md", CARD.format(path="/**"))),
        refused=r"README\.md: its data_files name '/\*\*'; only files in the folder itself",
    ),
    case(
        "a card of files above",
        build(parquet(label=lambda row: row % 2), text("README.md", CARD.format(path="../*"))),
        refused=r"README\.md: its data_files name '\.\./\*'",
    ),
    case(
        "a card of an address",
        build(parquet(label=lambda row: row % 2), text("README.md", CARD.format(path="https://x/y"))),
        refused=r"README\.md: its data_files name 'https://x/y'",
    ),
    case(
        "two data sets",
        build(
            parquet("en/train.parquet", label=lambda row: row % 2),
            parquet("fr/train.parquet", label=lambda row: row % 2),
        ),
        refused=r"several data sets: en, fr; give the folder of one of them",
    ),
]

CASES: list[Case] = [*READ, *REFUSED]
