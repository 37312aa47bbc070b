"""Fresh networks: the parameters of every layer of our tables, drawn at once where they are used.

The distributions are those of PyTorch's ``reset_parameters``: convolutions and linear layers uniform within
``1 / sqrt(fan_in)``, weights and biases alike; norms one and zero. A layer that is not in the table, a user's own,
keeps its ``reset_parameters``: it draws from PyTorch's global stream, so it is served under a lock, with that stream
seeded and put back.
"""

import math
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from distillset.engine import State
from distillset.keys import Key, uniform
from distillset.nets.layers import GreyConv2d, InstanceNorm

Rule = Callable[[nn.Module, str], float | None]
"""For a layer and the name of a parameter or buffer: its value, or None if it is uniform within the layer's bound."""

_LOCK = threading.RLock()


def _norm(layer: nn.Module, name: str) -> float:
    return 1.0 if name in ("weight", "running_var") else 0.0


def _linear(layer: nn.Module, name: str) -> None:
    return None


RULES: Mapping[type[nn.Module], Rule] = {
    nn.Conv2d: _linear,
    GreyConv2d: _linear,
    nn.Linear: _linear,
    InstanceNorm: _norm,
    nn.GroupNorm: _norm,
    nn.LayerNorm: _norm,
    nn.BatchNorm2d: _norm,
}
"""Layers that are filled where they are used."""


Uniform = Callable[[Tensor, int], Tensor]


def in_operations(words: Tensor, count: int) -> Tensor:
    """`distillset.keys.uniform` of many numbers."""
    return uniform(words, (count,))


class Fill:
    """How the numbers of a module are drawn: looked at once, then filled at once.

    Args:
        module: its layers are looked at, and its numbers are not.
        uniform: draws, of streams ``[k, 2]`` and a count, that many numbers in [0, 1) of each; those of
            `distillset.keys.uniform`, where there is a faster way to them.

    Attributes:
        pure: whether all layers are in `RULES`, so that a state is a function of tensors alone.
        numbers: how many random numbers a state takes, where it is.
    """

    def __init__(self, module: nn.Module, uniform: Uniform = in_operations) -> None:
        self.module, self._uniform = module, uniform
        self._shapes: dict[str, tuple[torch.Size, torch.dtype]] = {}
        self._bounds: dict[str, float] = {}
        self._values: dict[str, float] = {}
        self.pure = all(self._look(path, layer) for path, layer in module.named_modules())
        self._sizes = [self._shapes[name][0].numel() for name in self._bounds]
        self.numbers = sum(self._sizes)

    def _look(self, path: str, layer: nn.Module) -> bool:
        tensors = dict(layer.named_parameters(recurse=False)) | dict(layer.named_buffers(recurse=False))
        rule = RULES.get(type(layer))
        if rule is None:
            return not tensors and not callable(getattr(layer, "reset_parameters", None))
        fan_in = tensors["weight"].shape[1:].numel()
        for name, tensor in tensors.items():
            full = f"{path}.{name}" if path else name
            self._shapes[full] = tensor.shape, tensor.dtype
            value = rule(layer, name)
            if value is None:
                self._bounds[full] = 1 / math.sqrt(fan_in)
            else:
                self._values[full] = value
        return True

    def __call__(self, words: Tensor) -> State:
        """The state of a stream of random words ``[2]``, on their device: tensor operations only. Needs `pure`."""
        return self.several(words[None])[0]

    def several(self, words: Tensor) -> list[State]:
        """The states of streams ``[k, 2]``, all drawn at once."""
        assert self.pure, "layers with a reset_parameters of their own"
        count = len(words)
        numbers = self._uniform(words, self.numbers).split(self._sizes, -1)
        bounds = list(self._bounds.values())
        if numbers:
            numbers = torch._foreach_mul(numbers, [2 * bound for bound in bounds])
            torch._foreach_sub_(numbers, bounds)
        states: list[State] = [{} for _ in range(count)]
        for name, part in zip(self._bounds, numbers, strict=True):
            shape, dtype = self._shapes[name]
            for state, values in zip(states, part.to(dtype).view(count, *shape), strict=True):
                state[name] = values
        for state in states:
            for name, value in self._values.items():
                shape, dtype = self._shapes[name]
                state[name] = torch.full(shape, value, dtype=dtype, device=words.device)
        return [{name: state[name] for name in self._shapes} for state in states]


def fresh(module: nn.Module, key: Key, device: torch.device | str = "cpu") -> State:
    """A newly initialised state of ``module``: PyTorch's initialisation of each layer, from ``key`` alone.

    Layers that are not in `RULES` are drawn by their ``reset_parameters()``, inner ones first, so that an outer one has
    the last word; then all are.
    """
    fill = Fill(module)
    return fill(key.words(device)) if fill.pure else drawn(module, key, device)


def drawn(module: nn.Module, key: Key, device: torch.device | str = "cpu") -> State:
    """A state by the ``reset_parameters`` of all layers. Not to be captured."""
    with seeded(key):
        _reset(module)
        numbers = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        return {name: value.detach().to(device, copy=True) for name, value in numbers.items()}


def _reset(module: nn.Module) -> None:
    for child in module.children():
        _reset(child)
    reset = getattr(module, "reset_parameters", None)
    if callable(reset):
        reset()


@contextmanager
def seeded(key: Key) -> Iterator[None]:
    """PyTorch's global streams start from ``key`` here, and go on outside as if nothing had happened.

    For what draws from them and cannot be told otherwise: a user's initialisers, and dropout. One thread at a time.
    """
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with _LOCK, torch.random.fork_rng(devices=devices):
        torch.manual_seed(key.integer())
        yield


class Blank(TorchFunctionMode):
    """Layers that are made here keep what lies in their memory: nothing is drawn for them."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (Tensor.uniform_, Tensor.normal_) or getattr(func, "__module__", "") == "torch.nn.init":
            return kwargs.get("tensor", args[0] if args else None)
        return func(*args, **kwargs)


def draws(module: nn.Module, shape: tuple[int, int, int]) -> bool:
    """Whether ``module`` draws random numbers when it is trained on images of ``shape``: dropout, or a user's own."""
    with seeded(Key(0)), torch.no_grad():
        before = torch.get_rng_state()
        training = module.training
        dtype = next((parameter.dtype for parameter in module.parameters()), torch.float32)
        module.train()(torch.zeros(2, *shape, dtype=dtype))
        module.train(training)
        return not torch.equal(before, torch.get_rng_state())
