"""What the library relies on in a method, tried on a small set: settings, gradients, streams, runs and artifacts."""

import dataclasses
import json
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distillset.data.synthetic import SyntheticSet
from distillset.distillation.distill import distill
from distillset.distillation.divergence import not_finite
from distillset.distillation.episodes import Episodes
from distillset.distillation.learned import Learned
from distillset.distillation.record import Record
from distillset.distillation.verify import verify
from distillset.errors import DistillsetError, InputError, InterruptedRun, reason
from distillset.keys import Key
from distillset.machine import Machine
from distillset.mesh import Solo
from distillset.methods import Method, Role, method_of, resolved, settings_of
from distillset.testing.cases import CLASSES, IPC, Case, NothingRead, Refilled, close
from distillset.testing.expect import accepted, expect
from distillset.testing.toys import NETWORK, small, toy, toy_data
from distillset.watch import Watcher

STEPS = 4
MACHINE = Machine("cpu", "fp32", "off")
NETWORKS = ("ConvNetD1W8BN", "ConvNetD1W8NN", "ConvNetD2W4ASwishLNMP")
"""Other networks that its gradients are tried on: batch norm, no norm, other layers."""
SHIFT = 1e-5
"""Of the finite differences, in units of a pixel's standard deviation."""


def check_method(method: Method | type[Method] | str) -> None:
    """Try a method as the library uses it: all of `CHECKS`, in seconds to a minute.

    Args:
        method: yours. An instance may have settings that make it quick, such as ``MTT(expert_count=2, max_start=2)``.

    Raises:
        AssertionError: says in one line what does not hold, and which of the checks says so.
    """
    row = accepted("method", lambda: method_of(method))
    for check in CHECKS:
        try:
            check(row)
        except Exception as error:  # also of the method's code
            raise AssertionError(_failure(row, check.__name__, error)) from error


def _failure(method: Method, check: str, error: Exception) -> str:
    """A failed check in one line."""
    what = reason(error, 600)
    if not isinstance(error, AssertionError | DistillsetError):
        what = f"{type(error).__name__}: {what}"
    name = "" if what.startswith(f"{method.name}: ") else f"{method.name}: "
    return f"{name}{what} ({check})"


def check_class(method: Method) -> None:
    """A frozen record of plain values, which `Method.resolve` completes."""
    spec = toy().spec
    expect(method.steps > 0, f"{method.name}: steps is {method.steps}; it must be above 0")
    full = accepted(f"{method.name}: resolve", lambda: resolved(method, spec, IPC))
    expect(type(full) is type(method), f"{method.name}: resolve gives a {type(full).__name__}")
    expect(resolved(full, spec, IPC) == full, f"{method.name}: resolve changes what is resolved already")
    values = full.values()
    expect(json.loads(json.dumps(values)) == values, f"{method.name}: its settings are no plain values of JSON")
    expect(type(method)(**values) == full, f"{method.name}: its settings do not make it again")
    for setting in settings_of(method):
        try:
            setattr(full, setting.name, setting.default)
        except dataclasses.FrozenInstanceError:
            continue
        raise AssertionError(f"{method.name}: setting {setting.name} can be changed")


def check_settings(method: Method) -> None:
    """Every value outside what a setting allows is refused, and the error names the setting."""
    for setting in settings_of(method):
        for value in setting.refused():
            changed: dict[str, Any] = {setting.name: value}
            try:
                replace(method, **changed)
            except InputError as error:
                named = error.field == setting.name
                expect(named, f"{method.name}: {setting.name}={value!r} is refused, but as {error}")
            else:
                raise AssertionError(f"{method.name}: {setting.name}={value!r} is not refused")


def check_cost(method: Method) -> None:
    """More images cost more."""
    full = resolved(method, toy().spec, IPC)
    costs = [full.images_per_step(toy(), ipc) for ipc in (1, 2)]
    expect(0 < costs[0] < costs[1], f"{method.name}: images_per_step of 1 and 2 images per class are {costs}")
    expect(full.images_before(toy()) >= 0, f"{method.name}: images_before is below 0")


def check_leaves(method: Method) -> None:
    """It learns one tensor of images, which start where they are told, under an SGD that can move them."""
    case = Case(method)
    pixels = [leaf for leaf in case.leaves.values() if leaf.role is Role.PIXELS]
    expect(len(pixels) == 1, f"{method.name}: {len(pixels)} learned tensors have the role PIXELS; there must be one")
    holds = method.picks_images or torch.equal(pixels[0].start, case.images)
    expect(holds, f"{method.name}: the images do not start from the task's initial images")
    for name, leaf in case.leaves.items():
        expect(leaf.lr > 0 and 0 <= leaf.momentum < 1, f"{method.name}: SGD of {name}: {leaf.lr}, {leaf.momentum}")


def check_update(method: Method) -> None:
    """An update is a function of the learned tensors and of its key, and moves every class."""
    case = Case(method)
    leaves = case.start()
    state = torch.get_rng_state()
    loss, gradients = case.update(leaves)
    _expect_finite(method, loss, gradients, "")
    case.update(leaves, Key(5)("step", 9)("update", 0), 9)
    expect(torch.equal(torch.get_rng_state(), state), f"{method.name}: it draws from the caller's random state")
    again, other = case.update(leaves), case.update(leaves, Key(0)("step", 1)("update", 0), 1)
    same = torch.equal(again[0], loss) and all(torch.equal(again[1][name], one) for name, one in gradients.items())
    expect(same, f"{method.name}: two updates of one key differ")
    expect(not torch.equal(other[1][case.pixels], gradients[case.pixels]), f"{method.name}: steps draw the same")
    unchanged = all(torch.equal(leaves[name], leaf.start) for name, leaf in case.leaves.items())
    expect(unchanged, f"{method.name}: an update changes the learned tensors, which are the loop's")
    for name, tensor in {"loss": loss, **gradients}.items():
        expect(not tensor.requires_grad, f"{method.name}: the gradient of {name} is still part of a graph")
    of_class = gradients[case.pixels].unflatten(0, (CLASSES, -1)).flatten(1).abs().amax(1)
    expect(bool((of_class > 0).all()), f"{method.name}: some classes are not moved: largest gradients {of_class}")
    backwards, _ = case.update(leaves, reverse=True)
    expect(close(backwards, loss, 1e-5), f"{method.name}: the loss depends on the order of the blocks")


def _expect_finite(method: Method, loss: Tensor, gradients: dict[str, Tensor], where: str) -> None:
    wrong = [name for name, gradient in gradients.items() if not bool(gradient.isfinite().all())]
    if not bool(loss.isfinite()) or wrong:
        raise AssertionError(f"{method.name}: {where}{not_finite(float(loss), wrong, first=True)}")


def check_weights(method: Method) -> None:
    """Real images of weight 0, which fill up a small class, have no influence."""
    declared = {setting.name for setting in settings_of(method)}
    if "batch_real" in declared and method.batch_real < 2:  # no class is smaller than that
        several: dict[str, Any] = {"batch_real": 4}
        method = replace(method, **several)
    usual, other = (Case(method, micro_batch=1000, real=real) for real in (small(), Refilled.of(small())))
    leaves = usual.start()
    loss, gradients = usual.update(leaves)
    _expect_finite(method, loss, gradients, "with a class of one real image ")
    changed, others = other.update(leaves)
    same = close(changed, loss, 1e-5) and all(close(others[name], one, 1e-4) for name, one in gradients.items())
    expect(
        same,
        f"{method.name}: real images of weight 0, which fill up a class of fewer than batch_real images, change the "
        f"loss from {loss:g} to {changed:g}, or its gradient; use images.mean(features), or multiply by images.weights",
    )


def check_gradient(method: Method) -> None:
    """The gradient of the pixels is that of the loss, by differences in float64."""
    if resolved(method, toy().spec, IPC).images_before(toy()):
        return  # what is trained before has numbers of its own
    case = Case(method, exact=True)
    leaves = case.start()
    _, gradients = case.update(leaves)
    generator = torch.Generator().manual_seed(1)
    for _ in range(3):
        way = torch.randn(leaves[case.pixels].shape, generator=generator, dtype=torch.float64)
        ends = [case.update({**leaves, case.pixels: leaves[case.pixels] + sign * SHIFT * way})[0] for sign in (1, -1)]
        slope, gradient = (ends[0] - ends[1]) / (2 * SHIFT), (gradients[case.pixels] * way).sum()
        right = close(gradient, slope, 1e-3)
        expect(right, f"{method.name}: the loss changes by {slope:g} per pixel, the gradient says {gradient:g}")


def check_micro_batches(method: Method) -> None:
    """Images in micro-batches, and classes in other blocks, give the same update."""
    cases = [Case(method, micro_batch=most, real=small()) for most in (1000, 3)]
    leaves = cases[0].start()
    (loss, gradients), (other, others) = (case.update(leaves) for case in cases)
    expect(close(other, loss, 1e-4), f"{method.name}: the loss in micro-batches of 3 is {other:g}, at once {loss:g}")
    for name, gradient in gradients.items():
        expect(close(others[name], gradient, 1e-3), f"{method.name}: in micro-batches {name} has another gradient")


def check_networks(method: Method) -> None:
    """Networks with other norms, activations and poolings give gradients that are finite and move something."""
    for network in NETWORKS:
        case = Case(method, network=network)
        gradient = case.update(case.start())[1][case.pixels]
        expect(bool(gradient.isfinite().all()), f"{method.name}: gradients through {network} are not finite")
        expect(float(gradient.abs().max()) > 0, f"{method.name}: {network} moves nothing")


def check_capture(method: Method) -> None:
    """Steps can be captured as on a GPU: they read nothing back, and are those of a CPU."""
    ends: list[dict[str, Tensor]] = []
    for defers in (False, True):
        case = Case(method, defers=defers)
        learned = Learned(case.leaves, case.matcher.limit, case.matcher.patience, defers)
        episodes = Episodes(case.task, case.matcher, learned, Solo(), Key(0))
        if defers:
            with NothingRead():  # type: ignore[no-untyped-call]
                case.update(case.start())
        for step in range(2):
            episodes.run(step, last=1)
        expect(not learned.lost(), f"{method.name}: it diverges in two steps")
        ends.append(learned.result())
        case.matcher.close()
    for name, tensor in ends[0].items():
        expect(close(ends[1][name], tensor, 1e-3), f"{method.name}: captured steps lead to other {name}")


def check_runs(method: Method) -> None:
    """A run is a function of its seed, goes on where it stopped to the same bits, and its artifact holds what its card
    says.
    """
    with tempfile.TemporaryDirectory() as folder:
        whole, parts = Path(folder) / "whole", Path(folder) / "parts"
        finished = _run(method, whole)
        other = _run(method, None, seed=1)
        expect(not torch.equal(other.images, finished.images), f"{method.name}: another seed gives the same images")
        with suppress(InterruptedRun):
            _run(method, parts, watcher=_Stopping(STEPS // 2))
        same = _run(method, parts)
        for name, tensor in finished.tensors().items():
            expect(
                torch.equal(same.tensors()[name], tensor), f"{method.name}: a run that stopped ends with other {name}"
            )
        expect(bool(finished.images.isfinite().all()), f"{method.name}: pixels are not finite")
        card, stored = finished.card, SyntheticSet.load(whole)
        expect(stored.fingerprint() == finished.fingerprint(), f"{method.name}: the artifact is not what was returned")
        expect(card["method"] == method.name, f"{method.name}: the card calls it {card['method']!r}")
        settings = resolved(method, toy().spec, IPC).values().items()
        expect(settings <= card["settings"].items(), f"{method.name}: the card has other settings")
        expect(card["steps"] == STEPS, f"{method.name}: the card says {card['steps']} steps")
        for check in verify(whole):
            expect(check.holds is not False, f"{method.name}: verify: {check.told}")
        half = _run(method, None, machine=Machine("cpu", "bf16", "off"))
        expect(bool(half.images.isfinite().all()), f"{method.name}: pixels in bf16 are not finite")


CHECKS: Sequence[Callable[[Method], None]] = (
    check_class,
    check_settings,
    check_cost,
    check_leaves,
    check_update,
    check_weights,
    check_gradient,
    check_micro_batches,
    check_networks,
    check_capture,
    check_runs,
)
"""The parts of `check_method`, each of which can be called by itself."""


class _Stopping(Watcher):
    """Asks to stop after some steps."""

    def __init__(self, after: int) -> None:
        self.left = after

    def step(self, step: int, steps: int, loss: float) -> None:
        self.left -= 1

    def stop(self) -> bool:
        return self.left <= 0


def _run(method: Method, out: Path | None, **changes: Any) -> SyntheticSet:
    """A small run."""
    arguments: dict[str, Any] = {"machine": MACHINE, "watcher": Watcher(), **changes}
    return accepted(
        f"{method.name}: distill",
        lambda: distill(
            toy_data(), method, IPC, steps=STEPS, network=NETWORK, out=out, record=Record(snapshots=2), **arguments
        ),
    )
