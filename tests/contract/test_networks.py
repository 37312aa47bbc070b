"""What every row of NETWORKS must keep."""

import pytest
import torch
from torch import nn

from distillset.data.spec import Spec
from distillset.engine import embedding, logits
from distillset.errors import InputError
from distillset.keys import Key
from distillset.nets import NETWORKS, build, fresh, mixes_images
from tests import toys

SPECS = [toys.spec_of(3, 32, 32, 4), toys.spec_of(1, 28, 28, 4), toys.spec_of(1, 8, 8, 4), toys.spec_of(4, 20, 33, 4)]
every = pytest.mark.parametrize("name", NETWORKS)
every_spec = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: "x".join(map(str, spec.shape)))


def blank(spec: Spec, n: int = 3) -> torch.Tensor:
    return torch.randn(n, *spec.shape, generator=torch.Generator().manual_seed(0))


@every
@every_spec
def test_logits_are_a_linear_map_of_the_embedding(name: str, spec: Spec) -> None:
    network = build(name, spec)
    features = network.embed(blank(spec))  # type: ignore[operator]
    result = network(blank(spec))
    assert features.dim() == 2
    assert result.shape == (3, spec.classes)
    classifiers = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    torch.testing.assert_close(classifiers[-1](features), result)


@every
@every_spec
def test_one_image_alone_gives_what_it_gives_in_a_batch(name: str, spec: Spec) -> None:
    network = build(name, spec)
    assert not mixes_images(network)
    together = network(blank(spec))
    torch.testing.assert_close(
        torch.cat([network(image[None]) for image in blank(spec)]), together, rtol=1e-4, atol=1e-5
    )


@every
def test_fresh_is_a_function_of_the_key_alone(name: str) -> None:
    spec = SPECS[0]
    first = fresh(build(name, spec), Key(1)("network"))
    torch.manual_seed(4)
    before = torch.get_rng_state()
    used = build(name, spec)
    nn.init.zeros_(next(used.parameters()))
    again, other = fresh(used, Key(1)("network")), fresh(used, Key(2)("network"))
    assert torch.equal(torch.get_rng_state(), before), "the caller's random state is left alone"
    assert first.keys() == again.keys() == dict(used.named_parameters()).keys() | dict(used.named_buffers()).keys()
    assert all(torch.equal(first[key], again[key]) for key in first)
    weights = [key for key in first if first[key].dim() > 1]
    assert weights
    assert not any(torch.equal(first[key], other[key]) for key in weights)
    assert not any(value.requires_grad for value in first.values())


@every
def test_a_fresh_state_is_a_copy(name: str) -> None:
    network = build(name, SPECS[0])
    first = fresh(network, Key(1))
    kept = {key: value.clone() for key, value in first.items()}
    fresh(network, Key(2))
    assert all(torch.equal(first[key], kept[key]) for key in first)


@every
def test_pure_functions_do_not_touch_the_module(name: str) -> None:
    spec = SPECS[2]
    network = build(name, spec)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    state = fresh(build(name, spec), Key(3))
    features, result = embedding(network)(state, blank(spec)), logits(network)(state, blank(spec))
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    network.load_state_dict(state)
    assert torch.equal(network.embed(blank(spec)), features)  # type: ignore[operator]
    assert torch.equal(network(blank(spec)), result)


@every
def test_pixels_get_a_gradient(name: str) -> None:
    spec = SPECS[0]
    images = blank(spec).requires_grad_()
    (gradient,) = torch.autograd.grad(build(name, spec)(images).square().sum(), images)
    assert all(float(part.abs().max()) > 0 for part in gradient)


@every
def test_any_case(name: str) -> None:
    spec = SPECS[2]
    assert str(build(name.upper(), spec)) == str(build(name.lower(), spec))


@pytest.mark.parametrize("name", ["", "perceptron", "convnet/../x", "ConvNetD4W"])
def test_unknown_names(name: str) -> None:
    with pytest.raises(InputError, match="not known; choose convnet"):
        build(name, SPECS[0])


def test_batch_norm_mixes_images() -> None:
    assert mixes_images(build("ConvNetBN", SPECS[0]))
    assert not mixes_images(build("ConvNetLN", SPECS[0]))
