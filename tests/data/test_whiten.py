"""ZCA whitening against cases that are known, and against its definition."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from distillset.data.whiten import EPS, Whitening, check_size
from distillset.distillation.whitening import chosen
from distillset.errors import InputError
from distillset.methods import DM
from tests import toys


def test_two_correlated_pixels_by_hand() -> None:
    """Pixels (a, b) in {(0,0), (0,51), (51,0), (51,51)} / 255, each of the equal ones three times: m = 0.1 each.

    Offsets are +-0.1. Sums of squares over 8 images: 8 * 0.01 = 0.08 each, of products 6 * 0.01 - 2 * 0.01 = 0.04. Over
    7: C = [[0.08, 0.04], [0.04, 0.08]] / 7 with eigenvalues 0.12/7 along (1, 1) and 0.04/7 along (1, -1). So W has
    w+ = (0.12/7 + 0.1)^-1/2 and w- = (0.04/7 + 0.1)^-1/2: (w+ + w-)/2 on its diagonal, (w+ - w-)/2 beside it.
    """
    pairs = [(0, 0)] * 3 + [(51, 51)] * 3 + [(0, 51), (51, 0)]
    pixels = torch.tensor(pairs, dtype=torch.uint8).view(8, 1, 1, 2)
    whitening = Whitening.fit(pixels)
    plus, minus = (0.12 / 7 + 0.1) ** -0.5, (0.04 / 7 + 0.1) ** -0.5
    same, other = (plus + minus) / 2, (plus - minus) / 2
    torch.testing.assert_close(whitening.matrix, torch.tensor([[same, other], [other, same]]), rtol=1e-6, atol=0)
    torch.testing.assert_close(whitening.mean, torch.tensor([0.1, 0.1]), rtol=1e-6, atol=0)
    found = whitening.apply(pixels[:1])
    torch.testing.assert_close(found.flatten(), torch.full((2,), -0.1 * plus), rtol=1e-5, atol=0)


def test_a_diagonal_covariance_scales_each_pixel() -> None:
    """Independent pixels: W = diag((variance + 0.1)^-1/2)."""
    values = torch.tensor([[0, 0], [0, 200], [100, 0], [100, 200]], dtype=torch.uint8)
    whitening = Whitening.fit(values.view(4, 2, 1, 1))
    variances = torch.tensor([50.0, 100.0]).square() * 4 / 3 / 255**2
    torch.testing.assert_close(whitening.matrix, torch.diag((variances + EPS).rsqrt()), rtol=1e-6, atol=1e-7)


def test_whitened_pixels_have_the_covariance_of_the_definition() -> None:
    """C W^2 = C (C + eps)^-1, whatever the data."""
    pixels = toys.toy((60, 60, 60), noise=60).images
    flat = pixels.flatten(1).double() / 255
    covariance = torch.cov(flat.T)
    expected = covariance @ torch.linalg.inv(covariance + EPS * torch.eye(192, dtype=torch.float64))
    found = torch.cov(Whitening.fit(pixels).apply(pixels).flatten(1).double().T)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_chunks_change_nothing() -> None:
    pixels = torch.randint(
        0, 256, (1500, 1, 3, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )  # more than a chunk
    whitening = Whitening.fit(pixels)
    flat = pixels.flatten(1).double() / 255
    values, vectors = torch.linalg.eigh(torch.cov(flat.T))
    expected = vectors @ torch.diag((values + EPS).rsqrt()) @ vectors.T
    torch.testing.assert_close(whitening.matrix.double(), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(whitening.mean.double(), flat.mean(0), rtol=1e-6, atol=0)


@given(seed=st.integers(0, 1000), channels=st.sampled_from([1, 3]))
def test_pictures_come_back(seed: int, channels: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (40, channels, 4, 5), generator=generator, dtype=torch.uint8)
    whitening = Whitening.fit(pixels)
    assert torch.equal(whitening.pictures(whitening.apply(pixels)), pixels)
    torch.testing.assert_close(whitening.invert(whitening.apply(pixels)), pixels / 255, rtol=0, atol=1e-5)


def test_a_real_set_draws_whitened_images_and_can_be_changed_back() -> None:
    real = toys.toy()
    whitening = Whitening.fit(real.images)
    rows = torch.tensor([3, 0])
    whitened = real.whitened(whitening)
    assert torch.equal(whitened.rows(rows), whitening.apply(real.images[rows]))
    assert whitened.fingerprint() == real.fingerprint()
    assert torch.equal(whitened.subset(rows).rows(torch.tensor([0, 1])), whitening.apply(real.images[rows]))
    assert torch.equal(whitened.whitened(None).rows(rows), real.rows(rows))


def test_it_is_kept_with_the_data_it_belongs_to(tmp_path: Path) -> None:
    whitening = Whitening.fit(toys.toy().images)
    whitening.save(tmp_path / "w.safetensors", "abc")
    assert Whitening.load(tmp_path / "w.safetensors", "abc").fingerprint() == whitening.fingerprint()
    with pytest.raises(InputError, match="was fitted to data abc, not to xyz"):
        Whitening.load(tmp_path / "w.safetensors", "xyz")


def test_sizes() -> None:
    check_size(3 * 32 * 32, False)
    with pytest.raises(InputError, match=r"whiten='zca': images of 12,288 numbers need a matrix of 0.6 GB"):
        check_size(3 * 64 * 64, False)
    check_size(3 * 64 * 64, True)
    with pytest.raises(InputError, match="at least 2"):
        Whitening.fit(torch.zeros(1, 1, 2, 2, dtype=torch.uint8))


@pytest.mark.parametrize(
    ("whiten", "size", "name"),
    [("auto", 64, "none"), ("none", 64, "none"), ("zca", 32, "zca"), ("zca-large", 64, "zca")],
)
def test_large_images_are_whitened_where_that_is_said(whiten: str, size: int, name: str) -> None:
    assert chosen(whiten, DM(), toys.spec_of(3, size, size), 1) == name


def test_what_cannot_be_whitened_is_named() -> None:
    spec = toys.spec_of(3, 64, 64)
    with pytest.raises(InputError, match=r"whiten='zca': images of 12,288 numbers .* more with `whiten='zca-large'`"):
        chosen("zca", DM(), spec, 1)
    with pytest.raises(InputError, match="whiten='pca': choose auto, none, zca, zca-large"):
        chosen("pca", DM(), spec, 1)


def test_halves_do_not_make_a_whole() -> None:
    whitening = Whitening.fit(toys.toy().images)
    tensors = whitening.tensors()
    assert Whitening.of({}) is None
    found = Whitening.of(tensors)
    assert found is not None
    assert found.fingerprint() == whitening.fingerprint()
    for name in tensors:
        with pytest.raises(InputError, match=f"{name}: found without the other half"):
            Whitening.of({name: tensors[name]})
    with pytest.raises(InputError, match="do not fit"):
        Whitening(tensors["zca_matrix"][:5], tensors["zca_mean"])
    with pytest.raises(InputError, match="must be float32"):
        Whitening(tensors["zca_matrix"].double(), tensors["zca_mean"].double())
