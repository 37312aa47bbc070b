"""A user's own network: what is derived of it, and what is refused, in one line each."""

import copy
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import grad

from distillset.engine import compiler, embedding, logits
from distillset.errors import InputError
from distillset.keys import Key
from distillset.nets import Network, Source, build, fresh
from tests import toys
from tests.nets import own

SPEC = toys.spec_of(3, 8, 8, 3)
IMAGES = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def state_of(module: nn.Module, seed: int = 0) -> dict[str, Tensor]:
    return fresh(module, Key(seed))


@pytest.mark.parametrize("source", [own.Plain(3, 8, 8, 3), own.Plain, own.small, "tests.nets.own:Plain"])
def test_the_input_of_the_last_linear_layer_is_the_embedding(source: Source) -> None:
    module = build(source, SPEC).eval()
    state = state_of(module)
    found = embedding(module)(state, IMAGES)
    hidden = state["body.bias"].numel()
    maps = nn.functional.conv2d(IMAGES, state["conv.weight"], state["conv.bias"], padding=1).relu().flatten(1)
    expected = torch.tanh(nn.functional.linear(maps, state["body.weight"], state["body.bias"]))
    assert found.shape == (4, hidden)
    torch.testing.assert_close(found, expected)
    result = logits(module)(state, IMAGES)
    torch.testing.assert_close(nn.functional.linear(found, state["head.weight"], state["head.bias"]), result)


def test_a_derived_embedding_has_second_derivatives() -> None:
    module = build(own.Plain, SPEC).double().eval()
    state = {name: value.double() for name, value in state_of(module).items()}
    function, images = embedding(module), IMAGES.double()

    def slope(images: Tensor) -> Tensor:
        gradient: Tensor = grad(lambda weight: function({**state, "body.weight": weight}, images).square().sum())(
            state["body.weight"]
        )
        total: Tensor = gradient.square().sum()
        return total

    found = grad(slope)(images)
    step, h = torch.randn(images.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64), 1e-7
    expected = (slope(images + h * step) - slope(images - h * step)) / (2 * h)
    torch.testing.assert_close((found * step).sum(), expected, rtol=1e-5, atol=0)


@pytest.mark.slow
@pytest.mark.skipif(compiler() is None, reason="no C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's own, in the modules of its compiler
def test_a_derived_embedding_compiles_whole() -> None:
    module = build(own.Plain, SPEC).eval()
    state, function = state_of(module), embedding(module)

    def gradient(images: Tensor) -> Tensor:
        found: Tensor = grad(lambda images: function(state, images).square().sum())(images)
        return found

    torch.testing.assert_close(torch.compile(gradient, fullgraph=True)(IMAGES), gradient(IMAGES), rtol=1e-4, atol=1e-5)


def test_its_own_embed_is_used() -> None:
    module = build(own.Normed, SPEC).eval()
    state = state_of(module)
    module.load_state_dict(state)
    assert torch.equal(embedding(module)(state, IMAGES), module.embed(IMAGES))  # type: ignore[operator]


def test_without_a_linear_layer_only_the_embedding_is_refused() -> None:
    module = build(own.Convolutional, SPEC)
    assert logits(module)(state_of(module), IMAGES).shape == (4, 3)
    with pytest.raises(InputError, match=r"network Convolutional: has no embed.* and no linear layer"):
        embedding(module)


def test_a_module_is_copied_and_drawn_layer_by_layer() -> None:
    mine = own.Plain(3, 8, 8, 3)
    before = copy.deepcopy(mine.state_dict())
    module = build(mine, SPEC)
    first, again, other = state_of(module), state_of(module), state_of(module, 1)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)
    nn.init.zeros_(module.head.weight)  # type: ignore[arg-type, union-attr]
    assert all(torch.equal(value, before[name]) for name, value in mine.state_dict().items())
    assert mine.training
    assert not hasattr(mine, "last_linear")


def test_a_function_draws_all_that_it_makes() -> None:
    module = build(own.Drawn, SPEC)
    first, again, other = state_of(module), state_of(module), state_of(module, 1)
    for name in ("scale", "fc.weight", "fc.bias"):
        assert torch.equal(first[name], again[name])
        assert not torch.equal(first[name], other[name])
    assert 0.5 < float(first["scale"].mean()) < 1.5, "drawn by its own code, not by ours"
    assert torch.equal(first["shift"], torch.linspace(0, 1, 8)), "a buffer that is not saved is still of the state"


def test_tied_parameters_are_one() -> None:
    class Tied(nn.Module):
        def __init__(self, *shape: int) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False)
            self.second.weight = self.first.weight
            self.fc = nn.Linear(192, 3)

        def forward(self, images: Tensor) -> Tensor:
            logits: Tensor = self.fc(self.second(self.first(images)).flatten(1))
            return logits

    module = build(Tied, SPEC).eval()
    state = state_of(module)
    assert list(state) == ["first.weight", "fc.weight", "fc.bias"]
    square = state["first.weight"] @ state["first.weight"]
    expected = nn.functional.linear((IMAGES @ square.T).flatten(1), state["fc.weight"], state["fc.bias"])
    torch.testing.assert_close(logits(module)(state, IMAGES), expected, rtol=1e-4, atol=1e-5)


def test_names_say_what_the_network_is() -> None:
    function, module = Network.of("tests.nets.own:small", SPEC), Network.of(own.Plain(3, 8, 8, 3), SPEC)
    assert function.title == "tests.nets.own:small"
    assert function.name.startswith("tests.nets.own:small#")
    assert module.title == module.name
    assert module.name.startswith("Plain#")
    names = {function.name, module.name}
    for other in (own.Plain(3, 8, 8, 3, hidden=6), nn.Sequential(nn.Flatten(), nn.Linear(192, 3))):
        names.add(Network.of(other, SPEC).name)
    names.add(Network.of(nn.Sequential(nn.Flatten(), nn.Linear(192, 3, bias=False)), SPEC).name)
    assert len(names) == 5
    assert Network.of(own.Plain(3, 8, 8, 3), SPEC).name == module.name, "whatever its numbers are"


def test_the_source_text_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same layers and another forward: an accuracy of the one must not be taken for that of the other."""
    text = """
from torch import nn
class Mine(nn.Module):
    def __init__(self, *shape):
        super().__init__()
        self.fc = nn.Linear(192, 3)
    def forward(self, x):
        return self.fc(x.flatten(1)){}
"""
    names = []
    monkeypatch.chdir(tmp_path)
    for i, tail in enumerate(("", ".tanh()", ".tanh()")):
        (tmp_path / f"mine{i}.py").write_text(text.format(tail))
        names.append(Network.of(f"mine{i}:Mine", SPEC).name.partition("#")[2])
        monkeypatch.delitem(sys.modules, f"mine{i}")
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(tmp_path)])
    assert names[0] != names[1] == names[2]


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("no_such_module:make", "cannot import 'no_such_module': ModuleNotFoundError"),
        ("tests.nets.own:nothing", "tests.nets.own has no 'nothing'"),
        ("tests.nets.own:STREAM.seed.x", "tests.nets.own has no 'STREAM.seed.x'"),
        ("tests.nets.own:", "tests.nets.own has no ''"),
        (":make", "cannot import ''"),
        ("tests.nets.own:MODULE", "is a Plain; a function of channels, height, width and classes"),
        ("tests.nets.own:STREAM", "is a Generator; a function of channels"),
        ("tests.nets.own:number", "gives int; an nn.Module is needed"),
        ("tests.nets.own:broken", "cannot be made for 3 classes of (3, 8, 8): RuntimeError: out of luck"),
        ("tests.nets.own:state_dict", "tests.nets.own has no 'state_dict'"),
        (lambda: None, "cannot be made for 3 classes of (3, 8, 8): TypeError"),
        (own.too_many, "network too_many: forward gives [2, 4] for 2 images; [n, 3] is needed"),
        (own.wrong_size, "network wrong_size: fails on images of [2, 3, 8, 8]: RuntimeError"),
        (own.unruly, "head.weight differs between two draws from one seed; draw all random numbers with torch"),
        (own.statistics, "layer 0 is BatchNorm2d without running statistics"),
        (own.Mixing, "network Mixing: the logits of an image depend on the other images"),
        (own.Pair, "network Pair: forward gives tuple; a tensor [n, 3] is needed"),
        (own.FlatEmbed, "network FlatEmbed: embed gives [2] for 2 images; [n, features] is needed"),
        (own.NoEmbed, "network NoEmbed: embed gives NoneType; a tensor [n, features] is needed"),
        (own.Drawn(3, 8, 8, 3), "network Drawn: parameter scale belongs to no layer with reset_parameters()"),
        (nn.Sequential(own.Drawn(3, 8, 8, 3)), "network Sequential: parameter 0.scale belongs to no layer"),
        (nn.Flatten(), "network Flatten: forward gives [2, 192] for 2 images; [n, 3] is needed"),
    ],
)
def test_what_is_refused(source: Any, told: str) -> None:
    with pytest.raises(InputError) as caught:
        Network.of(source, SPEC)
    assert told in str(caught.value)
    assert str(caught.value).startswith("network ")
    assert "\n" not in str(caught.value)


def fake_timm(monkeypatch: pytest.MonkeyPatch, sized: bool) -> list[dict[str, Any]]:
    """A package that makes networks as timm does, with or without ``img_size``."""
    calls: list[dict[str, Any]] = []

    def create_model(name: str, *, pretrained: bool, in_chans: int, num_classes: int, **settings: Any) -> nn.Module:
        calls.append({"name": name, "pretrained": pretrained, **settings})
        if settings and not sized:
            raise TypeError("unexpected keyword argument 'img_size'")
        return own.Plain(in_chans, 8, 8, num_classes)

    package = types.ModuleType("timm")
    package.create_model = create_model  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "timm", package)
    return calls


@pytest.mark.parametrize("sized", [True, False])
def test_timm_by_name(sized: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = fake_timm(monkeypatch, sized)
    network = Network.of("timm/resnet18", SPEC)
    assert network.title == "timm/resnet18"
    assert network.name.startswith("timm/resnet18#")
    assert calls[0] == {"name": "resnet18", "pretrained": False, "img_size": (8, 8)}
    assert ("img_size" in calls[-1]) == sized
    assert embedding(network.module)(state_of(network.module), IMAGES).shape == (4, 5)


def test_timm_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match=r"network timm/resnet18: timm cannot be imported .*pip install timm"):
        Network.of("timm/resnet18", SPEC)


def test_the_real_timm() -> None:
    pytest.importorskip("timm")
    network = Network.of("timm/resnet10t", toys.spec_of(3, 32, 32, 5))
    state = state_of(network.module)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    features = embedding(network.module)(state, images)
    torch.testing.assert_close(
        nn.functional.linear(features, state["fc.weight"], state["fc.bias"]),
        logits(network.module.eval())(state, images),
    )
