"""What is timed, at CIFAR-10's shape: steps of DM and DC with 256 real images per class, of MTT (50 student steps at 1
image per class, 10 and 20 at 10), an expert's epoch over 2,048 images, a step of an evaluation; and five
networks of an evaluation beside the library's own training of one after the other.
"""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.measure import Pairs, Peak
from benchmarks.textbook import ExpertTraining, GradientMatching, Matching, Training, TrajectoryMatching
from distillset import DC, DM, MTT, RealSet, Spec, distill
from distillset.augment import default_strategy
from distillset.engine import Compute, Engine
from distillset.keys import Key, normal
from distillset.machine import Machine
from distillset.methods import Method
from distillset.nets import build, fresh
from distillset.training import ExpertSetting, ExpertTrainer, Layout, Recipe, Trainer, TrainingSet, Trajectories
from distillset.watch import Watcher

CLASSES, IPC, BATCH, SIZE = 10, 10, 256, 32
STRATEGY = default_strategy(flip=True)
COMPILED = Machine(compile="on")
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
"""Where both loops run: what ``--device auto`` takes."""


def real_set(images: int = 20_000) -> RealSet:
    """Random pixels in CIFAR-10's shape: the arithmetic does not depend on what they show."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (images, 3, SIZE, SIZE), dtype=torch.uint8, generator=generator)
    spec = Spec("benchmark", 3, SIZE, SIZE, tuple(str(c) for c in range(CLASSES)), (0.5,) * 3, (0.25,) * 3)
    return RealSet(pixels, torch.arange(images) % CLASSES, spec)


def synthetic_set() -> tuple[Tensor, Tensor]:
    """Images and labels of the size that is trained on."""
    images = normal(Key(0)("images").words(), (CLASSES * IPC, 3, SIZE, SIZE))
    return images.to(DEVICE), torch.arange(CLASSES, device=DEVICE).repeat_interleave(IPC)


class Between(Watcher):
    """Calls back after every step of a run."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.call = call

    def step(self, step: int, steps: int, loss: float) -> None:
        self.call()


def distil(method: Method, ipc: int, steps: int, call: Callable[[], object]) -> None:
    """A real run of the library, with ``call`` after every step."""
    distill(real_set(), method, ipc, steps=steps, machine=COMPILED, watcher=Between(call))


def train(steps: int, call: Callable[[], object]) -> None:
    """A real training of the library, with ``call`` after every step (one epoch is one step)."""
    images, labels = synthetic_set()
    spec = real_set(CLASSES).spec
    trainer = Trainer(Engine(Compute.resolve(COMPILED)), build("convnet", spec), Recipe(steps, augmentation=STRATEGY))
    state = fresh(trainer.module, Key(0)("network"), DEVICE)

    def after(epoch: int, state: dict[str, Tensor]) -> None:
        call()

    trainer.train(state, TrainingSet.held(images, labels, Key(0)), after=after)


def segment() -> tuple[Tensor, Tensor]:
    """Parameters of a ConvNet, and others not far from them."""
    module = build("convnet", real_set(CLASSES).spec)
    first = Layout(module).flatten(fresh(module, Key(0)))
    return first, first + 0.01 * normal(Key(1).words(), first.shape)


def match(steps: int, ipc: int, runs: int, call: Callable[[], object]) -> None:
    """A real run of the library beside an expert that is made up, with ``call`` after every step."""
    real = real_set()
    with tempfile.TemporaryDirectory() as folder:
        module = build("convnet", real.spec)
        setting = ExpertSetting(real.fingerprint(), "none", "convnet")
        trajectories = Trajectories.make(Path(folder) / "experts", setting, Layout(module), Compute.resolve().to_json())
        for epoch, vector in enumerate(segment()):
            trajectories.save(0, epoch, vector)
        method = MTT(
            experts=str(trajectories.folder), syn_steps=steps, max_start=1, expert_epochs=1, batch_syn=0, limit=1e9,
            lr=100.0, lr_start=0.01, lr_lr=1e-7,
        )  # fmt: skip
        distill(real, method, ipc, steps=runs, machine=COMPILED, watcher=Between(call))


def textbook_mtt(steps: int, ipc: int) -> Callable[[int], float]:
    """One textbook MTT step, given its number."""
    first, last = (vector.to(DEVICE) for vector in segment())
    loop = TrajectoryMatching(start(real_set(), ipc), ipc, first, last, steps, STRATEGY)
    return lambda i: loop.step(Key(0)("step", i))


EPOCH = 2048
"""Images of an expert's epoch here: a 24th of CIFAR-10's."""


def train_expert(epochs: int, call: Callable[[], object]) -> None:
    """A real expert of the library, with ``call`` after every epoch."""
    real = real_set(EPOCH)
    setting = ExpertSetting(real.fingerprint(), "none", "convnet", augment=STRATEGY)
    trainer = ExpertTrainer(Engine(Compute.resolve(COMPILED)), build("convnet", real.spec), real, setting)
    vector = trainer.start(0)
    for epoch in range(epochs):
        vector, _ = trainer.epoch(vector, 0, epoch)
        call()


def state_bytes() -> int:
    """Bytes on disk of one epoch of an expert."""
    with tempfile.TemporaryDirectory() as folder:
        trajectories = Trajectories(Path(folder), {})
        trajectories.save(0, 0, segment()[0])
        return trajectories.bytes([0])


def textbook_expert() -> Callable[[int], float]:
    """One textbook epoch of an expert, given its number."""
    real = real_set(EPOCH)
    loop = ExpertTraining(*held(real), BATCH, STRATEGY)
    return lambda i: loop.step(Key(0)("step", i))


def textbook_dm() -> Callable[[int], float]:
    """One textbook DM step, given its number."""
    real = real_set()
    loop = Matching(*held(real), start(real, IPC), IPC, BATCH, STRATEGY)
    return lambda i: loop.step(Key(0)("step", i))


def textbook_dc(method: DC, ipc: int) -> Callable[[int], float]:
    """One textbook DC step, given its number."""
    real = real_set()
    assert method.outer is not None
    assert method.inner is not None
    loop = GradientMatching(*held(real), start(real, ipc), ipc, BATCH, method.outer, method.inner)
    return lambda i: loop.step(Key(0)("step", i))


def start(real: RealSet, ipc: int) -> Tensor:
    """Real images to start from, ``[classes*ipc, C, H, W]``."""
    return torch.cat([real.draw(c, ipc, Key(0)("init", c), DEVICE) for c in range(CLASSES)])


def held(real: RealSet) -> tuple[Tensor, Tensor]:
    """All images as floats, as the textbook keeps them, and their labels."""
    return real.rows(torch.arange(len(real)), DEVICE), real.labels.to(DEVICE)


def textbook_evaluation() -> Callable[[int], float]:
    """One textbook training step, given its number."""
    loop = Training(*synthetic_set(), STRATEGY)
    return lambda i: loop.step(Key(0)("step", i))


NETWORKS, EPOCHS = 5, 19
"""Of an evaluation that is timed whole, on 100 images; in one run of it each network makes 20 passes."""


def five(side_by_side: bool) -> Callable[[], object]:
    """Five networks trained on one set, side by side where the library would do so, or one after the other."""
    images, labels = synthetic_set()
    spec = real_set(CLASSES).spec
    trainer = Trainer(Engine(Compute.resolve(COMPILED)), build("convnet", spec), Recipe(EPOCHS))
    size = trainer.together(spec.shape, len(labels)) if side_by_side else 1
    keys = [Key(i) for i in range(NETWORKS)]

    def run() -> None:
        for group in [keys[i : i + size] for i in range(0, NETWORKS, size)]:
            trainer.fit_together([TrainingSet.held(images, labels, key) for key in group])

    return run


def train_five(runs: int, call: Callable[[], object]) -> None:
    """Evaluations of five networks as the library does them, with ``call`` after each."""
    run = five(True)
    for _ in range(runs):
        run()
        call()


def one_by_one() -> Callable[[int], object]:
    """The same networks by the library, one after the other."""
    run = five(False)
    return lambda i: run()


DC_1 = DC(batch_real=BATCH, outer=1, inner=1)
DC_10 = DC(batch_real=BATCH, outer=2, inner=50)
"""The published loops; at 10 images per class two of ten updates, with the training between them."""

CASES: dict[str, tuple[Callable[[int, Callable[[], object]], None], Callable[[], Callable[[int], object]]]] = {
    "dm": (partial(distil, DM(batch_real=BATCH), IPC), textbook_dm),
    "dc-1": (partial(distil, DC_1, 1), partial(textbook_dc, DC_1, 1)),
    "dc-10": (partial(distil, DC_10, IPC), partial(textbook_dc, DC_10, IPC)),
    "mtt-1": (partial(match, 50, 1), partial(textbook_mtt, 50, 1)),
    "mtt-10": (partial(match, 10, 10), partial(textbook_mtt, 10, 10)),
    "mtt-20-steps": (partial(match, 20, 10), partial(textbook_mtt, 20, 10)),
    "expert": (train_expert, textbook_expert),
    "evaluation": (train, textbook_evaluation),
    "five-networks": (train_five, one_by_one),
}
"""Name to (the library's own run, the textbook's step)."""


def times(case: str, pairs: int, warm: int = 2) -> dict[str, Any]:
    """Fast and textbook steps in turn."""
    fast, textbook = CASES[case]
    timer = Pairs(textbook(), warm)
    fast(pairs + warm, timer.between)
    return timer.result()


def memory(case: str, which: str, warm: int = 2) -> float | None:
    """Megabytes a step of ``fast`` or ``textbook`` needs at its peak, above the warmed-up process."""
    fast, textbook = CASES[case]
    peak = Peak(warm)
    if which == "fast":
        fast(warm + 1, peak)
    else:
        step = textbook()
        for i in range(warm + 1):
            step(i)
            peak()
    return peak.megabytes
