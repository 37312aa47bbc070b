"""Some classes of a source in an order of the user's: chosen by name or number, stored, and found again."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distillset.coresets import select
from distillset.data.real import RealSet
from distillset.data.synthetic import SyntheticSet
from distillset.errors import InputError
from distillset.sources.load import Data, load
from distillset.watch import Watcher
from tests.sources.on_disk import picture, write_classes, write_parquet

NAMES = ("cat", "dog", "hen", "Great Dane")


def quietly(data: Any, **options: Any) -> Data:
    return load(data, watcher=Watcher(), **options)


def folder(tmp_path: Path) -> Path:
    """A folder with three images of each class."""
    return write_classes(
        tmp_path / "pets", {name: [picture(3 * c + n, 6, 5) for n in range(3)] for c, name in enumerate(NAMES)}
    )


def parquet(tmp_path: Path) -> Path:
    """The same images as a table, in a mixed order."""
    order = np.random.default_rng(0).permutation(12)
    for split in ("train", "test"):
        images = [picture(int(n), 6, 5) for n in order]
        write_parquet(tmp_path / "pets", split, images, [int(n) // 3 for n in order], names=NAMES)
    return tmp_path / "pets"


def arrays(tmp_path: Path) -> Path:
    """The same images as arrays."""
    images, names = np.stack([picture(n, 6, 5) for n in range(12)]), np.array(NAMES)[np.arange(12) // 3]
    np.savez(tmp_path / "pets.npz", images=images, labels=names, test_images=images, test_labels=names)
    return tmp_path / "pets.npz"


def by_class(real: RealSet) -> dict[str, list[Any]]:
    return {name: sorted(real.images[real.index(label)].tolist()) for label, name in enumerate(real.spec.class_names)}


@pytest.mark.parametrize("source", [folder, parquet, arrays])
def test_the_images_of_the_chosen_classes_and_no_others(tmp_path: Path, source: Any) -> None:
    place = source(tmp_path)
    test = place if source is folder else None
    whole = quietly(place, test=test)
    data = quietly(place, test=test, classes=["hen", "cat"])
    assert data.train.spec.class_names == data.test.spec.class_names == ("hen", "cat")
    expected = by_class(whole.train)
    assert by_class(data.train) == {"hen": expected["hen"], "cat": expected["cat"]}
    assert by_class(data.test) == by_class(data.train)
    # what is measured is measured on these images alone
    assert data.train.spec.mean != whole.train.spec.mean
    again = quietly(place, test=test, classes=["hen", "cat"])
    assert again.classes == data.classes
    assert again.train.fingerprint() == data.train.fingerprint()
    assert quietly(place, test=test, classes=["cat", "hen"]).train.fingerprint() != data.train.fingerprint()
    origin = data.origin()
    assert origin["classes"] == ["hen", "cat"]
    index = whole.train.spec.class_names.index
    assert origin["class_indices"] == [index("hen"), index("cat")]
    # the card alone finds them again
    found = quietly(origin["source"], test=origin.get("test"), classes=origin["classes"])
    assert found.train.fingerprint() == origin["fingerprint"]


def test_the_same_in_memory(tmp_path: Path) -> None:
    whole = quietly(folder(tmp_path), test=folder(tmp_path / "again"))
    images, numbers = whole.train.images, whole.train.labels
    for source in ((images, numbers), whole.train, torch.utils.data.TensorDataset(images, numbers)):
        data = quietly(source, test=(images, numbers), classes=[2, 0])
        assert data.train.images.tolist() == images[(numbers == 0) | (numbers == 2)].tolist()
        assert data.train.labels.tolist() == [{0: 1, 2: 0}[n] for n in numbers.tolist() if n in (0, 2)]
        assert data.test.labels.tolist() == data.train.labels.tolist()
        assert data.origin()["class_indices"] == [2, 0]


def test_what_is_held_out_of_a_class_does_not_depend_on_the_others(tmp_path: Path) -> None:
    place = folder(tmp_path)
    whole, part = quietly(place), quietly(place, classes=["hen", "dog"])
    expected = by_class(whole.test)
    assert by_class(part.test) == {"hen": expected["hen"], "dog": expected["dog"]}
    assert "(2 of 6 images)" in part.notes[-1]
    in_memory = quietly((part.train.images, part.train.labels), classes=[1, 0])
    assert in_memory.test.counts.tolist() == [1, 1]


@pytest.mark.parametrize("named", [["Great Dane", "hen"], ["great_dane", "HEN"], ["0", "3"], [0, 3]])
def test_names_are_met_halfway(tmp_path: Path, named: list[Any]) -> None:
    # folders in the order of their names: Great Dane, cat, dog, hen
    assert quietly(folder(tmp_path), classes=named).train.spec.class_names == ("Great Dane", "hen")


def test_a_name_wins_over_a_number() -> None:
    pixels = torch.randint(0, 256, (6, 4, 5), dtype=torch.uint8)
    data = quietly(
        (pixels, ["1", "1", "0", "0", "2", "2"]), test=(pixels, ["1", "1", "0", "0", "2", "2"]), classes=["2", "1"]
    )
    assert data.train.spec.class_names == ("2", "1")
    assert data.train.images.tolist() == pixels[[0, 1, 4, 5], None].tolist()


def test_gaps_in_the_numbers_are_no_matter_where_classes_are_chosen() -> None:
    pixels = torch.randint(0, 256, (6, 4, 5), dtype=torch.uint8)
    labels = [7, 3, 3, 7, 9, 9]
    data = quietly((pixels, labels), test=(pixels, labels), classes=[9, 3])
    assert data.train.labels.tolist() == [1, 1, 0, 0]
    assert data.train.spec.class_names == ("9", "3")


@pytest.mark.parametrize(
    ("classes", "told"),
    [
        (["cat", "hem"], r"classes='hem': no such class in .*pets \(did you mean hen\?\); allowed are names or numbers "
         "from 0 to 3 of: Great Dane, cat, dog, hen"),
        (["cat", "4"], "classes='4': no such class"),
        (["cat", -1], "classes=-1: no such class"),
        (["cat", "1"], "classes='1': class cat is named twice"),
        (["cat"], r"at least two classes are needed"),
        ([], r"at least two classes are needed"),
    ],
)  # fmt: skip
def test_classes_that_cannot_be_chosen(tmp_path: Path, classes: list[Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        quietly(folder(tmp_path), classes=classes)


def test_a_test_set_without_the_chosen_classes(tmp_path: Path) -> None:
    test = write_classes(tmp_path / "t", {"dog": [picture(0)]})
    with pytest.raises(InputError, match="no image of the classes cat, hen; a test set needs some"):
        quietly(folder(tmp_path), test=test, classes=["cat", "hen"])


def test_two_classes_of_one_name_are_told_apart_by_number() -> None:
    pixels = torch.randint(0, 256, (6, 1, 4, 5), dtype=torch.uint8)
    spec_of = RealSet.from_arrays(pixels, [0, 0, 1, 1, 2, 2], class_names=["crane", "jay", "crane"])
    with pytest.raises(InputError, match=r"classes='crane': 2 classes of .* are called so; give the number"):
        quietly(spec_of, classes=["crane", "jay"])
    assert quietly(spec_of, classes=[2, 1]).train.spec.class_names == ("crane", "jay")


def test_an_artifact_whose_card_names_other_classes_is_refused(tmp_path: Path) -> None:
    data = quietly(folder(tmp_path), classes=["hen", "cat"])
    out = select(data, "random", 1).save(tmp_path / "out")
    assert SyntheticSet.load(out).card["data"]["classes"] == ["hen", "cat"]
    card = json.loads((out / "card.json").read_text())
    card["data"]["classes"] = ["cat", "hen"]
    del card["seal"]  # else that is what is said
    (out / "card.json").write_text(json.dumps(card))
    with pytest.raises(
        InputError, match=r"card\.json: data\.classes \['cat', 'hen'\] are not the spec's \['hen', 'cat'\]"
    ):
        SyntheticSet.load(out)
