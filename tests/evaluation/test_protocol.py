"""The recipes of an evaluation, as published, and how they are named."""

import dataclasses

import pytest

from distillset.errors import InputError
from distillset.evaluation import PROTOCOLS, choose, whole
from distillset.nets import canonical
from tests import toys

SPEC = toys.spec_of(3, 32, 32)
DIGITS = dataclasses.replace(SPEC, flip=False)


def test_the_published_protocol_in_one_line() -> None:
    told = str(choose("auto", "dm", SPEC))
    assert told == (
        "dm: 1000 epochs, SGD rate 0.01 (x0.1 from half), momentum 0.9, weight decay 0.0005, batch 256, "
        "augmentation color_crop_cutout_flip_scale_rotate, hard labels"
    )


def test_digits_are_not_mirrored() -> None:
    assert choose("dm", "dm", DIGITS).recipe.augmentation == "color_crop_cutout_scale_rotate"
    assert whole(100, DIGITS).recipe.augmentation == "color_crop_cutout_scale_rotate"


@pytest.mark.parametrize(
    ("method", "name", "epochs", "augmentation"),
    [
        ("dc", "cifar10", 300, "none"),
        ("dc", "mnist", 1000, "dc/crop_scale_rotate"),
        ("dc", "fashion_mnist", 300, "none"),
        ("dsa", "cifar10", 1000, "color_crop_cutout_flip_scale_rotate"),
    ],
)
def test_the_published_evaluation_of_each_method(method: str, name: str, epochs: int, augmentation: str) -> None:
    protocol = choose("auto", method, dataclasses.replace(SPEC, name=name))
    assert (protocol.name, protocol.recipe.epochs, protocol.recipe.augmentation) == (method, epochs, augmentation)


@pytest.mark.parametrize("name", ["cifar10", "mnist"])
@pytest.mark.parametrize("network", ["ConvNetBN", "convnet_bn"])
def test_dc_trains_convnetbn_with_crop_and_noise_for_a_thousand_epochs(name: str, network: str) -> None:
    """The authors' rule for exactly this network, on MNIST as well."""
    protocol = choose("auto", "dc", dataclasses.replace(SPEC, name=name), canonical(network))
    assert (protocol.name, protocol.recipe.epochs, protocol.recipe.augmentation) == ("dc", 1000, "dc/crop_noise")


@pytest.mark.parametrize("network", ["ConvNetASwishBN", "AlexNetBN", "ConvNetD4BN", "convnet"])
def test_other_networks_have_the_paper_s_plain_recipe(network: str) -> None:
    protocol = choose("dc", "dc", dataclasses.replace(SPEC, name="cifar10"), canonical(network))
    assert (protocol.recipe.epochs, protocol.recipe.augmentation) == (300, "none")
    assert choose("dsa", "dsa", SPEC, "convnetbn") == choose("dsa", "dsa", SPEC)


@pytest.mark.parametrize("method", ["dm", "random", "something else", ""])
def test_auto_is_the_method_s_own(method: str) -> None:
    assert choose("auto", method, SPEC).name == "dm"


def test_trajectory_matching_is_evaluated_at_its_learned_rate() -> None:
    protocol = choose("auto", "mtt", SPEC)
    assert protocol.name == "mtt"
    assert protocol.recipe == choose("dm", "dm", SPEC).recipe  # all else is the same
    assert protocol.at(0.03).recipe == dataclasses.replace(protocol.recipe, rate=0.03)
    assert protocol.at(None) is protocol
    other = choose("dm", "mtt", SPEC)
    assert other.at(0.03) is other
    assert (protocol.at(0.03, soft=True).labels, other.at(None, soft=True).labels) == ("soft", "soft")
    assert other.at(None, soft=True).recipe == other.recipe


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_is_named_and_cited(name: str) -> None:
    protocol = choose(name, "dm", SPEC)
    assert protocol.name == name
    assert protocol.source
    assert protocol.recipe.augmentation != "auto"
    assert protocol.resolve(SPEC) == protocol


def test_unknown_protocols_are_named() -> None:
    with pytest.raises(InputError, match="protocol='fast': choose auto, dc, dsa, dm"):
        choose("fast", "dm", SPEC)


def test_other_epochs_have_another_name() -> None:
    protocol = choose("dm", "dm", SPEC)
    assert protocol.with_epochs(None) is protocol
    assert protocol.with_epochs(1000) is protocol
    other = protocol.with_epochs(30)
    assert (other.name, other.recipe.epochs) == ("dm-30-epochs", 30)
    assert other.recipe == dataclasses.replace(protocol.recipe, epochs=30)
    with pytest.raises(InputError, match="epochs -1"):
        protocol.with_epochs(-1)


@pytest.mark.parametrize(
    ("images", "epochs"),
    # 1,000 updates of at most 256 images, and 20 epochs at least.
    [(1, 1000), (256, 1000), (257, 500), (1437, 167), (50_000, 20), (12_800, 20), (12_500, 21), (10_000_000, 20)],
)
def test_epochs_of_the_whole_set(images: int, epochs: int) -> None:
    protocol = whole(images, SPEC)
    assert (protocol.name, protocol.recipe.epochs) == ("whole", epochs)
    assert epochs * -(-images // 256) >= 1000
    assert dataclasses.replace(protocol.recipe, epochs=1000) == choose("dm", "dm", SPEC).recipe


def test_another_augmentation_has_another_name() -> None:
    protocol = choose("dm", "dm", SPEC)
    assert protocol.with_augmentation(None) is protocol
    assert protocol.with_augmentation("color_crop_cutout_flip_scale_rotate") is protocol
    without = protocol.with_augmentation("none")
    assert (without.name, without.recipe.augmentation) == ("dm-without-augmentation", "none")
    assert protocol.with_augmentation("crop_flip").name == "dm-crop_flip"
    with pytest.raises(InputError, match="unknown operation 'mirror'"):
        protocol.with_augmentation("mirror")
