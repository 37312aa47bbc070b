"""What the library relies on in a network, tried: shapes, images apart, streams, first and second derivatives.

>>> from torch import nn
>>> def small(channels, height, width, classes):
...     pixels = channels * height * width
...     return nn.Sequential(nn.Flatten(), nn.Linear(pixels, 8), nn.Tanh(), nn.Linear(8, classes))
>>> check_network(small, shapes=[(1, 8, 8)])
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad

from distillset.data.spec import Spec
from distillset.engine import Compute, Engine, State, embedding, logits
from distillset.keys import Key
from distillset.nets import Family, Source, Word, build, calibrated, fresh
from distillset.nets.twice import math_attention
from distillset.testing.expect import accepted, expect
from distillset.testing.toys import spec_of

SHAPES = ((3, 32, 32), (1, 28, 28), (1, 8, 8), (4, 20, 33))
"""Channels, height and width that every network of this library takes."""

CLASSES = 4
BF16 = 0.7
"""The least cosine of the gradients of the pixels in bf16 and in float32."""


def check_network(
    network: Source | Family, *, shapes: Sequence[tuple[int, int, int]] = SHAPES, second_order: bool = True
) -> None:
    """Try a network as distillation and evaluation use it.

    Args:
        network: whatever is taken as a network, or a `Family`: then the plain form, and that of each of its words.
        shapes: channels, height and width of the images that it is to take. The derivatives are tried on the first one
            with the fewest pixels.
        second_order: whether the gradients of its parameters are to have a derivative in the pixels, as DC, DSA and MTT
            need.

    Raises:
        AssertionError: says in one line what does not hold, and for which network and images.
    """
    smallest = min(shapes, key=lambda shape: shape[0] * shape[1] * shape[2])
    for name, source in forms(network).items():
        for shape in shapes:
            case = Case(name, source, spec_of(*shape, CLASSES))
            check_shapes(case)
            check_alone(case)
        case = Case(name, source, spec_of(*smallest, CLASSES))
        check_fresh(case)
        check_gradients(case)
        check_bf16(case)
        if second_order:
            check_second_order(case)


@dataclass(frozen=True)
class Case:
    """A network on images of some shape.

    Args:
        name: for messages.
        source: whatever is taken as a network.
        spec: of the images.
    """

    name: str
    source: Source
    spec: Spec

    def __str__(self) -> str:
        return f"network {self.name} on images of {'x'.join(map(str, self.spec.shape))}"

    def build(self) -> nn.Module:
        """Its module."""
        return accepted(str(self), lambda: build(self.source, self.spec))

    def images(self, n: int = 3, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
        """Normal numbers ``[n, C, H, W]``."""
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(n, *self.spec.shape, generator=generator, dtype=torch.float64).to(dtype)

    def ready(self, dtype: torch.dtype = torch.float32) -> tuple[nn.Module, State]:
        """The module in evaluation mode and a state of it, calibrated."""
        module = self.build().to(dtype).eval()
        return module, calibrated(module, fresh(module, Key(0)), self.images(12, 5, dtype) * 2 + 1)


def forms(network: Source | Family) -> dict[str, Source]:
    """What is tried: the network, or the forms of a family, of which each has one word more than the plain one."""
    if not isinstance(network, Family):
        return {network if isinstance(network, str) else getattr(network, "__name__", type(network).__name__): network}
    words = [word for part in network.parts.values() if isinstance(part, Word) for word in part.values]
    return {f"{network.name}{word}": _of_family(network, f"{network.name}{word}") for word in ["", *words]}


def _of_family(family: Family, name: str) -> Source:
    fields = family.fields(name)
    if fields is None:
        raise AssertionError(f"network {name}: its family does not read this name of its own")
    expect(family.fields(family.canonical(fields)) == fields, f"network {name}: its canonical name means other fields")
    expect(family.fields(name.upper()) == fields, f"network {name}: in capitals it means other fields")

    def make(channels: int, height: int, width: int, classes: int) -> nn.Module:
        return family.make(spec_of(channels, height, width, classes), fields)

    return make


def check_shapes(case: Case) -> None:
    """Logits are ``[n, classes]``, features ``[n, d]``, all finite and different for different images."""
    module, state = case.ready()
    images = case.images()
    features, result = embedding(module)(state, images), logits(module)(state, images)
    expect(result.shape == (3, case.spec.classes), f"{case}: logits are {list(result.shape)}, not [3, {CLASSES}]")
    expect(features.dim() == 2 and len(features) == 3, f"{case}: features are {list(features.shape)}, not [3, d]")
    for what, output in (("logits", result), ("features", features)):
        expect(bool(torch.isfinite(output).all()), f"{case}: {what} are not finite")
        apart = float((output[0] - output[1]).abs().max()) > 1e-5 * float(output.abs().max())
        expect(apart, f"{case}: {what} of different images are the same")


def check_alone(case: Case) -> None:
    """In evaluation mode the result of an image does not depend on the images beside it."""
    module, state = case.ready()
    forward, images = logits(module), case.images()
    apart = torch.cat([forward(state, image[None]) for image in images])
    near = torch.allclose(apart, forward(state, images), rtol=1e-3, atol=1e-4)
    expect(near, f"{case}: the logits of an image depend on the other images, in evaluation mode")


def check_fresh(case: Case) -> None:
    """A fresh state is a function of its key, a copy, and drawn without a trace; calls do not touch the module."""
    first = fresh(case.build(), Key(1)("network"))
    with torch.random.fork_rng(devices=[]):
        torch.rand(1)  # a state that the first network did not meet
        before = torch.get_rng_state()
        used = case.build()
        nn.init.zeros_(next(used.parameters()))
        again, other = fresh(used, Key(1)("network")), fresh(used, Key(2)("network"))
        expect(torch.equal(torch.get_rng_state(), before), f"{case}: it draws from the caller's random state")
    expect(first.keys() == again.keys() == used.state_dict().keys(), f"{case}: a fresh state lacks tensors")
    unlike = [name for name in first if not torch.equal(first[name], again[name])]
    expect(not unlike, f"{case}: {', '.join(unlike)}: differ between two draws from one key")
    weights = [name for name in first if first[name].dim() > 1 and float(first[name].float().std()) > 0]
    expect(bool(weights), f"{case}: it has no weights that are drawn")
    alike = [name for name in weights if torch.equal(first[name], other[name])]
    expect(not alike, f"{case}: {', '.join(alike)}: the same for two keys; it has to be drawn anew")
    expect(not any(value.requires_grad for value in first.values()), f"{case}: a fresh state requires a gradient")
    stood = {name: value.clone() for name, value in used.state_dict().items()}
    used.eval()
    embedding(used)(again, case.images()), logits(used)(again, case.images())
    moved = [name for name, value in used.state_dict().items() if not torch.equal(value, stood[name])]
    expect(not moved, f"{case}: {', '.join(moved)}: changed by a call in evaluation mode")


def check_gradients(case: Case) -> None:
    """Every image and every trainable parameter moves the logits: in float64, where nothing is lost by rounding."""
    module, state = case.ready(torch.float64)
    leaves = {
        name: state[name].clone().requires_grad_()
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
    }
    images = case.images(dtype=torch.float64).requires_grad_()
    loss = F.cross_entropy(logits(module)({**state, **leaves}, images), torch.tensor([0, 1, 2]))
    every = [images, *leaves.values()]
    pixels, *gradients = torch.autograd.grad(loss, every, allow_unused=True, materialize_grads=True)
    moved = all(float(part.abs().max()) > 0 for part in pixels)
    expect(moved, f"{case}: the logits do not depend on the pixels of every image")
    unused = [name for name, gradient in zip(leaves, gradients, strict=True) if not float(gradient.abs().max()) > 0]
    expect(not unused, f"{case}: {', '.join(unused)}: without effect on the logits")


def matching(case: Case, dtype: torch.dtype) -> tuple[nn.Module, State, State, Tensor, Tensor]:
    """A network, its state, a direction in its parameters, and images with targets."""
    module, state = case.ready(dtype)
    generator = torch.Generator().manual_seed(1)
    direction = {
        name: torch.randn(parameter.shape, generator=generator, dtype=torch.float64).to(dtype)
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
    }
    return module, state, direction, case.images(2, dtype=dtype), torch.tensor([1, 3])


def along(module: nn.Module, state: State, direction: State, images: Tensor, targets: Tensor) -> Tensor:
    """The derivative of the loss along a direction in the parameters: what gradient matching differentiates."""

    def loss(parameters: State) -> Tensor:
        result = functional_call(module, {**state, **parameters}, (images,))
        return F.cross_entropy(result.to(state[next(iter(parameters))].dtype), targets)

    gradients = grad(loss)({name: state[name] for name in direction})
    return torch.stack([(gradients[name] * direction[name]).sum() for name in direction]).sum()


def check_second_order(case: Case) -> None:
    """The derivative in the pixels of the derivative in the parameters is a finite difference, in float64."""
    with math_attention():
        module, state, direction, images, targets = matching(case, torch.float64)
        exact = grad(lambda images: along(module, state, direction, images, targets))(images)
        step = torch.randn(images.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
        expected = float((exact * step).sum())

        def difference(h: float) -> float:
            ends = [along(module, state, direction, images + sign * h * step, targets) for sign in (1, -1)]
            return float(ends[0] - ends[1]) / (2 * h)

        # It jumps where a ReLU or a maximum changes over: a step that meets such a place tells nothing, and the smaller
        # it is, the rarer that is.
        agrees = any(abs(difference(h) - expected) <= 1e-3 * abs(expected) for h in (1e-6, 1e-7, 1e-8))
    expect(
        float(exact.abs().max()) > 0, f"{case}: has no second derivative in the pixels; second_order=False leaves it"
    )
    expect(agrees, f"{case}: the second derivative is not that of the function")


def cosine_in_bf16(case: Case) -> float:
    """Of the gradients of the pixels in bf16 and in float32."""
    module, state = case.ready()
    images, function = case.images(6), embedding(module)

    def gradient(precision: str) -> Tensor:
        engine = Engine(Compute("cpu", precision, False, torch.get_num_threads(), 64, False))
        run = engine.whole(lambda images: function(state, images).float().square().sum())
        leaf = images.clone().requires_grad_()
        return torch.autograd.grad(run(leaf), leaf)[0].flatten()

    return float(F.cosine_similarity(gradient("bf16"), gradient("fp32"), dim=0))


def check_bf16(case: Case) -> None:
    """In bf16 gradients point about the same way."""
    cosine = cosine_in_bf16(case)
    expect(
        cosine > BF16, f"{case}: the cosine of gradients in bf16 and float32 is {cosine:.3f}; at least {BF16} is needed"
    )
