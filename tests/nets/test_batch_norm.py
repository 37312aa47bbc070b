"""Calibration is exact, changes nothing it should not, and is not what the published code does."""

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from distillset.engine import embedding
from distillset.errors import InputError
from distillset.keys import Key
from distillset.nets import batch_norm, build, calibrated, fresh
from tests import toys

SPEC = toys.spec_of(3, 8, 8, 3)


def images_of(n: int, mean: float = 5.0) -> Tensor:
    generator = torch.Generator().manual_seed(n)
    return torch.randn(n, 3, 8, 8, generator=generator, dtype=torch.float64) * 2 + mean


def network(name: str = "ConvNetD2W8BN") -> tuple[nn.Module, dict[str, Tensor]]:
    module = build(name, SPEC).double().eval()
    return module, fresh(module, Key(0))


def test_running_statistics_are_those_of_the_real_images() -> None:
    module, state = network()
    images = images_of(20)
    found = calibrated(module, state, images)
    inputs = images
    for block in (
        0,
        4,
    ):  # convolution, norm, ReLU, pooling; each layer's inputs were normalised by their own statistics
        weight, bias = state[f"features.{block}.weight"], state[f"features.{block}.bias"]
        inputs = nn.functional.conv2d(inputs, weight, bias, padding=1)
        pooled = inputs.transpose(0, 1).flatten(1)
        mean, variance = pooled.mean(1), pooled.var(1)
        torch.testing.assert_close(found[f"features.{block + 1}.running_mean"], mean, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(found[f"features.{block + 1}.running_var"], variance, rtol=1e-12, atol=0)
        centred = inputs - inputs.mean((0, 2, 3), keepdim=True)
        inputs = centred / (centred.square().mean((0, 2, 3), keepdim=True) + 1e-5).sqrt()
        inputs = nn.functional.avg_pool2d(inputs.relu(), 2)


def test_it_is_pytorch_s_cumulative_average() -> None:
    module, state = network()
    images = images_of(12)
    reference = build("ConvNetD2W8BN", SPEC).double().train()
    reference.load_state_dict(state)
    for layer in reference.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None
    reference(images)
    found = calibrated(module, state, images)
    assert found.keys() == reference.state_dict().keys()
    for name, value in reference.state_dict().items():
        torch.testing.assert_close(found[name], value, rtol=1e-12, atol=1e-12)


def test_the_published_momentum_would_keep_nine_tenths_of_the_initial_statistics() -> None:
    """Calibration as published: one pass in training mode. A true mean of 5 becomes 0.5."""
    norm, images = nn.BatchNorm2d(3).double(), images_of(64)
    norm.train()(images)
    true = images.mean((0, 2, 3))
    torch.testing.assert_close(norm.running_mean, 0.1 * true)
    state = fresh(norm, Key(0))
    torch.testing.assert_close(calibrated(norm.eval(), state, images)["running_mean"], true, rtol=1e-12, atol=0)


@pytest.mark.parametrize("count", [7, 8, 24])
def test_moments_of_several_passes_are_pooled(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One layer, so that its inputs do not depend on the passes: sorted images, and parts of unequal size."""
    monkeypatch.setattr(batch_norm, "PIXELS", 3 * 8 * 8)
    images = torch.cat([images_of(count // 2, -4.0), images_of(count - count // 2, 9.0)])
    norm = nn.BatchNorm2d(3).double().eval()
    found = calibrated(norm, fresh(norm, Key(0)), images)
    pooled = images.transpose(0, 1).flatten(1)
    torch.testing.assert_close(found["running_mean"], pooled.mean(1), rtol=1e-12, atol=0)
    torch.testing.assert_close(found["running_var"], pooled.var(1), rtol=1e-12, atol=0)
    assert int(found["num_batches_tracked"]) == -(-count // 3)


def test_several_passes_come_close_in_a_deep_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part of a sorted set has images of all classes; parts of one class would be normalised by their own mean."""
    module, state = network()
    images = torch.cat([images_of(64, mean) for mean in (-3.0, 0.0, 3.0)])
    exact = calibrated(module, state, images)
    monkeypatch.setattr(batch_norm, "PIXELS", 48 * 8 * 8)
    parts = calibrated(module, state, images)
    for name, value in exact.items():
        if "running" in name:
            torch.testing.assert_close(parts[name], value, rtol=0.15, atol=0.05)


def test_nothing_else_changes() -> None:
    module, state = network()
    module.train()
    module.features[2].eval()  # type: ignore[index, union-attr]
    modes = [layer.training for layer in module.modules()]
    own = {name: value.clone() for name, value in module.state_dict().items()}
    before = {name: value.clone() for name, value in state.items()}
    images = images_of(6)
    found = calibrated(module, state, images)
    assert [layer.training for layer in module.modules()] == modes
    assert not any(layer._forward_pre_hooks for layer in module.modules())
    assert all(torch.equal(value, own[name]) for name, value in module.state_dict().items())
    assert all(torch.equal(value, before[name]) for name, value in state.items())
    for name, value in found.items():
        assert (value is state[name]) == ("running" not in name and "tracked" not in name)
        assert value.dtype == state[name].dtype
        assert not value.requires_grad


def test_without_batch_norm_the_state_is_itself() -> None:
    module, state = network("ConvNetD1W8")
    assert calibrated(module, state, images_of(4)) is state


def test_frozen_statistics_do_not_mix_images() -> None:
    module, state = network()
    images = images_of(5)
    found = calibrated(module, state, images_of(30))
    together = embedding(module)(found, images)
    apart = torch.cat([embedding(module)(found, image[None]) for image in images])
    torch.testing.assert_close(together, apart, rtol=1e-12, atol=1e-12)
    norm = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).double().eval()
    centred = functional_call(norm, calibrated(norm, fresh(norm, Key(1)), images_of(30)), (images_of(30),))
    assert float(centred.mean((0, 2, 3)).abs().max()) < 1e-9


def test_dropout_is_off_while_calibrating() -> None:
    module = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm2d(3)).double().train()
    images = images_of(10)
    found = calibrated(module, fresh(module, Key(0)), images)
    torch.testing.assert_close(found["1.running_mean"], images.mean((0, 2, 3)), rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("layer", "told"),
    [
        (nn.BatchNorm2d(3, track_running_stats=False), "BatchNorm2d without running statistics"),
        (nn.InstanceNorm2d(3, track_running_stats=True), "InstanceNorm2d with running statistics"),
    ],
)
def test_norms_that_cannot_be_frozen_are_named(layer: nn.Module, told: str) -> None:
    with pytest.raises(InputError, match=f"network mine: layer 1 is {told}"):
        batch_norm.check(nn.Sequential(nn.ReLU(), layer), "mine")
    batch_norm.check(nn.Sequential(nn.BatchNorm2d(3), nn.InstanceNorm2d(3), nn.GroupNorm(3, 3)), "mine")
