"""ConvNet: the published structure, counted by hand, and its norm against PyTorch's own."""

import pytest
import torch
from torch import Tensor, nn

from distillset.errors import InputError
from distillset.keys import Key
from distillset.nets import build, fresh
from distillset.nets.convnet import FAMILY, ConvNetConfig, default_depth
from distillset.nets.layers import GreyConv2d, InstanceNorm
from tests import toys


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
@pytest.mark.parametrize("shape", [(4, 3, 8, 8), (2, 5, 7, 4), (3, 2, 1, 2)])
def test_instance_norm_is_group_norm(dtype: torch.dtype, tolerance: float, shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    channels = shape[1]

    def random(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator, dtype=torch.float64).to(dtype)

    images, weight, bias, outward = random(*shape) * 3 + 2, random(channels), random(channels), random(*shape)
    found = []
    for layer in (InstanceNorm(channels), nn.GroupNorm(channels, channels)):
        layer.to(dtype).load_state_dict({"weight": weight, "bias": bias})
        leaf = images.clone().requires_grad_()
        result = layer(leaf)
        gradients = torch.autograd.grad((result * outward).sum(), [leaf, layer.weight, layer.bias])
        found.append((result.detach(), *gradients))
    for ours, theirs in zip(*found, strict=True):
        assert ours.dtype == dtype
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance * 10)


@pytest.mark.parametrize(("kernel", "padding"), [(3, 1), (3, 3), (5, 0), (5, 2), (5, 4), (3, 0)])
def test_the_grey_convolution_is_a_convolution(kernel: int, padding: int) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, 1, 7, 5, generator=generator, dtype=torch.float64)
    grey, plain = (layer(1, 6, kernel, padding=padding, dtype=torch.float64) for layer in (GreyConv2d, nn.Conv2d))
    plain.load_state_dict(grey.state_dict())
    found = []
    for layer in (grey, plain):
        leaf = images.clone().requires_grad_()
        result = layer(leaf)
        found.append((result, *torch.autograd.grad(result.square().sum(), [leaf, *layer.parameters()])))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_instance_norm_of_bf16_has_exact_statistics() -> None:
    # 8 + k/1024 is not representable in bf16, but the statistics of what is must not be rounded in between.
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)).bfloat16()
    result = InstanceNorm(3)(images)
    assert result.dtype == torch.bfloat16
    exact = nn.GroupNorm(3, 3)(images.float())
    torch.testing.assert_close(result.float(), exact, rtol=0.005, atol=0.005)


@pytest.mark.parametrize(
    ("shape", "classes", "count"),
    [
        # 3x3 convolutions of width 128 (27*128, twice 1152*128) with bias, scale and shift (3*384), 2048 features.
        ((3, 32, 32), 10, 3456 + 2 * 147_456 + 3 * 384 + 20_490),
        ((1, 28, 28), 10, 1152 + 2 * 147_456 + 3 * 384 + 20_490),
        ((3, 32, 32), 100, 3456 + 2 * 147_456 + 3 * 384 + 204_900),
    ],
)
def test_published_parameter_counts(shape: tuple[int, int, int], classes: int, count: int) -> None:
    known = {((3, 32, 32), 10): 320_010, ((1, 28, 28), 10): 317_706, ((3, 32, 32), 100): 504_420}
    network = build("convnet", toys.spec_of(*shape, classes))
    assert sum(parameter.numel() for parameter in network.parameters()) == count == known[shape, classes]


@pytest.mark.parametrize(
    ("shape", "features"),
    [
        ((3, 32, 32), 2048), ((1, 28, 28), 2048), ((1, 32, 32), 2048), ((3, 28, 28), 128 * 3 * 3),
        ((1, 8, 8), 128 * 16),
        ((3, 64, 64), 2048), ((3, 24, 40), 128 * 3 * 5), ((1, 16, 16), 128 * 16), ((4, 9, 14), 128 * 4 * 7),
    ],
)  # fmt: skip
def test_embedding_and_logits(shape: tuple[int, int, int], features: int) -> None:
    network = build("convnet", toys.spec_of(*shape, classes=7))
    images = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    assert network.embed(images).shape == (2, features)  # type: ignore[operator]
    assert network(images).shape == (2, 7)


@pytest.mark.parametrize(
    ("size", "depth"), [(8, 1), (16, 2), (28, 3), (32, 3), (64, 4), (128, 5), (256, 6), (4, 1), (224, 6)]
)
def test_default_depth(size: int, depth: int) -> None:
    assert default_depth(size, size) == depth
    assert default_depth(size, 2 * size) == depth == default_depth(3 * size, size)


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("ConvNet", ConvNetConfig()),
        ("convnet", ConvNetConfig()),
        ("ConvNetD4", ConvNetConfig(depth=4)),
        ("ConvNetW256", ConvNetConfig(width=256)),
        ("ConvNetD1W8", ConvNetConfig(depth=1, width=8)),
        ("ConvNetAS", ConvNetConfig(activation="sigmoid")),
        ("ConvNetAR", ConvNetConfig()),
        ("ConvNetAL", ConvNetConfig(activation="leakyrelu")),
        ("ConvNetASwish", ConvNetConfig(activation="swish")),
        ("ConvNetASwishBN", ConvNetConfig(activation="swish", norm="batch")),
        ("ConvNetBNASwish", ConvNetConfig(activation="swish", norm="batch")),
        ("convnetnp_gn_alw16d2", ConvNetConfig(16, 2, "leakyrelu", "group", "none")),
        ("CONVNETASNNNP", ConvNetConfig(activation="sigmoid", norm="none", pooling="none")),
        ("ConvNetNN", ConvNetConfig(norm="none")),
        ("ConvNetBN", ConvNetConfig(norm="batch")),
        ("ConvNetLN", ConvNetConfig(norm="layer")),
        ("ConvNetIN", ConvNetConfig()),
        ("ConvNetGN", ConvNetConfig(norm="group")),
        ("ConvNetNP", ConvNetConfig(pooling="none")),
        ("ConvNetMP", ConvNetConfig(pooling="max")),
        ("ConvNetAP", ConvNetConfig()),
    ],
)
def test_published_names(name: str, config: ConvNetConfig) -> None:
    fields = FAMILY.fields(name)
    assert fields is not None
    assert ConvNetConfig(**fields) == config
    assert FAMILY.fields(FAMILY.canonical(fields)) == fields


@pytest.mark.parametrize(
    "name",
    ["", "ConvNe", "ConvNetD", "ConvNetW", "ConvNetX", "ConvNet3", "ConvNetBNBN", "ConvNetBNIN", "ConvNetD3D3", "MLP",
     "ConvNet ", "ConvNet_", "ConvNetD-1", "ConvNetD\u0663", "ConvNetA", "ConvNetALN", "ConvNetD9999999"],
)  # fmt: skip
def test_other_names_are_not_of_the_family(name: str) -> None:
    assert FAMILY.fields(name) is None
    if name != "MLP":
        with pytest.raises(InputError, match=r"not known; choose (convnet|ConvNet)"):
            build(name, toys.spec_of(3, 8, 8))


@pytest.mark.parametrize("name", ["ConvNetD0", "ConvNetW0", "ConvNetD4", "ConvNetW6GN", "ConvNetW8193", "ConvNetD65NP"])
def test_impossible_networks_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="ConvNet"):
        build(name, toys.spec_of(3, 8, 8))


def test_unknown_parts_are_named() -> None:
    for field in ("activation", "norm", "pooling"):
        with pytest.raises(InputError, match=f"{field}='odd': choose one of"):
            ConvNetConfig(**{field: "odd"})  # type: ignore[arg-type]


def test_an_embedding_by_hand() -> None:
    """One channel, no norm: convolution, ReLU and mean of 2x2, then the classifier."""
    network = build("ConvNetD1W1NN", toys.spec_of(1, 2, 2, classes=2))
    state = {
        "features.0.weight": torch.zeros(1, 1, 3, 3), "features.0.bias": torch.tensor([0.5]),
        "classifier.weight": torch.tensor([[1.0], [-2.0]]), "classifier.bias": torch.tensor([0.0, 1.0]),
    }  # fmt: skip
    state["features.0.weight"][0, 0, 1, 1] = 2.0
    network.load_state_dict(state)
    # 2x + 0.5 is 2.5, -3.5, 4.5, 0.5; ReLU and mean: (2.5 + 0 + 4.5 + 0.5) / 4.
    logits = network(torch.tensor([[[[1.0, -2.0], [2.0, 0.0]]]]))
    assert logits.tolist() == [[1.875, -2.75]]


def test_fresh_is_pytorch_s_initialisation() -> None:
    spec = toys.spec_of(3, 32, 32)
    state = fresh(build("convnet", spec), Key(0)("network"))
    for name, fan_in in (("features.0", 27), ("features.4", 1152), ("classifier", 2048)):
        bound = fan_in**-0.5  # kaiming_uniform with a = sqrt(5)
        for part in ("weight", "bias"):
            values = state[f"{name}.{part}"]
            assert float(values.abs().max()) <= bound
            assert float(values.abs().max()) > 0.8 * bound
        assert float(state[f"{name}.weight"].std()) == pytest.approx(bound / 3**0.5, rel=0.05)
    assert torch.equal(state["features.1.weight"], torch.ones(128))
    assert torch.equal(state["features.1.bias"], torch.zeros(128))
