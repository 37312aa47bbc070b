"""The published networks: parameters counted by hand, structure against PyTorch's own layers, one network a name."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distillset.errors import InputError
from distillset.keys import Key
from distillset.nets import NETWORKS, POOLS, Network, build, canonical, fresh, pool
from distillset.nets.layers import Resize
from tests import toys

RGB, MNIST = (3, 32, 32), (1, 28, 28)


def convolution(inputs: int, outputs: int, kernel: int = 3, bias: int = 1) -> int:
    return inputs * kernel * kernel * outputs + bias * outputs


def linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def alexnet(channels: int, features: int, classes: int = 10) -> int:
    body = convolution(128, 192, 5) + convolution(192, 256) + convolution(256, 192) + convolution(192, 192)
    return convolution(channels, 128, 5) + body + linear(features, classes)


def vgg(channels: int, classes: int = 10) -> int:
    widths = (channels, 64, 128, 256, 256, 512, 512, 512, 512)
    norms = 2 * sum(widths[1:])  # scale and shift
    return sum(map(convolution, widths, widths[1:])) + norms + linear(512, classes)


def resnet(channels: int, features: int = 512, classes: int = 10) -> int:
    total = convolution(channels, 64, bias=0) + 2 * 64
    inputs = 64
    for outputs in (64, 128, 256, 512):
        total += convolution(inputs, outputs, bias=0) + 3 * convolution(outputs, outputs, bias=0) + 4 * 2 * outputs
        if inputs != outputs:
            total += convolution(inputs, outputs, 1, bias=0) + 2 * outputs
        inputs = outputs
    return total + linear(features, classes)


@pytest.mark.parametrize(
    ("name", "shape", "worked", "count"),
    [
        ("MLP", RGB, linear(3072, 128) + linear(128, 128) + linear(128, 10), 411_146),
        ("MLP", MNIST, linear(784, 128) + linear(128, 128) + linear(128, 10), 118_282),
        # LeCun's 62,006 with three channels; 5x5 maps after both poolings in either case.
        ("LeNet", RGB, convolution(3, 6, 5) + convolution(6, 16, 5) + linear(400, 120) + linear(120, 84) + 850, 62_006),
        ("LeNet", MNIST, convolution(1, 6, 5) + convolution(6, 16, 5) + 48_120 + 10_164 + 850, 61_706),
        ("AlexNet", RGB, alexnet(3, 192 * 4 * 4), 1_872_202),
        ("AlexNet", MNIST, alexnet(1, 192 * 4 * 4), 1_865_802),
        ("AlexNetBN", RGB, alexnet(3, 3072) + 2 * (128 + 192 + 256 + 192 + 192), 1_874_122),
        ("VGG11", RGB, vgg(3), 9_231_114),
        ("VGG11BN", RGB, vgg(3), 9_231_114),
        ("VGG11", MNIST, vgg(1), 9_229_962),
        ("ResNet18", RGB, resnet(3), 11_173_962),
        ("ResNet18BN", RGB, resnet(3), 11_173_962),
        ("ResNet18", MNIST, resnet(1), 11_172_810),
        ("ResNet18_AP", RGB, resnet(3, 512 * 4 * 4), 11_250_762),
        ("ResNet18_AP", MNIST, resnet(1, 512 * 3 * 3), 11_213_770),  # 28, 14, 7, 3 across
        ("ResNet18BN_AP", RGB, resnet(3, 512 * 4 * 4), 11_250_762),
        ("ConvNetW32", RGB, convolution(3, 32) + 2 * convolution(32, 32) + 3 * 64 + linear(512, 10), 24_714),
        ("ConvNetD1", RGB, convolution(3, 128) + 256 + linear(128 * 256, 10), 331_530),
        ("ConvNetLN", RGB, 320_010 - 3 * 256 + 2 * 128 * (1024 + 256 + 64), 663_306),
        ("ConvNetNN", RGB, 320_010 - 3 * 256, 319_242),
        ("ConvNetNP", RGB, 320_010 + 10 * 128 * (1024 - 16), 1_610_250),
    ],
)
def test_parameters_by_hand(name: str, shape: tuple[int, int, int], worked: int, count: int) -> None:
    network = build(name, toys.spec_of(*shape))
    assert sum(parameter.numel() for parameter in network.parameters()) == worked == count


def textbook(name: str, channels: int) -> nn.Module:
    """LeNet, AlexNet and VGG11 for 32 pixels of `torch.nn` alone, in the order in which ours hold their numbers."""
    if name == "LeNet":
        return nn.Sequential(
            nn.Conv2d(channels, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
        )  # fmt: skip
    layers: list[nn.Module] = []
    if name == "AlexNet":
        for inputs, outputs, kernel in ((channels, 128, 5), (128, 192, 5), (192, 256, 3), (256, 192, 3), (192, 192, 3)):
            layers += [nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2), nn.ReLU()]
            layers += [] if outputs == 256 or inputs == 256 else [nn.MaxPool2d(2)]
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(3072, 10))
    for inputs, outputs, pooled in (
        (channels, 64, True), (64, 128, True), (128, 256, False), (256, 256, True), (256, 512, False), (512, 512, True),
        (512, 512, False), (512, 512, True),
    ):  # fmt: skip
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.GroupNorm(outputs, outputs), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if pooled else []
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, 10))


def blank(n: int, *shape: int) -> Tensor:
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["LeNet", "AlexNet", "VGG11"])
@pytest.mark.parametrize("channels", [1, 3])
def test_at_32_pixels_they_are_the_textbook_s(name: str, channels: int) -> None:
    ours, plain = build(name, toys.spec_of(channels, 32, 32)), textbook(name, channels)
    state = fresh(ours, Key(0))
    ours.load_state_dict(state)
    plain.load_state_dict(dict(zip(plain.state_dict(), state.values(), strict=True)))
    images = blank(2, channels, 32, 32)
    torch.testing.assert_close(ours(images), plain(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "border"), [("LeNet", 2), ("AlexNet", 2), ("VGG11", 2)])
def test_mnist_is_padded_to_32_by_the_first_convolution(name: str, border: int) -> None:
    """The textbook's network on images with a border of zeros, as far as the first convolution goes."""
    ours, plain = build(name, toys.spec_of(*MNIST)), textbook(name, 1)
    state = fresh(ours, Key(0))
    ours.load_state_dict(state)
    plain.load_state_dict(dict(zip(plain.state_dict(), state.values(), strict=True)))
    images = blank(2, *MNIST)
    torch.testing.assert_close(ours(images), plain(F.pad(images, (border,) * 4)), rtol=1e-4, atol=1e-5)


def residual(state: dict[str, Tensor], images: Tensor, pools: bool) -> Tensor:
    """ResNet18's logits from a state, with instance norm: He et al.'s basic block, written out."""
    numbers = iter(state.values())

    def normed(maps: Tensor) -> Tensor:
        return F.group_norm(maps, maps.shape[1], next(numbers), next(numbers))

    maps = F.conv2d(images, next(numbers), padding=1)
    maps = normed(maps).relu()
    for stage in range(4):
        for block in range(2):
            halve = stage > 0 and block == 0
            inner = F.conv2d(maps, next(numbers), stride=2 if halve and not pools else 1, padding=1)
            inner = normed(inner).relu()
            if halve and pools:
                inner = F.avg_pool2d(inner, 2)
            inner = normed(F.conv2d(inner, next(numbers), padding=1))
            if halve:
                maps = F.conv2d(maps, next(numbers), stride=1 if pools else 2)
                maps = normed(F.avg_pool2d(maps, 2) if pools else maps)
            maps = (inner + maps).relu()
    features = maps.flatten(1) if pools else F.avg_pool2d(maps, 4).flatten(1)
    return F.linear(features, next(numbers), next(numbers))


@pytest.mark.parametrize(("name", "pools"), [("ResNet18", False), ("ResNet18_AP", True)])
@pytest.mark.parametrize("shape", [RGB, MNIST, (3, 28, 28)])
def test_resnet_is_he_et_al_s(name: str, pools: bool, shape: tuple[int, int, int]) -> None:
    """At 28 pixels nothing is resized: 28, 14, 7, 4 across, as in the published code."""
    network = build(name, toys.spec_of(*shape))
    state = fresh(network, Key(0))
    network.load_state_dict(state)
    images = blank(2, *shape)
    torch.testing.assert_close(network(images), residual(state, images, pools), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["LeNet", "AlexNet", "VGG11", "ResNet18", "ResNet18_AP"])
@pytest.mark.parametrize("shape", [(3, 8, 8), (3, 27, 28), (1, 16, 16), (2, 20, 40)])
def test_small_sides_are_resized_to_32(name: str, shape: tuple[int, int, int]) -> None:
    channels, height, width = shape
    grown = (max(height, 32), max(width, 32))
    small, large = build(name, toys.spec_of(*shape)), build(name, toys.spec_of(channels, *grown))
    (resize,) = [layer for layer in small.modules() if isinstance(layer, Resize)]
    assert resize.size == grown
    state = fresh(large, Key(0))
    large.load_state_dict(state)
    small.load_state_dict(dict(zip(small.state_dict(), state.values(), strict=True)))
    images = blank(2, *shape)
    enlarged = F.interpolate(images, grown, mode="bilinear", align_corners=False)
    torch.testing.assert_close(small(images), large(enlarged), rtol=1e-4, atol=1e-5)


def test_a_resized_row_by_hand() -> None:
    """2 pixels to 4, at -0.25, 0.25, 0.75 and 1.25 of the old grid, clamped at the border."""
    found = Resize((1, 4))(torch.tensor([[[[0.0, 4.0]]]]))
    assert found.tolist() == [[[[0.0, 1.0, 3.0, 4.0]]]]


def test_one_network_has_one_name() -> None:
    same = {
        "convnet": ["ConvNet", "CONVNET", "ConvNetIN", "ConvNetW128", "ConvNetARAP", "convnet_w0128"],
        "convnetd4w256aswishbnmp": ["ConvNetD4W256ASwishBNMP", "ConvNetMPBNASwishW256D4"],
        "resnet18bnap": ["ResNet18BN_AP", "resnet18_apbn", "ResNet18APBN"],
        "alexnet": ["AlexNet", "AlexNetNN"],
        "vgg11": ["VGG11", "VGG11IN"],
        "vgg11bn": ["vgg11bn"],
        "mlp": ["MLP"],
        "lenet": ["LeNet"],
    }
    for one, names in same.items():
        assert canonical(one) == one
        assert {canonical(name) for name in names} == {one}
    assert len(set(same)) == len({canonical(one) for one in same})
    assert [canonical(name) for name in ("Mine:Make", "timm/ResNet", "what")] == ["Mine:Make", "timm/ResNet", "what"]


def test_the_title_is_what_was_asked_for() -> None:
    network = Network.of("ConvNetINW8", toys.spec_of(*RGB))
    assert (network.title, network.name) == ("ConvNetINW8", "convnetw8")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("ResNet18X", r"choose ResNet18 \[NN, BN, LN, IN, GN\] \[AP\]"),
        ("ResNet19", "choose convnet, mlp, lenet, alexnet, vgg11, resnet18"),
        ("MLPBN", "choose MLP,"),
        ("VGG11AP", r"choose VGG11 \[NN, BN, LN, IN, GN\],"),
    ],
)
def test_a_wrong_name_is_told_what_the_family_takes(name: str, told: str) -> None:
    with pytest.raises(InputError, match=f"network '{name}': not known; {told}"):
        build(name, toys.spec_of(*RGB))


def test_pools() -> None:
    assert {letter: len(pool(letter.lower())) for letter in POOLS} == {
        "M": 6, "B": 5, "W": 4, "D": 4, "A": 4, "P": 3, "N": 5,
    }  # fmt: skip
    everything = pool("ALL")
    assert len(everything) == 6 + 5 + 4 + 4 + 4 + 3 + 5 - 1  # ConvNetBN is of B and of N
    assert {canonical(name) for name in pool("M")} <= set(NETWORKS)
    fields = [NETWORKS["convnet"].fields(name) for letter in "WDAPN" for name in pool(letter)]
    assert None not in fields
    assert {found["width"] for found in fields[:4] if found} == {32, 64, 128, 256}
    with pytest.raises(InputError, match="pool 'X': not known; choose M, B, W, D, A, P, N or all"):
        pool("X")
