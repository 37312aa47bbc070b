"""Where images start: by name, or from an artifact."""

import dataclasses
from pathlib import Path

import pytest
import torch

from distillset.coresets import select
from distillset.data.real import RealSet
from distillset.data.spec import Spec
from distillset.data.synthetic import SyntheticSet
from distillset.data.whiten import Whitening
from distillset.distillation.initial import INITS, initial
from distillset.errors import InputError
from distillset.keys import Key
from tests import toys

KEY = Key(3)("init")


@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("ipc", [1, 3, 6, 20])
def test_any_ipc_class_by_class(init: str, ipc: int) -> None:
    real = toys.toy(noise=5)
    images = initial(init, real, ipc, KEY)
    assert images.shape == (3 * ipc, 3, 8, 8)
    assert images.dtype == torch.float32
    assert torch.isfinite(images).all()
    assert torch.equal(images, initial(init, real, ipc, KEY))
    assert not torch.equal(images, initial(init, real, ipc, Key(4)("init"))) or init == "kmeans"
    if init != "noise":  # every image is nearest to its own class's mean: the toy's patterns are far apart
        means = torch.stack([real.rows(real.index(c)).mean(0) for c in range(3)])
        nearest = torch.cdist(images.flatten(1), means.flatten(1)).argmin(1)
        assert nearest.tolist() == [c for c in range(3) for _ in range(ipc)]


def test_real_images_are_real_and_different() -> None:
    real = toys.toy()
    images = initial("real", real, 5, KEY)
    for c in range(3):
        own = real.rows(real.index(c)).flatten(1)
        distances = torch.cdist(images[5 * c : 5 * c + 5].flatten(1), own, compute_mode="donot_use_mm_for_euclid_dist")
        rows = distances.argmin(1)
        assert torch.equal(own[rows], images[5 * c : 5 * c + 5].flatten(1))
        assert len(set(rows.tolist())) == 5


def test_noise_is_standard_normal() -> None:
    noise = initial("noise", toys.toy(), 50, KEY)  # 28,800 numbers: the mean is within 5 standard errors of 0.006
    assert abs(float(noise.mean())) < 0.03
    assert float(noise.std()) == pytest.approx(1, abs=0.025)


def test_one_kmeans_centre_is_the_mean() -> None:
    real = toys.toy()
    means = torch.stack([real.rows(real.index(c)).mean(0) for c in range(3)])
    torch.testing.assert_close(initial("kmeans", real, 1, KEY), means, rtol=0, atol=1e-5)


def test_kmeans_finds_the_clusters() -> None:
    # Two tight clusters per class, at 40 and 200 in class 0, at 80 and 160 in class 1.
    values = torch.tensor([40] * 6 + [200] * 3 + [80] * 4 + [160] * 4)
    images = values.view(-1, 1, 1, 1).expand(-1, 1, 8, 8).to(torch.uint8)
    labels = torch.tensor([0] * 9 + [1] * 8)
    real = RealSet.from_arrays(images.contiguous(), labels, mean=[0.0], std=[1.0])
    centres = initial("kmeans", real, 2, KEY).mean((1, 2, 3)) * 255
    assert sorted(centres[:2].round().tolist()) == [40, 200]
    assert sorted(centres[2:].round().tolist()) == [80, 160]


def test_an_artifact_gives_its_first_images(tmp_path: Path) -> None:
    real = toys.toy()
    earlier = select(real, "random", 4, seed=2)
    earlier.save(tmp_path)
    assert torch.equal(initial(str(tmp_path), real, 4, KEY), earlier.images)
    assert torch.equal(initial(str(tmp_path), real, 1, KEY), earlier.images[::4])
    with pytest.raises(InputError, match=f"init='{tmp_path}': holds 4 images of class '0'; `ipc=5` needs 5"):
        initial(str(tmp_path), real, 5, KEY)


def test_an_artifact_normalised_otherwise_shows_the_same_pictures(tmp_path: Path) -> None:
    real = toys.toy()
    earlier = select(real, "random", 2)
    earlier.save(tmp_path)
    spec = dataclasses.replace(real.spec, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    images = initial(str(tmp_path), RealSet(real.images, real.labels, spec), 2, KEY)
    assert not torch.equal(images, earlier.images)
    assert torch.equal(spec.denormalise(images), earlier.pixels)


def test_an_artifact_of_other_data_is_refused(tmp_path: Path) -> None:
    select(toys.toy(), "random", 2).save(tmp_path)
    for other in (toys.toy((5, 5)), toys.toy(shape=(1, 8, 8)), toys.toy(shape=(3, 8, 9))):
        with pytest.raises(InputError, match="do not fit"):
            initial(str(tmp_path), other, 2, KEY)


def test_images_of_an_artifact_are_taken_by_their_labels(tmp_path: Path) -> None:
    spec = Spec("toy", 1, 2, 2, ("a", "b"), (0.0,), (1.0,))
    images = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 1, 2, 2).contiguous()
    SyntheticSet(images, torch.tensor([1, 0, 1, 0]), spec).save(tmp_path)
    real = RealSet(torch.zeros(2, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 1]), spec)
    assert initial(str(tmp_path), real, 2, KEY)[:, 0, 0, 0].tolist() == [1, 3, 0, 2]


def test_neither_a_name_nor_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="init='perfect': choose real, noise, kmeans, or the folder"):
        initial("perfect", toys.toy(), 1, KEY)
    with pytest.raises(InputError, match=r"no card\.json"):
        initial(str(tmp_path), toys.toy(), 1, KEY)


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("after", [False, True])
def test_an_artifact_starts_a_run_under_another_whitening(tmp_path: Path, before: bool, after: bool) -> None:
    plain = toys.toy()
    one, other = Whitening.fit(plain.images), Whitening.fit(plain.images[:12])
    rows = torch.cat([plain.index(c)[:2] for c in range(3)])
    old, new = plain.whitened(one if before else None), plain.whitened(other if after else None)
    SyntheticSet(old.rows(rows), plain.labels[rows], plain.spec, whitening=old.whitening).save(tmp_path / "a")
    found = initial(str(tmp_path / "a"), new, 2, KEY)
    torch.testing.assert_close(found, new.rows(rows), rtol=1e-4, atol=1e-4)
    again = initial(str(tmp_path / "a"), old, 2, KEY)
    assert torch.equal(again, old.rows(rows))


@pytest.mark.parametrize("init", INITS)
def test_starts_are_whitened(init: str) -> None:
    real = toys.toy()
    whitening = Whitening.fit(real.images)
    found, plain = initial(init, real.whitened(whitening), 2, KEY), initial(init, real, 2, KEY)
    if init == "noise":
        assert torch.equal(found, plain)
    elif init == "real":
        torch.testing.assert_close(found, whitening.apply(real.spec.denormalise(plain)), rtol=1e-4, atol=1e-5)
    else:
        assert not torch.equal(found, plain)
