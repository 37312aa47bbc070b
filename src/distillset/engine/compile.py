"""Compiled functions: precision and compilation, and nothing else."""

from collections.abc import Callable
from types import FunctionType
from typing import Any

import torch
from torch.utils._pytree import tree_map

from distillset.engine.compute import Compute
from distillset.engine.kernels.normed import in_use


def compiled(function: Callable[..., Any], compute: Compute, second: bool = False) -> Callable[..., Any]:
    """``function`` in the precision of ``compute``, compiled if it says so. Differentiable.

    Arguments and results are tensors, or lists, tuples and dicts of them. Results are float32, or float64 where they
    were, so that the same code is its own oracle on double inputs.

    Args:
        function: pure.
        compute: how.
        second: whether it takes second derivatives.
    """
    device = torch.device(compute.device).type
    bf16 = compute.precision == "bf16"

    def exact(*arguments: Any) -> Any:
        # The weight cache of autocast would keep casts from an earlier call alive inside compiled functions.
        with torch.autocast(device, torch.bfloat16, enabled=bf16, cache_enabled=False):
            result = function(*arguments)
        return tree_map(_exact, result)

    if not compute.compile:
        return exact
    from distillset.engine.graphs import options

    results, apart = torch.bfloat16 if bf16 else torch.float32, second and not bf16
    inductor = options(results, apart) if compute.kernels else options()
    run = torch.compile(_own_code(exact), dynamic=False, options=inductor)
    if not compute.kernels:
        return run

    def with_kernels(*arguments: Any) -> Any:
        with in_use(results, apart):
            return run(*arguments)

    return with_kernels


def compiled_apart(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` compiled in full precision, with recompilations counted for itself."""

    def run(*arguments: Any) -> Any:
        return function(*arguments)

    return torch.compile(_own_code(run), dynamic=False)


def _exact(result: torch.Tensor) -> torch.Tensor:
    return result.float() if result.dtype in (torch.bfloat16, torch.float16) else result


def _own_code(function: Callable[..., Any]) -> Callable[..., Any]:
    """A copy of a closure with a code object of its own.

    The compiler counts recompilations by code object and falls back to eager after eight; all closures made at one
    place would share that count.
    """
    code = function.__code__.replace()
    return FunctionType(code, function.__globals__, function.__name__, function.__defaults__, function.__closure__)
