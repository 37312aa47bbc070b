"""Labels are what a user meant, or refused; a test set that lacks classes is noted."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distillset import load
from distillset.errors import InputError
from distillset.watch import Watcher
from tests import toys
from tests.sources.on_disk import picture, write_classes
from tests.watchers import Notes


@pytest.mark.parametrize(
    "labels",
    [
        [0, "a", 0, "a"],
        ["a", 0, "a", 0],
        (0, "a", 0, "a"),
        [[0], ["a"], [0], ["a"]],
        [("a",), (0,), ("a",), (0,)],
        np.array([0, "a", 0, "a"], dtype=object),
        np.array([[0], ["a"], [0], ["a"]], dtype=object),
        [0, True, 0, 1],
        [0, None, 0, 1],
        ["a", None, "a", "b"],
        [0, 1.5, 0, 1],
        ["a", b"\xff", "b", "a"],
    ],
    ids=repr,
)
def test_labels_of_two_kinds_are_refused(labels: Any) -> None:
    """NumPy makes text of all of them: classes "0" and "a"."""
    images, _ = toys.pixels((2, 2))
    with pytest.raises(InputError, match=r"data: labels.*(of one kind|label|UTF-8)"):
        load((images, labels), watcher=Watcher())


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([0, 1, 0, 1], ("0", "1")),
        (["a", "0", "a", "0"], ("0", "a")),
        ([[1], [0], [1], [0]], ("0", "1")),
        ([["b"], ["a"], ["b"], ["a"]], ("a", "b")),
        (np.array(["0", "a", "0", "a"]), ("0", "a")),
    ],
    ids=repr,
)
def test_labels_of_one_kind_are_taken(labels: Any, names: tuple[str, ...]) -> None:
    images, _ = toys.pixels((2, 2))
    assert load((images, labels), watcher=Watcher()).train.spec.class_names == names


class TestMissingClasses:
    """Accuracy on a test set says nothing of classes that it lacks."""

    def notes(self, data: Any, **more: Any) -> list[str]:
        told: list[str] = []
        load(data, watcher=Notes(told), **more)
        return [note for note in told if "no images of" in note]

    def test_in_a_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DISTILLSET_CACHE", str(tmp_path / "cache"))
        train = {name: [picture(n) for n in range(3)] for name in ("ant", "bee", "cow")}
        write_classes(tmp_path / "set" / "train", train)
        write_classes(tmp_path / "set" / "test", {"ant": [picture(9)], "cow": [picture(8)]})
        expected = [
            f"{tmp_path / 'set'}, split test: no images of 1 of the 3 classes (bee); accuracy is that on the others"
        ]
        for _ in range(2):  # also where it comes from the cache
            assert self.notes(tmp_path / "set") == expected
        assert self.notes(tmp_path / "set", classes=["ant", "cow"]) == []
        write_classes(tmp_path / "set" / "test", {"bee": [picture(7)]})
        assert self.notes(tmp_path / "set") == []

    def test_held_out_of_a_class_with_a_single_image(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DISTILLSET_CACHE", str(tmp_path / "cache"))
        names = {"ant": 5, "bee": 1, "cow": 1}
        write_classes(tmp_path / "set", {name: [picture(n) for n in range(count)] for name, count in names.items()})
        (note,) = self.notes(tmp_path / "set")
        assert "no images of 2 of the 3 classes (bee, cow)" in note

    def test_in_memory(self) -> None:
        data, test = toys.pixels((5, 5, 5)), toys.pixels((4, 4))
        assert self.notes(data, test=test) == [
            "test: no images of 1 of the 3 classes (2); accuracy is that on the others"
        ]
        assert self.notes(data, test=toys.pixels((4, 4, 4))) == []
        assert len(self.notes(toys.pixels((5, 1)))) == 1
        assert self.notes(toys.pixels((5, 5))) == []
