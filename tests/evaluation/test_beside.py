"""What stands beside an artifact, with which labels and augmentation, and what a row says of its cost."""

import mmap
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from distillset.coresets import expert
from distillset.coresets.expert import Expert
from distillset.data.synthetic import SyntheticSet
from distillset.engine.hardware import forget_peak, peak
from distillset.errors import InputError
from distillset.evaluation import Ledger, accuracy
from distillset.evaluation.row import table
from tests import toys
from tests.evaluation.conftest import Fitted
from tests.evaluation.runs import DATA, SYNTHETIC, run

PROBABILITIES = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.1, 0.8]]).repeat_interleave(2, 0)
SOFT = replace(SYNTHETIC, labels=PROBABILITIES)


@pytest.fixture
def small_expert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Expert:
    """What evaluations take for the expert."""
    found = expert(DATA.train, network=toys.NETWORK, epochs=4, cache=tmp_path / "experts", machine=toys.EAGER)
    monkeypatch.setattr(accuracy, "expert", lambda real, **options: found)
    return found


def test_labels_are_said(fits: list[Fitted]) -> None:
    hard, random = run(repeats=1)
    soft, beside = run(SOFT, repeats=1)
    assert (hard.labels, random.labels, soft.labels, beside.labels) == ("hard", "hard", "soft", "hard")
    assert torch.equal(fits[2].labels, PROBABILITIES)


def test_soft_labels_may_be_made_hard(fits: list[Fitted]) -> None:
    (row,) = run(SOFT, repeats=1, beside=(), labels="hard")
    assert row.labels == "hard"
    assert fits[0].labels.tolist() == [0, 0, 1, 1, 2, 2]


def test_soft_random_is_random_with_the_expert_s_labels(small_expert: Expert, fits: list[Fitted]) -> None:
    rows = run(SOFT, repeats=2, beside=("random", "soft-random"))
    assert [(row.artifact, row.labels, row.sets) for row in rows] == [
        ("synthetic", "soft", 1), ("random", "hard", 2), ("soft-random", "soft", 2),
    ]  # fmt: skip
    for i in range(2):
        hard, soft = fits[2 + i], fits[4 + i]
        assert torch.equal(soft.images, hard.images), "the same images"
        assert torch.equal(soft.labels, small_expert.probabilities(hard.images))
        torch.testing.assert_close(soft.labels.sum(1), torch.ones(6))


@pytest.mark.usefixtures("fits", "small_expert")
def test_rows_stand_in_the_order_of_the_names() -> None:
    rows = run(repeats=1, beside=("whole", "soft-random", "random", "whole"))
    assert [row.artifact for row in rows] == ["synthetic", "whole", "soft-random", "random"]
    assert [row.artifact for row in run(repeats=1, beside=["whole"])] == ["synthetic", "whole"]


def test_another_expert_is_another_baseline(small_expert: Expert, fits: list[Fitted], tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    run(repeats=1, beside=("random", "soft-random"), ledger=ledger)
    run(repeats=1, beside=("random", "soft-random"), ledger=ledger)
    assert len(fits) == 3
    for value in small_expert.state.values():
        value += 0.1
    run(repeats=1, beside=("random", "soft-random"), ledger=ledger)
    assert len(fits) == 4


@pytest.mark.parametrize(
    ("augment", "name"), [("none", "dm-3-epochs-without-augmentation"), ("crop_flip", "dm-3-epochs-crop_flip")]
)
def test_another_augmentation_for_artifact_and_random(fits: list[Fitted], augment: str, name: str) -> None:
    rows = run(repeats=1, augment=augment)
    assert [row.protocol for row in rows] == [name, name]
    assert {fit.recipe.augmentation for fit in fits} == {augment}


@pytest.mark.usefixtures("fits")
def test_bytes_are_those_of_images_and_labels() -> None:
    """Six images of 3x8x8 in float32 and six classes in int64, or 3 probabilities each; 24 bytes images."""
    pixels = 6 * 3 * 8 * 8 * 4
    hard, random, whole = run(repeats=1, beside=("random", "whole"))
    assert (hard.bytes, random.bytes, whole.bytes) == (pixels + 48, pixels + 48, 24 * 3 * 8 * 8 + 24 * 8)
    assert run(SOFT, repeats=1, beside=(), epochs=0)[0].bytes == pixels + 6 * 3 * 4


def test_memory_is_that_of_this_process_and_is_remembered(tmp_path: Path) -> None:
    first = run(ledger=Ledger(tmp_path), beside=())[0]
    again = run(ledger=Ledger(tmp_path), beside=())[0]
    assert first.memory is not None
    assert 20e6 < first.memory < 8e9, "a process with torch in it"
    assert again.memory == first.memory


def test_the_peak_is_counted_from_where_it_is_told() -> None:
    """With a block that the system maps for itself: a tensor's may be memory that the process has kept."""
    cpu, size = torch.device("cpu"), 80 * 2**20
    forget_peak(cpu)
    before = peak(cpu)
    with mmap.mmap(-1, size) as block:
        for _ in range(80):
            block.write(b"x" * 2**20)
        during = peak(cpu)
        assert during - before > 0.9 * size
    assert peak(cpu) == pytest.approx(during, rel=0.1)
    forget_peak(cpu)
    assert during - peak(cpu) > 0.5 * size


def test_the_table_holds_every_number() -> None:
    rows = run(SOFT, artifact="runs/x", epochs=0)
    lines = table([replace(rows[0], memory=123_000_000), replace(rows[1], memory=None)]).splitlines()
    assert lines[0].startswith("set     network ")
    assert f"{100 * rows[0].mean:.1f} +- {100 * rows[0].std:.1f}" in lines[1]
    assert (lines[1].split()[3], lines[2].split()[3]) == ("soft", "hard")
    assert lines[1].split()[-2:] == ["123", f"{rows[0].bytes / 1e3:.0f}"]
    assert lines[2].split()[-2] == "-"
    assert lines[2].split()[-6:-3] == ["(2", "x", "1)"]


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"augment": "mirror"}, "unknown operation 'mirror'"),
        ({"labels": "soft"}, "labels='soft': choose own or hard"),
        (
            {"beside": ("random", "wohle")},
            r"beside='wohle': choose among random, whole, soft-random \(did you mean whole",
        ),
        ({"beside": "random"}, "beside='random': must be a list"),
        ({"beside": (None,)}, "beside=None: must be text"),
        ({"snapshots": {1: SYNTHETIC}}, "snapshots=.*: must be Snapshots, or None"),
        ({"ledger": 3}, "ledger=3: must be a Ledger, the folder of one, or None"),
        ({"synthetic": replace(SYNTHETIC, card={"settings": {"whiten": "zca"}})}, "not whitened.*'zca'"),
    ],
)
def test_wrong_input_is_named_before_anything_is_trained(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        run(**changes)


def test_other_classes_are_refused_by_name() -> None:
    cats = replace(SYNTHETIC, spec=replace(SYNTHETIC.spec, class_names=("cat", "dog", "owl")))
    test = DATA.test.normalised(replace(DATA.test.spec, class_names=("cat", "fox", "owl")))
    with pytest.raises(InputError, match="test set toy: class 1 is fox, but the artifact's is dog"):
        run(cats, replace(DATA, test=test), beside=())
    assert run(cats, repeats=1, epochs=0)[0].n == 1, "numbers have no names to differ in"


def test_the_card_of_a_stranger_is_taken_as_it_is() -> None:
    stranger = SyntheticSet(SYNTHETIC.images, SYNTHETIC.labels, SYNTHETIC.spec, {"settings": "unknown"})
    assert run(stranger, repeats=1, beside=())[0].n == 1
