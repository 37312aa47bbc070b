"""``--classes``: an artifact of some classes is made, resumed and evaluated on these, in their order."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distillset import Data, RealSet, SyntheticSet, evaluate, load, select
from distillset.commands import main
from distillset.errors import InputError
from distillset.evaluation import Protocol
from distillset.watch import Watcher
from tests import toys

EAGER = ["--device", "cpu", "--precision", "fp32", "--compile", "off"]


@pytest.fixture(scope="module")
def named_npz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four classes with names, and a test split."""
    names = np.array(["ant", "bee", "cow", "dog"])
    images, labels = toys.pixels((8, 7, 6, 9))
    test_images, test_labels = toys.pixels((6, 6, 6, 6), seed=1)
    path = tmp_path_factory.mktemp("named") / "named.npz"
    arrays = {"images": images, "test_images": test_images}
    texts = {"labels": names[labels], "test_labels": names[test_labels]}
    np.savez(path, **{name: tensor.numpy() for name, tensor in arrays.items()}, **texts)  # type: ignore[arg-type]
    return path


def distil(data: Path, out: Path, *more: str) -> int:
    return main(
        ["distill", "dm", "--data", str(data), "--ipc", "1", "--out", str(out), "--steps", "2", "--batch-real", "4",
         "--network", toys.NETWORK, *EAGER, "--classes", *more]
    )  # fmt: skip


def test_made_resumed_and_evaluated_on_the_same_classes(
    named_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert distil(named_npz, out, "dog", "bee") == 0
    synthetic = SyntheticSet.load(out)
    assert synthetic.spec.class_names == ("dog", "bee")
    assert synthetic.card["data"]["classes"] == ["dog", "bee"]
    assert synthetic.card["data"]["class_indices"] == [3, 1]
    capsys.readouterr()
    assert distil(named_npz, out, "bee", "dog") == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "distillset: error: --classes bee dog: the run in this folder was started with ['dog', 'bee']; use that,"
        " or another --out"
    )
    assert distil(named_npz, out, "3", "1", "--steps", "3") == 0  # the same, by number
    capsys.readouterr()
    judge = ["evaluate", str(out), "--networks", toys.NETWORK, "--repeats", "1", "--epochs", "2", "--json", *EAGER]
    assert main(judge) == 0
    shown = capsys.readouterr()
    assert "was not made from" not in shown.err
    from_card = json.loads(shown.out)
    # by hand, with the same classes in the same order
    data = load(named_npz, classes=["dog", "bee"], watcher=Watcher())
    rows = evaluate(
        SyntheticSet.load(out),
        data,
        networks=(toys.NETWORK,),
        repeats=1,
        protocol=Protocol(epochs=2),
        machine=toys.EAGER,
    )
    assert [row["mean"] for row in from_card] == [row.mean for row in rows]
    # a copy of the data at another place
    copy = tmp_path / "copy.npz"
    copy.write_bytes(named_npz.read_bytes())
    assert main([*judge, "--data", str(copy)]) == 0
    assert [row["mean"] for row in json.loads(capsys.readouterr().out)] == [row.mean for row in rows]
    assert main([*judge, "--classes", "bee", "dog"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "distillset: error: test set named: class 0 is bee, but the artifact's is dog; load it with "
        "--classes in the artifact's order"
    )


def test_other_images_in_the_folder_of_a_run(
    toy_npz: Path, named_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert distil(named_npz, tmp_path / "run", "dog", "bee", "--resize", "8x8") == 0
    capsys.readouterr()
    assert distil(named_npz, tmp_path / "run", "dog", "bee", "--resize", "9x8") == 2
    told = "the run in this folder was started with other images; give the same --data, --classes and --resize"
    assert told in capsys.readouterr().err.splitlines()[-1]


def test_names_are_compared_where_both_have_them(named_npz: Path) -> None:
    data = load(named_npz, watcher=Watcher())
    synthetic = select(data, "random", 1)
    images, labels = data.test.images, data.test.labels
    options: dict[str, Any] = {
        "networks": (toys.NETWORK,),
        "repeats": 1,
        "protocol": Protocol(epochs=1),
        "beside": (),
        "machine": toys.EAGER,
    }
    for names, fits in (("0123", True), (("ant", "bee", "cow", "dog"), True), (("ant", "bee", "dog", "cow"), False)):
        test = RealSet.from_arrays(images, labels, class_names=tuple(names))
        if fits:
            evaluate(synthetic, Data(test, test, "x"), **options)
        else:
            with pytest.raises(InputError, match="class 2 is dog, but the artifact's is cow"):
                evaluate(synthetic, Data(test, test, "x"), **options)
