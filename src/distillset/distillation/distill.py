"""Distil a real set: resolve the settings of the run, resume it if it was interrupted, and start the loop."""

import math
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from distillset.arguments import of_kind, path_of, whole
from distillset.augment import packed
from distillset.coresets import notes_on_repeats
from distillset.data.origin import real_images
from distillset.data.spec import Spec
from distillset.data.synthetic import SyntheticSet
from distillset.distillation.initial import initial, named, real_rows
from distillset.distillation.loop import Loop
from distillset.distillation.record import Record
from distillset.distillation.run_folder import Checkpoint, RunFolder, check_same, resolve_compute
from distillset.distillation.whitening import chosen, keep, whitened
from distillset.engine import Compute, Engine, measure
from distillset.engine.hardware import forget_peak
from distillset.engine.room import check_disk, check_memory, size
from distillset.errors import InputError
from distillset.keys import STREAMS, Key
from distillset.machine import Machine
from distillset.mesh import join
from distillset.methods import Method, Task, method_of, resolved
from distillset.nets import Network, Source, canonical, mixes_images
from distillset.nets.layers import STRIDES, strided
from distillset.nets.twice import check_twice, math_attention
from distillset.sources.load import Data, as_data
from distillset.watch import Watcher, watching

FIRST_STREAMS = 1
"""The random streams of runs that do not say theirs."""


def distill(
    data: Any,
    method: Method | str,
    ipc: int,
    *,
    steps: int | None = None,
    seed: int = 0,
    network: Source = "convnet",
    init: str | None = None,
    whiten: str = "auto",
    out: str | Path | None = None,
    machine: Machine | str = "auto",
    record: Record | None = None,
    watcher: Watcher | Callable[[int, int, float], object] | None = None,
) -> SyntheticSet:
    """Distil a real set into ``ipc`` synthetic images per class. Ranks of `torchrun` share the work: only the first
    touches ``out``, and all return the same set.

    This function changes no setting of the process. It uses the CPU threads that PyTorch has
    (`torch.set_num_threads`). A run gives the same bits only if it is resumed with the number of threads that it began
    with; the watcher is notified if it is not. The command line also changes settings of its own process: see "A busy
    machine" on the page about scaling.

    Args:
        data: `Data`, or whatever `distillset.load` takes; its training set is distilled, or a `RealSet`.
        method: such as ``DM()``, or ``"dm"`` for its published settings. ``auto`` settings are chosen for the data.
        ipc: images per class, at least 1.
        steps: episodes, at least 0; None is the method's published number.
        seed: random seed, a whole number.
        network: the network to distil with: a published name (``convnet``, ``ResNet18BN``), ``timm/NAME``,
            ``module:function``, an `nn.Module` of your own, or a function of channels, height, width and classes that
            makes one.
        init: where the images start: ``real``, ``noise``, ``kmeans`` or an artifact's folder; None is as published.
        whiten: ``zca`` (fitted on the training set, in place of mean and std), ``zca-large`` (the same, also for images
            above 32x32x3), ``none``, or ``auto``: as published for the method and data.
        out: folder for checkpoints, metrics, snapshots and the artifact. The same call resumes an interrupted run.
        machine: what to compute on: a `Machine`, or the name of a device, such as ``cuda``.
        record: what to store and measure during the run: snapshots, accuracies, checkpoints; None is `Record()`.
        watcher: is notified of progress and may ask to stop; or a plain function of (step, steps, loss).

    Returns:
        The synthetic set after the last step (never the best on any test set).

    Raises:
        InputError: an argument is out of its range, or contradicts the run in ``out``.
        DivergedError: a loss or gradient is not finite; the last good state is in ``out``.
        InterruptedRun: the watcher asked to stop; the state is in ``out``.
    """
    watcher, method, machine = watching(watcher), method_of(method), Machine.of(machine)
    ipc, seed = whole("ipc", ipc, 1), whole("seed", seed)
    steps = whole("steps", method.steps if steps is None else steps, 0)
    record = Record() if record is None else record
    of_kind("record", record, Record, "a Record, or None")
    data = as_data(data, watcher)
    real = data.train
    net = Network.of(network, real.spec)
    method = resolved(method, real.spec, ipc)
    init = method.init if init is None else named(init)
    whiten = chosen(whiten, method, real.spec, ipc)
    settings: dict[str, Any] = {
        "method": method.name,
        **method.values(),
        "ipc": ipc,
        "seed": seed,
        "streams": STREAMS,
        "network": net.name,
        "init": init,
        "whiten": whiten,
        "data": real.fingerprint(),
        **({} if data.classes is None else {"classes": list(data.classes.names)}),
    }
    mesh = join(machine.device)
    run_folder = RunFolder.open(path_of("out", out)) if out is not None and mesh.writes else nullcontext()
    with _differentiable(net, real.spec, method), run_folder as folder:
        stored = _begun(folder, method, settings, steps, watcher) if folder else None
        for line in (*_advice(net.module, method), *notes_on_repeats(real, ipc)):
            watcher.note(line)
        left = steps - (stored.step if stored else 0)
        before = 0.0 if stored else method.images_before(real)
        passes = (before + method.images_per_step(real, ipc) * left) / mesh.size
        work = measure(net.module, real.spec.shape, passes, method.second_order)
        compute = resolve_compute(machine, work, stored.settings if stored else None)
        settings["compute"] = mesh.agree(compute.to_json())
        compute = Compute(**settings["compute"], reasons=compute.reasons)
        done = _finished(folder.folder, steps) if folder and stored and stored.step == steps else None
        if folder and done and mesh.size == 1:
            watcher.note(f"{folder.folder}: finished already, {steps} steps")
            return done
        _check_room(real.spec, method, ipc, (stored.step if stored else 0, steps), record.snapshots, compute, folder)
        engine, place = Engine(compute, watcher), folder.folder if folder else None
        forget_peak(engine.device)
        real = whitened(real, whiten, place, watcher, mesh)
        task = Task(real, ipc, net.module, engine, net.name, Key(seed), place, watcher, mesh)
        start = _start(task, init, method, stored)
        for reason in compute.reasons:
            watcher.note(reason)
        with closing(method.prepare(task)) as matcher:
            loop = Loop(task, matcher, start, settings, data.origin(), folder, watcher, mesh, method.formation)
            del start  # large sets are not held twice
            keep(real, place)
            if stored:
                loop.restore(stored)
                watcher.note(f"resuming at step {stored.step} of {steps}")
                stored = None  # nor is their checkpoint
            loop.meet()
            loop.run(steps, record)
            synthetic = _with_real_images(loop.synthetic(), task, init, method, data)
            loop.forget()  # nor while they are saved
            if folder:
                synthetic.save(folder.folder)
        return synthetic


def _begun(
    folder: RunFolder, method: Method, settings: dict[str, Any], steps: int, watcher: Watcher
) -> Checkpoint | None:
    """The checkpoint that a run is resumed from, if there is one.

    Raises:
        InputError: it is of another run, or beyond ``steps``.
    """
    stored, notes = folder.latest(partial(_same, method, settings))
    for note in notes:
        watcher.note(note)
    if stored and stored.step > steps:
        raise InputError("steps", steps, f"the run in this folder is already at step {stored.step}")
    if stored and stored.step < steps and stored.settings.get("streams", FIRST_STREAMS) != STREAMS:
        raise InputError.about(
            "the folder of the run",
            "holds a run that an earlier version began, which drew other random numbers; finish it with that version, "
            "or choose another `out`",
        )
    return stored


def _same(method: Method, settings: dict[str, Any], stored: Checkpoint) -> None:
    """Whether a command of these settings may go on from a checkpoint.

    Raises:
        InputError: names the first field that differs.
    """
    since = type(method)().values()  # fields that runs of earlier versions did not have
    before = stored.settings.get("method")
    if before != method.name:
        raise InputError.about(
            "the folder of the run", f"holds a run of {before}; choose another `out` for {method.name}"
        )
    now = {"network": canonical(str(stored.settings.get("network"))), "streams": STREAMS}  # streams: see `_begun`
    was = {"whiten": "none", **since, **stored.settings, **now}
    check_same(was, settings)


@contextmanager
def _differentiable(network: Network, spec: Spec, method: Method) -> Iterator[None]:
    """Where a user's own network has the derivatives that ``method`` takes.

    Raises:
        InputError: it has not; see `check_twice`.
    """
    if network.published or not method.second_order:
        yield
        return
    with math_attention():
        check_twice(network, spec, method.name)
        yield


def _check_room(
    spec: Spec,
    method: Method,
    ipc: int,
    span: tuple[int, int],
    snapshots: int,
    compute: Compute,
    folder: RunFolder | None,
) -> None:
    """Whether the images, their gradients and momenta fit into memory, and those that are kept on the disk.

    Raises:
        InputError: they cannot.
    """
    done, steps = span
    images = spec.classes * ipc * method.canvas**2 * math.prod(spec.shape) * 4
    # A run in a folder holds images and momenta twice: the last whole state stays as it is until the next one is.
    check_memory("ipc", ipc, f"learning {spec.classes * ipc:,} images", images * (5 if folder else 3), compute.device)
    if folder:
        left = min(snapshots, steps) * (steps - done) // max(1, steps) + 1 if snapshots else 0
        check_disk("snapshots", snapshots, f"keeping so many sets of {size(images)}", left * images, folder.folder)


def _advice(network: nn.Module, method: Method) -> Iterator[str]:
    """What is worth knowing of a network before images are learned through it."""
    if mixes_images(network):
        yield method.batch_norm
    if strided(network):
        yield STRIDES


def _start(task: Task, init: str, method: Method, stored: Checkpoint | None) -> Tensor:
    """The images or canvases that a run starts from; of one that goes on their shape, as its checkpoint has them.

    Raises:
        InputError: the checkpoint has no images, or others than this run has.
    """
    spec, ipc, side, tiles = task.spec, task.ipc, method.canvas, method.formation
    if stored is None:
        return packed(initial(init, task.real, ipc * side**2 * tiles**2, task.key("init")), tiles)
    images = torch.zeros(spec.classes * ipc, spec.channels, side * spec.height, side * spec.width)
    learned = [tensor for name, tensor in stored.tensors.items() if name.startswith("leaf.")]
    if not any((tensor.shape, tensor.dtype) == (images.shape, images.dtype) for tensor in learned):
        raise InputError.about(
            f"checkpoint of step {stored.step}",
            f"none of its learned tensors is {images.dtype} {list(images.shape)}, as the images of this run are",
        )
    return images


def _with_real_images(synthetic: SyntheticSet, task: Task, init: str, method: Method, data: Data) -> SyntheticSet:
    """The set with a card that says which real images it was learned from, if any."""
    if init != "real" or method.picks_images:
        return synthetic
    count = task.ipc * method.canvas**2 * method.formation**2
    rows = real_rows(task.real, count, task.key("init")).tolist()
    return replace(synthetic, card={**synthetic.card, "real": real_images(rows, data.named(rows))})


def _finished(folder: Path, steps: int) -> SyntheticSet | None:
    """The artifact in ``folder`` if it is whole and of this step.

    A run that was given more steps has the one of fewer still, and a kill while it is replaced leaves a mixture.
    """
    try:
        synthetic = SyntheticSet.load(folder)
    except InputError:
        return None
    return synthetic if synthetic.card.get("steps") == steps else None
