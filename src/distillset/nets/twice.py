"""Second derivatives of a user's own network: the form of attention that has them, and a trial before a run."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call, grad
from torch.nn.attention import SDPBackend, sdpa_kernel

from distillset.data.spec import Spec
from distillset.errors import InputError
from distillset.keys import Key
from distillset.nets import Network, State, fresh

_LOCK = threading.Lock()
_INSIDE: list[object] = []
"""Of each run that is inside; the switches are those of the process."""


@contextmanager
def math_attention() -> Iterator[None]:
    """PyTorch's attention as plain products and a softmax: its fused kernels have no second derivative.

    Runs in other threads may enter and leave as they like.
    """
    mark = object()
    with _LOCK:
        if not _INSIDE:
            _SWITCHES.enter()
        _INSIDE.append(mark)
    try:
        yield
    finally:
        with _LOCK:
            _INSIDE.remove(mark)
            if not _INSIDE:
                _SWITCHES.leave()


class _Switches:
    """PyTorch's choice of kernels of attention, set and put back."""

    def enter(self) -> None:
        self.held = sdpa_kernel(SDPBackend.MATH)
        self.held.__enter__()
        self.fastpath = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)

    def leave(self) -> None:
        torch.backends.mha.set_fastpath_enabled(self.fastpath)
        self.held.__exit__(None, None, None)


_SWITCHES = _Switches()


def check_twice(network: Network, spec: Spec, method: str) -> None:
    """Try the second derivative that gradient and trajectory matching take: of the parameters' gradient in the pixels.

    It is tried as composed functions, as methods take it, and as a graph: only there do operations that can be
    differentiated once say so, where composed functions take their gradient for a constant. Published networks have
    it. To be called inside `math_attention`.

    Raises:
        InputError: it cannot be taken; the message says what PyTorch says.
    """
    if network.published:
        return
    module = network.module.eval()
    state = fresh(module, Key(0))
    parameters = {name: state.pop(name) for name, value in module.named_parameters() if value.requires_grad}
    images = torch.randn(2, *spec.shape, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(2) % spec.classes

    def loss(parameters: State, images: Tensor) -> Tensor:
        logits: Tensor = functional_call(module, {**state, **parameters}, (images,))
        return F.cross_entropy(logits, labels)

    try:
        grad(lambda images: _size(grad(loss)(parameters, images).values()))(images)
        leaves = {name: value.clone().requires_grad_() for name, value in parameters.items()}
        value = loss(leaves, images.requires_grad_())
        gradients = torch.autograd.grad(
            value, list(leaves.values()), create_graph=True, allow_unused=True, materialize_grads=True
        )
        _size(gradients).backward()  # to every leaf: the node that complains lies on no way to the images  # type: ignore[no-untyped-call]
    except Exception as error:  # whatever the user's code or a kernel without a derivative raises
        said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise InputError.about(
            f"network {network.title}",
            f"has no second derivative, which {method} needs ({said}); distil with dm, or with another network",
        ) from error


def _size(gradients: Iterable[Tensor]) -> Tensor:
    return torch.stack([gradient.square().sum() for gradient in gradients]).sum()
