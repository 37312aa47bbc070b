"""What every row of NETWORKS must keep, in each of its forms: every word that its names can have, one at a time.

Most of it is the public battery, `distillset.testing.check_network`, part by part.
"""

import pytest
import torch
from torch import Tensor, nn
from torch.func import grad
from torch.nn import functional as F

from distillset.data.spec import Spec
from distillset.engine import compiler, embedding, logits
from distillset.engine.kernels.normed import in_use
from distillset.engine.networks import State
from distillset.errors import InputError
from distillset.keys import Key
from distillset.nets import NETWORKS, Word, alexnet, build, fresh, mixes_images, resnet, vgg
from distillset.testing.networks import (
    Case,
    along,
    check_alone,
    check_fresh,
    check_gradients,
    check_second_order,
    check_shapes,
    cosine_in_bf16,
    matching,
)
from tests import toys

FORMS = [
    f"{family.name}{word}"
    for family in NETWORKS.values()
    for word in ["", *(w for part in family.parts.values() if isinstance(part, Word) for w in part.values)]
]
FORMS += ["ResNet18BN_AP", "ConvNetASwishBN"]
SPECS = [toys.spec_of(3, 32, 32, 4), toys.spec_of(1, 28, 28, 4), toys.spec_of(1, 8, 8, 4), toys.spec_of(4, 20, 33, 4)]
SIZES = (8, 16, 28, 32, 64, 128)
PUBLISHED = [*NETWORKS, "ConvNetBN", "AlexNetBN", "VGG11BN", "ResNet18BN", "ResNet18_AP", "ResNet18BN_AP"]
every = pytest.mark.parametrize("name", NETWORKS)
every_form = pytest.mark.parametrize("name", FORMS)
every_spec = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: "x".join(map(str, spec.shape)))


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """All families with an eighth of their channels, which float64 on a CPU is slow with."""
    monkeypatch.setattr(alexnet, "LAYERS", tuple((channels // 8, *rest) for channels, *rest in alexnet.LAYERS))
    monkeypatch.setattr(vgg, "VGG11", tuple(tuple(channels // 8 for channels in stage) for stage in vgg.VGG11))
    monkeypatch.setattr(resnet, "STAGES", tuple(channels // 8 for channels in resnet.STAGES))


@every_form
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [*SIZES, 256])
def test_any_size_and_channels_have_a_shape(name: str, channels: int, size: int) -> None:
    """On the device without numbers, where every layer still checks what it is given."""
    spec = toys.spec_of(channels, size, size, 7)
    with torch.device("meta"):
        network = build(name, spec)
        images = torch.empty(2, *spec.shape)
        features = network.embed(images)  # type: ignore[operator]
        assert features.dim() == 2
        assert network(images).shape == (2, 7)
        last = [layer for layer in network.modules() if isinstance(layer, nn.Linear)][-1]
        assert (last.in_features, last.out_features) == (features.shape[1], 7)


@every
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES)
def test_logits_are_a_linear_map_of_the_embedding(name: str, channels: int, size: int) -> None:
    spec = toys.spec_of(channels, size, size, 4)
    case = Case(name, name, spec)
    (network, state), images = case.ready(), case.images(2)
    features, result = embedding(network)(state, images), logits(network)(state, images)
    assert bool(torch.isfinite(result).all())
    assert float((features[0] - features[1]).abs().max()) > 1e-3, "different images have different features"
    last = [path for path, layer in network.named_modules() if isinstance(layer, nn.Linear)][-1]
    linear = F.linear(features, state[f"{last}.weight"], state[f"{last}.bias"])
    torch.testing.assert_close(linear, result, rtol=1e-5, atol=1e-6)


@every_form
@every_spec
@pytest.mark.usefixtures("narrow")
def test_one_image_alone_gives_what_it_gives_in_a_batch(name: str, spec: Spec) -> None:
    check_shapes(Case(name, name, spec))
    check_alone(Case(name, name, spec))


@every_form
@pytest.mark.usefixtures("narrow")
def test_fresh_is_a_function_of_the_key_alone_and_functions_are_pure(name: str) -> None:
    check_fresh(Case(name, name, SPECS[2]))


@every
@pytest.mark.usefixtures("narrow")
def test_a_fresh_state_is_a_copy(name: str) -> None:
    network = build(name, SPECS[0])
    first = fresh(network, Key(1))
    kept = {key: value.clone() for key, value in first.items()}
    fresh(network, Key(2))
    assert all(torch.equal(first[key], kept[key]) for key in first)


@every
@pytest.mark.usefixtures("narrow")
def test_a_module_with_the_numbers_of_a_state_is_the_pure_function(name: str) -> None:
    case = Case(name, name, SPECS[2])
    network, state = case.build(), fresh(case.build(), Key(3))
    features, result = embedding(network)(state, case.images()), logits(network)(state, case.images())
    network.load_state_dict(state)
    assert torch.equal(network.embed(case.images()), features)  # type: ignore[operator]
    assert torch.equal(network(case.images()), result)


@every_form
@pytest.mark.usefixtures("narrow")
def test_every_part_counts(name: str) -> None:
    check_gradients(Case(name, name, SPECS[2]))


@every_form
@pytest.mark.usefixtures("narrow")
def test_second_order_gradients_are_finite_differences(name: str) -> None:
    check_second_order(Case(name, name, SPECS[2]))


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_second_order_gradients_at_full_width(name: str) -> None:
    check_second_order(Case(name, name, SPECS[2]))


@pytest.mark.parametrize("name", PUBLISHED)
def test_bf16_points_the_same_way(name: str) -> None:
    cosine = cosine_in_bf16(Case(name, name, toys.spec_of(3, 16, 16, 4)))
    print(f"{name}: cosine {cosine:.4f}")
    # VGG11's last norms see 2x2 maps, whose statistics amplify what bf16 rounds.
    assert {"vgg11": 0.75, "resnet18": 0.85}.get(name, 0.9) < cosine < 0.9999999, "bf16 was asked for"


@pytest.mark.slow
@pytest.mark.skipif(compiler() is None, reason="no C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's own, in the modules of its compiler
@pytest.mark.parametrize("name", [*NETWORKS, "ConvNetBN", "ConvNetMP", "VGG11BN", "ResNet18BN_AP"])
@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 28, 28)])
@pytest.mark.parametrize("how", ["without kernels", "with kernels", "by the engine"])
def test_compiled_whole_second_order_gradients_are_the_eager_ones(
    name: str, shape: tuple[int, int, int], how: str
) -> None:
    """One graph without breaks."""
    torch.compiler.reset()  # the compiler gives up on the ninth form of one function
    case = Case(name, name, toys.spec_of(*shape, 4))
    network, state, direction, images, targets = matching(case, torch.float32)

    def second(state: State, direction: State, images: Tensor, targets: Tensor) -> Tensor:
        found: Tensor = grad(lambda images: along(network, state, direction, images, targets))(images)
        return found

    if how == "by the engine":
        found = toys.engine(compiled=True).whole(second, second=True)(state, direction, images, targets)
    else:
        with in_use(torch.float32 if how == "with kernels" else None):
            found = torch.compile(second, fullgraph=True, dynamic=False)(state, direction, images, targets)
    exact_state, exact_direction = ({k: value.double() for k, value in part.items()} for part in (state, direction))
    exact = second(exact_state, exact_direction, images.double(), targets)
    assert float(F.cosine_similarity(found.double().flatten(), exact.flatten(), dim=0)) > 0.99


@pytest.mark.skipif(compiler() is None, reason="no C++ compiler")
@every_form
@every_spec
def test_the_kernels_change_rounding_only(name: str, spec: Spec) -> None:
    case = Case(name, name, spec)
    (network, state), images = case.ready(), case.images()
    with torch.no_grad():
        plain = logits(network)(state, images)
        with in_use(torch.float32):
            found = logits(network)(state, images)
    torch.testing.assert_close(found, plain, rtol=1e-3, atol=1e-3 * float(plain.abs().max()))


@every
def test_any_case(name: str) -> None:
    spec = SPECS[2]
    assert str(build(name.upper(), spec)) == str(build(name.lower(), spec))


@pytest.mark.parametrize("name", ["", "perceptron", "convnet/../x", "ConvNetD4W"])
def test_unknown_names(name: str) -> None:
    with pytest.raises(InputError, match="not known; choose") as caught:
        build(name, SPECS[0])
    assert "\n" not in str(caught.value)


@every_form
def test_batch_norm_mixes_images(name: str) -> None:
    assert mixes_images(build(name, SPECS[2])) == ("BN" in name)
