"""The artifact: what is saved comes back, and what was tampered with does not."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader

from distillset.data.grid import GRID, grid
from distillset.data.spec import Spec
from distillset.data.synthetic import CARD, TENSORS, SyntheticSet
from distillset.data.whiten import Whitening
from distillset.errors import InputError
from distillset.store import read_json, read_tensors, write_tensors
from tests import toys

SPEC = Spec("toy", 3, 4, 5, ("cat", "dog"), (0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
CARD_OF_MINE = {"method": "dm", "settings": {"lr": 1.0}, "data": {"source": "somewhere", "fingerprint": "f"}}


def small(labels: list[int] | None = None, seed: int = 0) -> SyntheticSet:
    labels = labels or [0, 0, 1, 1]
    images = torch.randn(len(labels), *SPEC.shape, generator=torch.Generator().manual_seed(seed))
    return SyntheticSet(images, torch.tensor(labels), SPEC, dict(CARD_OF_MINE))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small().save(tmp_path_factory.mktemp("artifact"))


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    """An artifact to tamper with."""
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def test_what_is_on_disk(whole: Path) -> None:
    assert {path.name for path in whole.iterdir()} == {TENSORS, CARD, GRID, "README.md"}
    tensors, _ = read_tensors(whole / TENSORS)
    assert set(tensors) == {"images", "labels", "mean", "std"}
    assert tensors["images"].dtype == torch.float32
    assert tensors["labels"].tolist() == [0, 0, 1, 1]
    torch.testing.assert_close(tensors["mean"], torch.tensor([0.4, 0.5, 0.6]))
    torch.testing.assert_close(tensors["std"], torch.tensor([0.2, 0.25, 0.3]))
    card = json.loads((whole / CARD).read_text())
    assert card["schema"] == 1
    assert (card["images"], card["ipc"], card["method"]) == ([4, 3, 4, 5], 2, "dm")
    assert card["spec"] == SPEC.to_json()
    assert card["fingerprint"] == small().fingerprint()
    assert set(card["versions"]) == {"distillset", "torch"}
    page = (whole / "README.md").read_text()
    assert "method `dm`, 2 images per class, from `somewhere`" in page
    assert "cat, dog" in page


def test_it_comes_back(whole: Path) -> None:
    found = SyntheticSet.load(str(whole))
    assert torch.equal(found.images, small().images)
    assert torch.equal(found.labels, small().labels)
    assert found.spec == SPEC
    assert found.card.items() >= CARD_OF_MINE.items()


@settings(max_examples=25)
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 6)),
    labels=st.lists(st.integers(0, 2), min_size=1, max_size=6),
    soft=st.booleans(),
    seed=st.integers(0, 99),
    name=st.text(max_size=6),
)
def test_any_set_comes_back(
    tmp_path_factory: pytest.TempPathFactory,
    shape: tuple[int, int, int],
    labels: list[int],
    soft: bool,
    seed: int,
    name: str,
) -> None:
    generator = torch.Generator().manual_seed(seed)
    channels = shape[0]
    mean, std = torch.rand(channels, generator=generator).tolist(), (torch.rand(channels) + 0.1).tolist()
    spec = Spec(name, *shape, ("a", name, "ü"), tuple(mean), tuple(std), flip=soft)
    images = torch.randn(len(labels), *shape, generator=generator) * 1e3
    values = torch.rand(len(labels), 3, generator=generator) if soft else torch.tensor(labels)
    synthetic = SyntheticSet(images, values, spec, {"metrics": {"loss": 0.1}})
    folder = synthetic.save(tmp_path_factory.mktemp("any"))
    found = SyntheticSet.load(folder)
    assert torch.equal(found.images, images)
    assert torch.equal(found.labels, values)
    assert found.spec == spec
    assert found.fingerprint() == synthetic.fingerprint()
    again = SyntheticSet.load(found.save(folder))
    assert again.card["metrics"] == {"loss": 0.1}
    assert torch.equal(again.images, images)


def test_any_changed_byte_of_the_tensors_is_seen(copy: Path) -> None:
    path = copy / TENSORS
    content = path.read_bytes()
    for position in range(0, len(content), 5):
        changed = bytearray(content)
        changed[position] ^= 1
        path.write_bytes(changed)
        with pytest.raises(InputError):
            SyntheticSet.load(copy)


def card_with(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        card = read_json(folder / CARD)  # without its seal, as whoever edits it on purpose leaves it
        for name, value in changes.items():
            card.pop(name) if value is None else card.update({name: value})
        (folder / CARD).write_text(json.dumps(card))

    return change


def spec_with(**changes: Any) -> Callable[[Path], None]:
    return card_with(spec={**SPEC.to_json(), **changes})


def tensors_with(**changes: torch.Tensor | None) -> Callable[[Path], None]:
    """With a checksum that is right, as only a program could write it."""

    def change(folder: Path) -> None:
        tensors, meta = read_tensors(folder / TENSORS)
        kept = {name: value for name, value in {**tensors, **changes}.items() if value is not None}
        write_tensors(folder / TENSORS, kept, meta)

    return change


@pytest.mark.parametrize(
    ("tamper", "told"),
    [
        (card_with(schema=None), "schema is missing"),
        (card_with(schema="1"), "schema is '1'"),
        (card_with(schema=2), r"schema 2 is newer than this version reads \(1\)"),
        (card_with(spec=None), "spec"),
        (card_with(spec=[]), "spec"),
        (card_with(fingerprint=None), "fingerprint"),
        (card_with(fingerprint="0" * 64), "fingerprint"),
        (spec_with(mean=[0.4, 0.5, 0.7]), "fingerprint"),
        (spec_with(mean=[0.4]), "mean has 1 values"),
        (spec_with(class_names=["cat"]), "at least two"),
        (spec_with(height=5), "images"),
        (spec_with(zoom=2), "zoom"),
        (tensors_with(images=None), "tensor images is missing"),
        (tensors_with(labels=None), "tensor labels is missing"),
        (tensors_with(mean=None), "tensor mean is missing"),
        (tensors_with(std=None), "tensor std is missing"),
        (tensors_with(images=torch.zeros(4, 3, 4, 5)), "fingerprint"),
        (tensors_with(images=torch.zeros(4, 3, 4, 5, dtype=torch.float64)), "float64"),
        (tensors_with(images=torch.full((4, 3, 4, 5), torch.nan)), "NaN"),
        (tensors_with(images=torch.zeros(4, 3, 4)), r"\[4, 3, 4\]"),
        (tensors_with(labels=torch.tensor([0, 0, 1, 2])), "found 0 to 2, allowed 0 to 1"),
        (tensors_with(labels=torch.tensor([0, 1, 1, 1])), "fingerprint"),
        (tensors_with(labels=torch.tensor([0, 0, 1])), "labels"),
        (lambda folder: (folder / TENSORS).unlink(), "no such file"),
        (lambda folder: (folder / TENSORS).write_bytes(b""), "damaged"),
        (lambda folder: (folder / CARD).write_text("{"), "not readable as JSON"),
        (lambda folder: (folder / CARD).write_text("[1]"), "schema is missing"),
        (lambda folder: (folder / CARD).unlink(), r"no card\.json, so not a finished artifact"),
    ],
)
def test_tampering_is_told_in_one_line(copy: Path, tamper: Callable[[Path], None], told: str) -> None:
    tamper(copy)
    with pytest.raises(InputError, match=told) as caught:
        SyntheticSet.load(copy)
    assert "\n" not in str(caught.value).strip()


def test_a_folder_that_is_no_artifact(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder; expected an artifact"):
        SyntheticSet.load(tmp_path / "nowhere")
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(InputError, match="the run is not finished; run its command again"):
        SyntheticSet.load(tmp_path)


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (torch.zeros(2, 3, 4, 5, dtype=torch.float64), torch.tensor([0, 1])),
        (torch.zeros(2, 3, 4, 6), torch.tensor([0, 1])),
        (torch.zeros(0, 3, 4, 5), torch.zeros(0, dtype=torch.int64)),
        (torch.full((2, 3, 4, 5), float("inf")), torch.tensor([0, 1])),
        (torch.zeros(2, 3, 4, 5), torch.tensor([0, 2])),
        (torch.zeros(2, 3, 4, 5), torch.tensor([-1, 0])),
        (torch.zeros(2, 3, 4, 5), torch.tensor([0])),
        (torch.zeros(2, 3, 4, 5), torch.tensor([0, 1], dtype=torch.int32)),
        (torch.zeros(2, 3, 4, 5), torch.zeros(2, 3)),
    ],
)
def test_what_does_not_fit_together(images: torch.Tensor, labels: torch.Tensor) -> None:
    with pytest.raises(InputError):
        SyntheticSet(images, labels, SPEC)


def test_views_of_it() -> None:
    synthetic = small([0, 1, 1, 0, 1])
    assert len(synthetic) == 5
    assert synthetic.ipc == 3
    assert synthetic.classes.tolist() == [0, 1, 1, 0, 1]
    soft = SyntheticSet(synthetic.images[:2], torch.tensor([[0.2, 0.8], [0.9, 0.1]]), SPEC)
    assert soft.classes.tolist() == [1, 0]
    images, labels = next(iter(DataLoader(synthetic.dataset(), batch_size=5)))
    assert torch.equal(images, synthetic.images)
    assert torch.equal(labels, synthetic.labels)
    pixels = torch.randint(0, 256, (5, 3, 4, 5), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    assert torch.equal(SyntheticSet(SPEC.normalise(pixels), synthetic.labels, SPEC).pixels, pixels)


def test_the_fingerprint_depends_on_all_that_trains() -> None:
    base = small()
    others = [
        small(seed=1),
        small([0, 1, 1, 1]),
        dataclasses.replace(base, spec=dataclasses.replace(SPEC, mean=(0.4, 0.5, 0.61))),
        dataclasses.replace(base, spec=dataclasses.replace(SPEC, std=(0.2, 0.25, 0.31))),
    ]
    prints = {synthetic.fingerprint() for synthetic in (base, *others)}
    assert len(prints) == 5
    assert dataclasses.replace(base, card={}).fingerprint() == base.fingerprint()


def test_the_picture_shows_the_pixels(whole: Path) -> None:
    with Image.open(whole / GRID) as picture:
        shown = torch.tensor(list(picture.tobytes()), dtype=torch.uint8).view(picture.height, picture.width, 3)
    synthetic = small()
    assert torch.equal(shown.permute(2, 0, 1), grid(synthetic.pixels, synthetic.classes, 2))


def test_whitened_sets_come_back_with_their_matrices_and_pictures(tmp_path: Path) -> None:
    real = toys.toy()
    whitened = real.whitened(Whitening.fit(real.images))
    rows = torch.cat([real.index(c)[:2] for c in range(3)])
    synthetic = SyntheticSet(
        whitened.rows(rows), real.labels[rows], real.spec, whitening=whitened.whitening, lr=0.03125
    )
    synthetic.save(tmp_path / "set")
    stored, _ = read_tensors(tmp_path / "set" / TENSORS)
    assert stored.keys() == {"images", "labels", "zca_matrix", "zca_mean", "lr"}
    assert float(stored["lr"]) == 0.03125
    loaded = SyntheticSet.load(tmp_path / "set")
    assert loaded.lr == 0.03125
    assert loaded.whitening is not None
    assert torch.equal(loaded.pixels, real.images[rows])
    assert loaded.fingerprint() == synthetic.fingerprint()
    assert loaded.card["whiten"] == "zca"
    assert "zca_mean) @ zca_matrix" in (tmp_path / "set" / "README.md").read_text()
    plain = SyntheticSet(real.rows(rows), real.labels[rows], real.spec)
    assert plain.fingerprint() != SyntheticSet(plain.images, plain.labels, plain.spec, lr=0.01).fingerprint()


@pytest.mark.parametrize("lr", [0.0, -0.1, float("nan"), float("inf")])
def test_a_learned_rate_is_positive(lr: float) -> None:
    real = toys.toy()
    with pytest.raises(InputError, match=f"lr={lr}: must be a finite number above 0"):
        SyntheticSet(real.rows(torch.tensor([0])), real.labels[:1], real.spec, lr=lr)


def test_a_whitening_of_other_images_is_refused() -> None:
    real, other = toys.toy(), toys.toy(shape=(3, 6, 8))
    with pytest.raises(InputError, match="zca_mean"):
        SyntheticSet(real.rows(torch.tensor([0])), real.labels[:1], real.spec, whitening=Whitening.fit(other.images))


def test_it_is_shown_in_a_line_without_pixels() -> None:
    """Six images of three classes, from the shape; method and steps from the card."""
    spec = Spec("toy", 1, 4, 4, ("a", "b", "c"), (0.5,), (0.25,))
    labels = torch.arange(3).repeat_interleave(2)
    shown = SyntheticSet(torch.zeros(6, 1, 4, 4), labels, spec, {"method": "dm", "steps": 20})
    assert repr(shown) == "SyntheticSet(toy: 6 images of 1x4x4, 3 classes, ipc 2, method dm, steps 20)"
