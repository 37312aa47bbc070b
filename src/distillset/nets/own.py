"""A user's own network: a module, or a function that makes one, tried before anything is computed with it."""

import copy
import hashlib
import importlib
import inspect
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from distillset.data.spec import Spec
from distillset.engine.features import LAST
from distillset.engine.networks import State
from distillset.errors import InputError
from distillset.nets import batch_norm

Factory = Callable[[int, int, int, int], nn.Module]
"""Called with channels, height, width and classes."""


def is_foreign(name: str) -> bool:
    """Whether a name is ``module:function`` or ``timm/NAME``."""
    return ":" in name or name.lower().startswith("timm/")


def named(name: str) -> Factory | None:
    """The function that ``module:function`` or ``timm/NAME`` stands for; None for any other name.

    Raises:
        InputError: it cannot be found.
    """
    if name.lower().startswith("timm/"):
        return partial(_timm, name[len("timm/") :])
    module_name, colon, path = name.partition(":")
    if not colon:
        return None
    if str(Path.cwd()) not in sys.path and "" not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # the user's file lies here, the script that runs does not
    try:
        target: Any = importlib.import_module(module_name)
    except Exception as error:  # whatever the user's file raises
        raise _wrong(name, f"cannot import {module_name!r}", error) from error
    for part in path.split("."):
        if not hasattr(target, part):
            raise InputError.about(f"network {name}", f"{module_name} has no {path!r}")
        target = getattr(target, part)
    if isinstance(target, nn.Module) or not callable(target):
        raise InputError.about(
            f"network {name}",
            f"is a {type(target).__name__}; a function of channels, height, width and classes that "
            "returns an nn.Module is needed",
        )
    function: Factory = target
    return function


def _timm(name: str, channels: int, height: int, width: int, classes: int) -> nn.Module:
    """A network of the timm package, which need not be installed."""
    try:
        timm = importlib.import_module("timm")
    except ImportError as error:
        raise InputError.about(
            f"network timm/{name}", f"timm cannot be imported ({error}); pip install timm"
        ) from error
    settings = {"pretrained": False, "in_chans": channels, "num_classes": classes}
    try:  # transformers need the size, and other networks do not know the argument
        module: nn.Module = timm.create_model(name, img_size=(height, width), **settings)
    except TypeError:
        module = timm.create_model(name, **settings)
    return module


def adopt(source: nn.Module | Factory, spec: Spec, title: str) -> nn.Module:
    """A module of our own after ``source``: checked, and with a ``reset_parameters`` for all of it.

    Args:
        source: a module, which is copied, or a function of channels, height, width and classes that makes one. A module
            is drawn anew by the ``reset_parameters`` of its layers, a function by calling it again.
        spec: of the images.
        title: what messages call the network.

    Raises:
        InputError: it cannot be made or drawn anew, or its norms cannot be calibrated.
    """
    try:
        module: Any = copy.deepcopy(source) if isinstance(source, nn.Module) else source(*spec.shape, spec.classes)
    except InputError:
        raise
    except Exception as error:  # whatever the user's code raises
        raise _wrong(title, f"cannot be made for {spec.classes} classes of {spec.shape}", error) from error
    if not isinstance(module, nn.Module):
        raise InputError.about(f"network {title}", f"gives {type(module).__name__}; an nn.Module is needed")
    if not isinstance(source, nn.Module):
        module.reset_parameters = partial(_redraw, module, partial(source, *spec.shape, spec.classes))  # type: ignore[assignment]
    elif fixed := _fixed(module):
        raise InputError.about(
            f"network {title}",
            f"parameter {fixed} belongs to no layer with reset_parameters(), so it cannot be drawn "
            "anew; give a function that makes the network",
        )
    batch_norm.check(module, title)
    return module


def _redraw(module: nn.Module, make: Callable[[], nn.Module]) -> None:
    module.load_state_dict(make().state_dict())


def _fixed(module: nn.Module, path: str = "") -> str | None:
    """The first parameter that no ``reset_parameters`` draws: that of a layer is taken to draw all below it."""
    if callable(getattr(module, "reset_parameters", None)):
        return None
    for name, _ in module.named_parameters(recurse=False):
        return path + name
    return next((fixed for name, child in module.named_children() if (fixed := _fixed(child, f"{path}{name}."))), None)


def check(module: nn.Module, draw: Callable[[], State], spec: Spec, title: str) -> None:
    """Try a module on two images, in both modes, and note its last linear layer if it has no ``embed``.

    Args:
        module: as `adopt` returns it.
        draw: gives a state of it, always the same.

    Raises:
        InputError: the module fails, its logits are not ``[n, classes]``, its embedding is not ``[n, d]``, two draws
            differ, or an image's result depends on the others.
    """
    state, again = draw(), draw()
    if unlike := next((name for name in state if not torch.equal(state[name], again[name])), None):
        raise InputError.about(
            f"network {title}", f"{unlike} differs between two draws from one seed; draw all random numbers with torch"
        )
    images = torch.randn(2, *spec.shape, generator=torch.Generator().manual_seed(0))
    called: list[tuple[str, Tensor]] = []
    hooks = [
        layer.register_forward_pre_hook(lambda _, inputs, path=path: called.append((path, inputs[0])))
        for path, layer in module.named_modules()
        if isinstance(layer, nn.Linear)
    ]
    embed = getattr(module, "embed", None)
    module.eval()
    try:
        with torch.no_grad():
            logits = functional_call(module, state, (images,))
            alone = functional_call(module, state, (images[:1],))
            embedding = embed(images) if callable(embed) else None
    except Exception as error:  # whatever the user's code raises
        raise _wrong(title, f"fails on images of {list(images.shape)}", error) from error
    finally:
        module.train()
        for hook in hooks:
            hook.remove()
    _check_rows(title, "forward", logits, spec.classes)
    _check_training(module, again, images, spec.classes, title)
    if callable(embed):
        _check_rows(title, "embed", embedding, None)
    if float((alone[0] - logits[0]).abs().max()) > 0.01 * float(logits.abs().max()) + 1e-6:
        raise InputError.about(
            f"network {title}", "the logits of an image depend on the other images, in evaluation mode"
        )
    first = [path for path, inputs in called if len(inputs) == len(images)]
    if not callable(embed) and first:
        setattr(module, LAST, first[-1])


def _check_training(module: nn.Module, state: State, images: Tensor, classes: int, title: str) -> None:
    """Whether it gives logits in training mode too, where some networks add those of auxiliary heads."""
    try:
        with torch.no_grad():
            trained = functional_call(module.train(), state, (images,))
    except Exception as error:  # whatever the user's code raises
        raise _wrong(title, f"fails in training mode on images of {list(images.shape)}", error) from error
    _check_rows(title, "forward, in training mode,", trained, classes)


def _check_rows(title: str, what: str, output: Any, wanted: int | None) -> None:
    shape = f"[n, {wanted or 'features'}]"
    if not isinstance(output, Tensor):
        raise InputError.about(f"network {title}", f"{what} gives {type(output).__name__}; a tensor {shape} is needed")
    if output.dim() != 2 or len(output) != 2 or output.shape[1] != (wanted or output.shape[1]):
        raise InputError.about(f"network {title}", f"{what} gives {list(output.shape)} for 2 images; {shape} is needed")


def fingerprint(module: nn.Module, source: Any) -> str:
    """Eight hex digits over structure, state and source text, as far as Python has it."""
    texts = [str(module)]
    texts += [f"{name} {list(value.shape)} {value.dtype}" for name, value in module.state_dict().items()]
    kinds = dict.fromkeys(type(layer) for layer in module.modules() if not type(layer).__module__.startswith("torch."))
    for item in [*kinds, *([] if isinstance(source, nn.Module) else [source])]:
        try:
            texts.append(inspect.getsource(item))
        except (OSError, TypeError):  # made at a prompt, or not of Python
            texts.append(getattr(item, "__qualname__", ""))
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:8]


def _wrong(title: str, what: str, error: Exception) -> InputError:
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    return InputError.about(f"network {title}", f"{what}: {reason[:300]}")
