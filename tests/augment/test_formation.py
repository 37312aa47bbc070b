"""Images that hold several: what they are cut into, and what artifacts, exports and evaluations make of them."""

import shutil
from pathlib import Path

import pytest
import torch

from distillset import DM, evaluate
from distillset.augment import check_formation, packed, unpacked
from distillset.data.synthetic import CARD, TENSORS, SyntheticSet
from distillset.distillation.verify import verify
from distillset.errors import InputError, InterruptedRun
from distillset.evaluation import Protocol
from distillset.evaluation.candidates import of_set
from distillset.export import export
from distillset.keys import Key
from distillset.sources.load import Data
from distillset.store import read_tensors, write_tensors
from tests import toys
from tests.oracles import formation_oracle as oracle
from tests.runs import Recorder, assert_same_end, distil


@pytest.mark.parametrize(("formation", "size"), [(1, (4, 6)), (2, (4, 6)), (2, (28, 28)), (3, (6, 9))])
def test_tiles_are_enlarged_as_the_definition_says(formation: int, size: tuple[int, int]) -> None:
    images = torch.randn(3, 2, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(unpacked(images, formation), oracle.unpacked(images, formation), rtol=1e-12, atol=1e-12)


def test_tiles_come_row_by_row() -> None:
    tiles = torch.arange(8.0).view(2, 1, 2, 2)
    images = tiles.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert [float(image.mean()) for image in unpacked(images, 2)] == list(range(8))
    assert torch.equal(packed(unpacked(images, 2), 2), images)


def test_two_pixels_become_four() -> None:
    """By hand: centres at 1/4, 3/4, 5/4, 7/4 of a pixel."""
    image = torch.tensor([[0.0, 4.0, 0.0, 0.0], [0.0, 4.0, 0.0, 0.0], [0.0] * 4, [0.0] * 4]).view(1, 1, 4, 4)
    assert unpacked(image, 2)[0, 0].tolist() == [[0.0, 1.0, 3.0, 4.0]] * 4


@pytest.mark.parametrize(("formation", "told"), [(0, "at least 1"), (3, "8x8 cannot be cut into 3x3")])
def test_what_cannot_be_cut_is_refused(formation: int, told: str) -> None:
    with pytest.raises(InputError, match=told):
        check_formation(formation, toys.toy().spec.shape)


def test_a_run_starts_from_as_many_real_images_as_it_holds_tiles() -> None:
    real = toys.toy((8, 8, 8))
    found = distil(data=real, method=DM(batch_real=4, formation=2), ipc=2, steps=0)
    assert (found.formation, len(found), found.ipc) == (2, 6, 2)
    assert len(found.unpacked()) == 24
    assert found.unpacked().labels.tolist() == [0] * 8 + [1] * 8 + [2] * 8
    shrunk = torch.nn.functional.avg_pool2d(real.rows(real.index(1)), 2)
    held = {tuple(tile.flatten().tolist()) for image in found.images[2:4] for tile in _tiles(image)}
    assert held == {tuple(image.flatten().tolist()) for image in shrunk}


def _tiles(image: torch.Tensor) -> list[torch.Tensor]:
    return [image[:, top : top + 4, left : left + 4] for top in (0, 4) for left in (0, 4)]


def test_a_run_that_was_stopped_goes_on_to_the_same_end(tmp_path: Path) -> None:
    method = DM(batch_real=4, formation=2)
    distil(tmp_path / "a", method=method)
    with pytest.raises(InterruptedRun):
        distil(tmp_path / "b", method=method, watcher=Recorder(3))
    distil(tmp_path / "b", method=method)
    assert_same_end(tmp_path / "a", tmp_path / "b")
    with pytest.raises(InputError, match="formation=1"):
        distil(tmp_path / "a", method=DM(batch_real=4))


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("unpacked") / "set"
    distil(out, data=toys.toy((8, 8, 8)), method=DM(batch_real=4, formation=2), ipc=1, steps=2)
    return out


def test_the_artifact_knows_its_tiles(artifact: Path) -> None:
    found = SyntheticSet.load(artifact)
    assert found.formation == found.card["formation"] == 2
    assert "Each holds 2x2 smaller images" in (artifact / "README.md").read_text()
    assert len(found.dataset()) == 12
    assert all(check.holds is not False for check in verify(artifact))


@pytest.mark.parametrize("tiles", [torch.tensor([2, 2]), torch.tensor(2.5), torch.tensor(3), torch.tensor(-2)])
def test_tiles_that_cannot_be_are_refused(artifact: Path, tmp_path: Path, tiles: torch.Tensor) -> None:
    for name in (CARD, TENSORS):
        shutil.copy(artifact / name, tmp_path / name)
    write_tensors(tmp_path / TENSORS, {**read_tensors(tmp_path / TENSORS)[0], "formation": tiles})
    with pytest.raises(InputError, match="formation"):
        SyntheticSet.load(tmp_path)


def test_networks_train_on_the_tiles_at_the_bytes_of_the_images(artifact: Path) -> None:
    found = SyntheticSet.load(artifact)
    subject = of_set(found, "unpacked", Protocol("dm").resolve("", found.spec))
    own = subject.draw(0, torch.device("cpu"), Key(0))
    assert torch.equal(own.images(torch.arange(12)), unpacked(found.images, 2))
    assert own.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert subject.bytes == 3 * (3 * 8 * 8 * 4 + 8)
    data = Data(toys.toy(), toys.toy(), "toy")
    row = evaluate(
        found, data, networks=(toys.NETWORK,), repeats=1, protocol=Protocol(epochs=1), beside=(), machine="cpu"
    )[0]
    assert 0 <= row.mean <= 1


def test_the_format_of_other_code_holds_the_tiles(artifact: Path, tmp_path: Path) -> None:
    export(SyntheticSet.load(artifact), "pt", tmp_path / "out")
    assert torch.load(tmp_path / "out" / "images_best.pt", weights_only=True).shape == (12, 3, 8, 8)


def test_a_run_can_start_from_the_tiles(artifact: Path) -> None:
    found = distil(data=toys.toy((8, 8, 8)), method=DM(batch_real=4), ipc=3, steps=0, init=str(artifact))
    assert torch.equal(found.images[:3], unpacked(SyntheticSet.load(artifact).images[:1], 2)[:3])
