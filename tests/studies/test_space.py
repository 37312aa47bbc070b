"""The 720 networks."""

from collections import Counter

import pytest

from distillset.errors import InputError
from distillset.nets import Network, canonical
from distillset.studies.space import draw_networks, space
from tests import toys


def test_it_has_720_networks_of_different_names() -> None:
    found = space(toys.spec_of(3, 32, 32))
    assert len(found) == 4 * 4 * 3 * 5 * 3 == 720
    for field, values in {"depth": 4, "width": 4, "activation": 3, "norm": 5, "pooling": 3}.items():
        counts = Counter(getattr(config, field) for config in found.values())
        assert set(counts.values()) == {720 // values}, field
    assert "convnetd3" in found, "the field's own"
    assert all(canonical(name) == name for name in found)


def test_names_build_what_they_say() -> None:
    spec = toys.spec_of(1, 28, 28)
    found = space(spec)
    assert len(found) == 720
    for name in draw_networks(list(found), 12, 0):
        config, layers = found[name], [str(layer) for layer in Network.of(name, spec).module.modules()]
        convolutions = [text for text in layers if text.startswith(("GreyConv2d(", "Conv2d("))]
        assert len(convolutions) == config.depth
        assert all(f", {config.width}, kernel_size" in text for text in convolutions)
        poolings = {"none": 0, "max": config.depth, "avg": config.depth}[config.pooling]
        assert sum("Pool2d(" in text.split("\n")[0] for text in layers) == poolings


def test_what_would_pool_to_nothing_is_left_out() -> None:
    # Of 8 pixels a side a fourth pooling leaves nothing: 4 widths x 3 activations x 5 norms x 2 poolings are gone.
    spec = toys.spec_of(3, 8, 8)
    found = space(spec)
    assert len(found) == 720 - 120
    for name, config in found.items():
        if config.width == 32 and config.activation == "relu" and config.norm == "none":
            Network.of(name, spec)


def test_a_larger_sample_contains_a_smaller_one() -> None:
    names = [str(i) for i in range(50)]
    assert draw_networks(names, 24, 1)[:10] == draw_networks(names, 10, 1)
    assert draw_networks(names, 24, 1) != draw_networks(names, 24, 2)
    assert sorted(draw_networks(names, 50, 1)) == sorted(names)


@pytest.mark.parametrize("count", [3, 51])
def test_samples_out_of_range(count: int) -> None:
    with pytest.raises(InputError, match=f"networks={count}: must be from 4 to 50"):
        draw_networks([str(i) for i in range(50)], count, 0)
