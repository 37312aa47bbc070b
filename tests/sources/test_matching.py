"""The classes of a test set are those of the training set, whether they are called or numbered."""

from pathlib import Path

import numpy as np
import pytest
import torch

from distillset.errors import InputError
from distillset.sources.load import Data, load
from distillset.sources.matching import check_test_labels
from distillset.sources.splits import Split
from distillset.watch import Watcher
from tests.sources.made import folders, grey, text, write

TWELVE = [str(number) for number in range(12)]


def shades(data: Data) -> list[int]:
    """The class that each test image stands for."""
    return data.test.images.float().mean((1, 2, 3)).sub(10).div(20).round().int().tolist()


def arrays(path: Path, numbers: list[int]) -> Path:
    images = np.stack([np.array(grey(number, 50 + seed)) for seed, number in enumerate(numbers)])
    np.savez(path, images=images, labels=np.array(numbers))
    return path


@pytest.mark.parametrize("kind", ["arrays", "table"])
def test_folders_called_0_to_11_fit_the_same_as_numbers(tmp_path: Path, kind: str) -> None:
    """In the order of their names, 10 and 11 come before 2: matched by position, 10 of 12 labels were wrong."""
    train = folders(tmp_path / "train", TWELVE, 2)
    test = tmp_path / "test"
    if kind == "arrays":
        test = arrays(tmp_path / "test.npz", list(range(12)) * 2)
    else:
        for number in range(12):
            write(test / "img" / f"{number}.png", number, 9)
        text("test.csv", "path,label\n" + "".join(f"img/{number}.png,{number}\n" for number in range(12)))(test)
    data = load(train, test=test, watcher=Watcher())
    assert data.train.spec.class_names == tuple(sorted(TWELVE))
    names = [data.train.spec.class_names[label] for label in data.test.labels.tolist()]
    assert [int(name) for name in names] == shades(data)


def test_numbers_beside_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"labels are numbers, the training set's are names \(cat, dog\); which is which"
    ):
        load(folders(tmp_path / "d"), test=arrays(tmp_path / "t.npz", [0, 1]), watcher=Watcher())


def split(labels: list[int], names: tuple[str, ...] | None) -> Split:
    return Split("t", torch.tensor(labels), names, read=lambda rows: (), row=lambda row: f"t, row {row}")


def test_numbers_are_the_source_s_own_where_it_numbers_its_classes() -> None:
    assert check_test_labels(split([1, 0], None), ("cat", "dog"), numbered=True).labels.tolist() == [1, 0]
    with pytest.raises(InputError, match="which is which cannot be told"):
        check_test_labels(split([1, 0], None), ("cat", "dog"), numbered=False)


@pytest.mark.parametrize(
    ("given", "known", "expected"),
    [
        (("dog", "cat"), ("cat", "dog"), [1, 0]),
        (("Dog ", "CAT"), ("cat", "dog"), [1, 0]),
        (("2", "10"), ("010", "002"), [1, 0]),
        (("cafe\u0301", "x"), ("caf\u00e9", "x"), [0, 1]),
        (("a", "A"), ("A", "a"), [1, 0]),  # capitals tell these two apart
    ],
)
def test_names_are_matched(given: tuple[str, ...], known: tuple[str, ...], expected: list[int]) -> None:
    assert check_test_labels(split([0, 1], given), known, numbered=False).labels.tolist() == expected


def test_what_fits_two_classes_fits_none() -> None:
    with pytest.raises(InputError, match="class CAT is not among those of the training set"):
        check_test_labels(split([0], ("CAT",)), ("Cat", "cat"), numbered=False)
    with pytest.raises(InputError, match="class 1 is not among"):
        check_test_labels(split([0], ("1",)), ("01", "001"), numbered=False)


def test_a_number_beyond_the_classes_is_refused_by_its_row() -> None:
    with pytest.raises(InputError, match=r"t, row 1: label 7; allowed are"):
        check_test_labels(split([1, 7], None), ("1", "2"), numbered=False)
    with pytest.raises(InputError, match=r"class 0 is not among those of the training set \(1, 2\)"):
        check_test_labels(split([1, 0], None), ("1", "2"), numbered=False)
