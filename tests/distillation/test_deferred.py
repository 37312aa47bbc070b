"""The way of a GPU, on a CPU: steps that read nothing back keep every promise of steps looked at one by one."""

import dataclasses
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from distillset import DC, DM, DSA, InterruptedRun, SyntheticSet
from distillset.data.real import RealSet
from distillset.distillation.learned import KEPT, Learned
from distillset.engine import Engine, Launch
from distillset.errors import DivergedError
from distillset.methods import Leaf, Method, Role, Task, setting
from distillset.nets import build
from tests import toys
from tests.methods.exact import inputs_of
from tests.methods.small_mtt import METHOD as SMALL_MTT
from tests.operations import Operations
from tests.runs import METHOD, Counting, Recorder, assert_same_end, distil, steps_logged

PLAIN: dict[str, Method] = {
    "dm": DM(batch_real=6, augment="none"),
    "dc": DC(batch_real=6, outer=3, inner=2, batch_train=4),
    "all": DC(batch_real=6, match="all"),
    "mtt": dataclasses.replace(SMALL_MTT, augment="none", segments=2, average=0.9, lr_labels=1.0),
}
AUGMENTED: dict[str, Method] = {
    "dm": METHOD,
    "dsa": DSA(batch_real=6, outer=2, inner=2, formation=2),
    "mtt": dataclasses.replace(SMALL_MTT, canvas=2, batch_syn=4),
}


def deferred(*arguments: Any, **named: Any) -> SyntheticSet:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(import_module("distillset.distillation.distill"), "Engine", partial(Engine, defers=True))
        return distil(*arguments, **named)


@pytest.mark.parametrize("name", PLAIN)
def test_a_run_has_the_same_bits(name: str, tmp_path: Path) -> None:
    method = PLAIN[name]
    plain, other = distil(tmp_path / "a", method=method, steps=4), deferred(tmp_path / "b", method=method, steps=4)
    for key, tensor in plain.tensors().items():
        assert torch.equal(tensor, other.tensors()[key]), key
    losses = [[json.loads(line)["loss"] for line in (at / "metrics.jsonl").read_text().splitlines()]
              for at in (tmp_path / "a", tmp_path / "b")]  # fmt: skip
    assert losses[0] == losses[1]
    assert len(losses[0]) == 4


@pytest.mark.parametrize("name", AUGMENTED)
def test_augmented_runs_are_equal_to_rounding(name: str) -> None:
    method = AUGMENTED[name]
    start, plain, other = (
        distil(method=method, steps=0),
        distil(method=method, steps=3),
        deferred(method=method, steps=3),
    )
    moved = float((plain.images - start.images).norm())
    assert float((plain.images - other.images).norm()) < 1e-3 * moved


@pytest.mark.parametrize("norm", ["BN", ""])
def test_a_user_s_network_and_batch_norm(norm: str) -> None:
    def own(channels: int, height: int, width: int, classes: int) -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Conv2d(channels, 8, 3, padding=1), torch.nn.Tanh(), torch.nn.AvgPool2d(2),
                                   torch.nn.Flatten(), Scaled(8 * 16, classes))  # fmt: skip

    network: Any = own if not norm else f"{toys.NETWORK}BN"
    for method in (PLAIN["dm"], PLAIN["dc"]):
        plain, other = (run(method=method, steps=2, network=network) for run in (distil, deferred))
        assert torch.equal(plain.images, other.images)


class Scaled(torch.nn.Linear):
    """A layer of a user's own, which draws its parameters its own way."""

    def reset_parameters(self) -> None:
        torch.nn.init.normal_(self.weight, std=0.1)
        torch.nn.init.zeros_(self.bias)


def test_steps_are_told_one_by_one_and_read_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = 0
    read = Learned.read

    def counted(self: Learned) -> Any:
        nonlocal readings
        readings += 1
        return read(self)

    monkeypatch.setattr(Learned, "read", counted)
    monkeypatch.setattr("distillset.distillation.loop.READ_SECONDS", 1e9)
    watcher = Recorder()
    deferred(method=PLAIN["dm"], steps=100, watcher=watcher)
    assert [step for step, _, _ in watcher.steps] == list(range(1, 101))
    assert readings == 7  # 1, 2, 4, 8, 16, 32 and the rest


def test_more_steps_than_are_kept_between_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distillset.distillation.loop.KEPT", 4)
    monkeypatch.setattr("distillset.distillation.learned.KEPT", 4)
    watcher, plain = Recorder(), Recorder()
    deferred(method=PLAIN["dm"], steps=30, watcher=watcher)
    distil(method=PLAIN["dm"], steps=30, watcher=plain)
    assert watcher.steps == plain.steps
    assert KEPT == 1024


def test_a_stopped_run_goes_on_to_the_same_end(tmp_path: Path) -> None:
    deferred(tmp_path / "whole", method=PLAIN["dm"], steps=9)
    with pytest.raises(InterruptedRun):
        deferred(tmp_path / "parts", method=PLAIN["dm"], steps=9, watcher=Recorder(stop_after=3))
    deferred(tmp_path / "parts", method=PLAIN["dm"], steps=9)
    assert_same_end(tmp_path / "whole", tmp_path / "parts")
    assert steps_logged(tmp_path / "parts") == list(range(1, 10))


def test_snapshots_and_accuracies_are_of_their_step(tmp_path: Path) -> None:
    asked: list[int] = []

    def accuracy(synthetic: SyntheticSet) -> float:
        asked.append(int(synthetic.card["steps"]))
        return 0.5

    out = tmp_path / "run"
    deferred(out, method=PLAIN["dm"], steps=12, snapshots=3, evaluate=accuracy, evaluate_every=5)
    assert asked == [5, 10]
    kept = sorted(int(path.stem.removeprefix("step-")) for path in (out / "snapshots").iterdir())
    assert kept == [0, 4, 8, 12]
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "accuracy" in line] == [5, 10]
    plain = tmp_path / "plain"
    distil(plain, method=PLAIN["dm"], steps=12, snapshots=3)
    for step in kept:
        name = f"snapshots/step-{step}.safetensors"
        assert (out / name).read_bytes() == (plain / name).read_bytes()


class Growing(Counting):
    """Pixels that grow until they are beyond what is allowed."""

    rate: float = setting(2000.0, "learning rate of the images", above=0)


@pytest.mark.parametrize("method", [Growing(), Growing(rate=1e30)])
def test_divergence_is_found_to_the_step(method: Growing, tmp_path: Path) -> None:
    said, ends = [], []
    for name, run in (("a", distil), ("b", deferred)):
        with pytest.raises(DivergedError) as ended:
            run(tmp_path / name, method=method, steps=50, init="noise")
        said.append(str(ended.value))
        ends.append((steps_logged(tmp_path / name), (tmp_path / name / "checkpoints").iterdir()))
    assert said[0] == said[1]
    assert ends[0][0] == ends[1][0]
    assert [path.name for path in ends[0][1]] == [path.name for path in ends[1][1]]


@pytest.mark.parametrize("limit", [0.3, 1e-9])
def test_steps_are_skipped_alike(limit: float, tmp_path: Path) -> None:
    """Some of them, and so many in a row that the run is lost."""
    method = dataclasses.replace(SMALL_MTT, augment="none", limit=limit)
    ends: list[Any] = []
    for name, run in (("a", distil), ("b", deferred)):
        try:
            made = run(tmp_path / name, method=method, steps=25)
            ends.append((made.card["metrics"]["skipped"], made.images.tolist()))
        except DivergedError as error:
            ends.append(str(error))
    assert ends[0] == ends[1]


def test_the_same_patience_again_after_a_lost_run(tmp_path: Path) -> None:
    method = dataclasses.replace(SMALL_MTT, augment="none", limit=1e-9)
    for step in (20, 39):  # 19 are whole, then 20 more
        with pytest.raises(DivergedError, match=f"at step {step}"):
            deferred(tmp_path / "run", method=method, steps=60)


def operations(classes: int, defers: bool) -> int:
    """PyTorch's operations in an update of DM whose classes are one block."""
    real = toys.toy((6,) * classes, noise=5)
    task = Task(real, 1, build("ConvNetD1W4", real.spec), toys.engine(10**6, defers=defers))
    matcher = DM(batch_real=4).resolve(real.spec, 1).prepare(task)
    assert len(matcher.blocks) == 1
    leaves = {"images": torch.randn(classes, *real.spec.shape)}
    with Operations() as counter:
        inputs = inputs_of(matcher)
        state, numbers = matcher.begin(inputs), matcher.draw(inputs)
        matcher.term(leaves, state, numbers, matcher.blocks[0])
    return int(counter.count)


def test_the_operations_of_a_step_do_not_grow_with_its_classes() -> None:
    assert operations(3, True) == operations(10, True) == operations(100, True) <= 1400
    # Where the host sees what was drawn, they depend on which of the six operations are among it.
    assert operations(100, False) <= 1100


def test_nothing_asks_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would wait for a GPU, or could not be captured: no number is read in a step."""

    class Reads(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            assert "_local_scalar_dense" not in str(func), "a number is read"
            assert "nonzero" not in str(func), "a size depends on numbers"
            return func(*args, **(kwargs or {}))

    really = Launch.__call__

    def watched(self: Launch, *arguments: Any) -> None:
        with Reads():  # type: ignore[no-untyped-call]
            really(self, *arguments)

    monkeypatch.setattr(Launch, "__call__", watched)
    for method in (*PLAIN.values(), *AUGMENTED.values()):
        deferred(method=method, steps=2)


def test_leaves_under_their_sgd_by_hand() -> None:
    """Momentum, an average, and a leaf that stays positive, with and without reading back."""
    for reads in (True, False):
        leaves = {
            "images": Leaf(torch.zeros(2), 0.5, 0.5, average=0.75, role=Role.PIXELS),
            "lr": Leaf(torch.tensor([2.0]), 1.0, positive=True),
        }
        learned = Learned(leaves, float("inf"), 0, defers=not reads)
        learned.keep_whole()
        for _ in range(2):
            learned.advance(torch.tensor(3.0), {"images": torch.ones(2), "lr": torch.tensor([0.5])})
            learned.end_episode()
        assert learned.leaves["images"].tolist() == [-1.25, -1.25]  # -0.5, then -0.5 (0.5 + 1)
        assert learned.averages["images"].tolist() == [-0.40625, -0.40625]  # -0.125, then 0.75 of it and 0.25 of -1.25
        first = 2 * torch.tensor(-0.25).exp()  # r exp(D / r)
        expected = first * (torch.tensor(-0.5) / first).exp()
        torch.testing.assert_close(learned.leaves["lr"], expected[None])
        account = learned.read()
        assert (account.losses, account.outcome) == ([3.0, 3.0], 0)
        # What is not finite changes nothing, and ends the run.
        before = {name: tensor.clone() for name, tensor in learned.state().items()}
        learned.advance(torch.tensor(1.0), {"images": torch.full((2,), float("nan")), "lr": torch.tensor([0.5])})
        learned.end_episode()
        learned.advance(torch.tensor(1.0), {"images": torch.ones(2), "lr": torch.tensor([0.5])})
        learned.end_episode()
        assert all(torch.equal(tensor, before[name]) for name, tensor in learned.state().items())
        assert (learned.read().losses, learned.lost()) == ([], True)


def test_images_of_a_set_that_does_not_fit_are_read_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a thread, and the run is the same."""
    readers: set[str] = set()
    pixels = RealSet.pixels

    def watched(self: RealSet, rows: torch.Tensor, device: torch.device) -> torch.Tensor:
        if len(rows) > 6:
            readers.add(threading.current_thread().name)
        return pixels(self, rows, device)

    plain = distil(method=PLAIN["dm"], steps=5)
    monkeypatch.setattr(RealSet, "resident", lambda self, device: False)
    monkeypatch.setattr(RealSet, "pixels", watched)
    for method in ("dm", "dc"):
        plain, other = distil(method=PLAIN[method], steps=4), deferred(method=PLAIN[method], steps=4)
        assert torch.equal(plain.images, other.images)
    assert any(name.startswith("read-ahead") for name in readers)


def test_two_runs_in_two_threads_give_the_pixels_of_each_alone() -> None:
    methods = [PLAIN["dm"], AUGMENTED["dsa"], AUGMENTED["mtt"], PLAIN["dc"]]
    alone = [distil(method=method, steps=3, seed=seed).images for seed, method in enumerate(methods)]
    with ThreadPoolExecutor(4) as threads:
        calls = [threads.submit(distil, method=method, steps=3, seed=seed) for seed, method in enumerate(methods)]
        found = [call.result().images for call in calls]
    assert all(torch.equal(one, other) for one, other in zip(alone, found, strict=True))
