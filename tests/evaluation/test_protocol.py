"""The recipes of an evaluation, as published, and how they are named."""

import dataclasses

import pytest

from distillset.errors import InputError
from distillset.evaluation import PROTOCOLS, Protocol, whole
from distillset.nets import canonical
from distillset.training import Recipe
from tests import toys

SPEC = toys.spec_of(3, 32, 32)
DIGITS = dataclasses.replace(SPEC, flip=False)


def test_the_published_protocol_in_one_line() -> None:
    told = str(Protocol("auto").resolve("dm", SPEC))
    assert told == (
        "dm: 1000 epochs, SGD rate 0.01 (x0.1 from half), momentum 0.9, weight decay 0.0005, batch 256, "
        "augmentation color_crop_cutout_flip_scale_rotate, hard labels"
    )


def test_digits_are_not_mirrored() -> None:
    assert Protocol("dm").resolve("dm", DIGITS).recipe.augmentation == "color_crop_cutout_scale_rotate"
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
    protocol = Protocol("auto").resolve(method, dataclasses.replace(SPEC, name=name))
    assert (protocol.name, protocol.recipe.epochs, protocol.recipe.augmentation) == (method, epochs, augmentation)


@pytest.mark.parametrize("name", ["cifar10", "mnist"])
@pytest.mark.parametrize("network", ["ConvNetBN", "convnet_bn"])
def test_dc_trains_convnetbn_with_crop_and_noise_for_a_thousand_epochs(name: str, network: str) -> None:
    """The authors' rule for exactly this network, on MNIST as well."""
    protocol = Protocol("auto").resolve("dc", dataclasses.replace(SPEC, name=name), canonical(network))
    assert (protocol.name, protocol.recipe.epochs, protocol.recipe.augmentation) == ("dc", 1000, "dc/crop_noise")


@pytest.mark.parametrize("network", ["ConvNetASwishBN", "AlexNetBN", "ConvNetD4BN", "convnet"])
def test_other_networks_have_the_paper_s_plain_recipe(network: str) -> None:
    protocol = Protocol("dc").resolve("dc", dataclasses.replace(SPEC, name="cifar10"), canonical(network))
    assert (protocol.recipe.epochs, protocol.recipe.augmentation) == (300, "none")
    assert Protocol("dsa").resolve("dsa", SPEC, "convnetbn") == Protocol("dsa").resolve("dsa", SPEC)


@pytest.mark.parametrize("method", ["dm", "random", "something else", ""])
def test_auto_is_the_method_s_own(method: str) -> None:
    assert Protocol("auto").resolve(method, SPEC).name == "dm"


def test_trajectory_matching_is_evaluated_at_its_learned_rate() -> None:
    protocol = Protocol("auto").resolve("mtt", SPEC)
    assert protocol.name == "mtt"
    assert protocol.recipe == Protocol("dm").resolve("dm", SPEC).recipe  # all else is the same
    assert protocol.at(0.03).recipe == dataclasses.replace(protocol.recipe, rate=0.03)
    assert protocol.at(None) is protocol
    other = Protocol("dm").resolve("mtt", SPEC)
    assert other.at(0.03) is other
    assert (protocol.at(0.03, soft=True).labels, other.at(None, soft=True).labels) == ("soft", "soft")
    assert other.at(None, soft=True).recipe == other.recipe


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_is_named_and_cited(name: str) -> None:
    protocol = Protocol(name).resolve("dm", SPEC)
    assert protocol.name == name
    assert PROTOCOLS[name].source
    assert protocol.recipe.augmentation != "auto"
    assert PROTOCOLS[name].resolve("dm", SPEC) == protocol


def test_unknown_protocols_are_named() -> None:
    with pytest.raises(InputError, match="protocol='fast': choose one of auto, dc, dsa, dm"):
        Protocol("fast").resolve("dm", SPEC)


def test_other_epochs_have_another_name() -> None:
    published = Protocol("dm").resolve("dm", SPEC)
    assert Protocol("dm", epochs=1000).resolve("dm", SPEC) == published
    other = Protocol("dm", epochs=30).resolve("dm", SPEC)
    assert (other.name, other.recipe.epochs) == ("dm-30-epochs", 30)
    assert other.recipe == dataclasses.replace(published.recipe, epochs=30)
    with pytest.raises(InputError, match="epochs=-1"):
        Protocol("dm", epochs=-1)


def test_a_name_stands_for_a_protocol() -> None:
    assert Protocol.of("mtt") == Protocol("mtt")
    protocol = Protocol(epochs=3)
    assert Protocol.of(protocol) is protocol
    with pytest.raises(InputError, match="protocol=3: must be text"):
        Protocol.of(3)


def test_a_recipe_of_your_own() -> None:
    mine = Recipe(epochs=7, rate=0.1)
    protocol = Protocol("mine", recipe=mine).resolve("dm", SPEC)
    assert (protocol.name, protocol.recipe) == ("mine", mine)
    assert Protocol("mine", recipe=mine, epochs=9).resolve("dm", SPEC).name == "mine-9-epochs"
    with pytest.raises(InputError, match="protocol='auto': a recipe of your own needs a name of your own"):
        Protocol(recipe=mine)
    with pytest.raises(InputError, match="recipe='mine': must be a Recipe, or None"):
        Protocol("mine", recipe="mine")  # type: ignore[arg-type]


def test_what_defines_the_results_of_a_study() -> None:
    """The name alone, as studies of before have it, unless labels or a recipe of one's own are in play."""
    assert Protocol("dm", epochs=30).settings(SPEC) == {"protocol": "dm-30-epochs"}
    assert Protocol("dm", labels="hard").settings(SPEC) == {"protocol": "dm", "labels": "hard"}
    mine = Recipe(epochs=7)
    assert Protocol("mine", recipe=mine).settings(SPEC) == {"protocol": "mine", "recipe": dataclasses.asdict(mine)}


@pytest.mark.parametrize(
    ("images", "epochs"),
    # 1,000 updates of at most 256 images, and 20 epochs at least.
    [(1, 1000), (256, 1000), (257, 500), (1437, 167), (50_000, 20), (12_800, 20), (12_500, 21), (10_000_000, 20)],
)
def test_epochs_of_the_whole_set(images: int, epochs: int) -> None:
    protocol = whole(images, SPEC)
    assert (protocol.name, protocol.recipe.epochs) == ("whole", epochs)
    assert epochs * -(-images // 256) >= 1000
    assert dataclasses.replace(protocol.recipe, epochs=1000) == Protocol("dm").resolve("dm", SPEC).recipe


def test_another_augmentation_has_another_name() -> None:
    published = Protocol("dm").resolve("dm", SPEC)
    assert Protocol("dm", augment="color_crop_cutout_flip_scale_rotate").resolve("dm", SPEC) == published
    without = Protocol("dm", augment="none").resolve("dm", SPEC)
    assert (without.name, without.recipe.augmentation) == ("dm-without-augmentation", "none")
    assert Protocol("dm", 30, "crop_flip").resolve("dm", SPEC).name == "dm-30-epochs-crop_flip"
    assert Protocol("dm", augment="dc/crop_noise").resolve("dm", SPEC).name == "dm-dc/crop_noise"
    with pytest.raises(InputError, match="unknown operation 'mirror'"):
        Protocol("dm", augment="mirror")
