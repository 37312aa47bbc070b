"""The loop: what it promises about updates, resuming, divergence, and what it leaves on disk."""

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from distillset import distill as make
from distillset.data.real import RealSet
from distillset.data.synthetic import CARD, SyntheticSet
from distillset.errors import DistillsetError, DivergedError, InputError, InterruptedRun
from distillset.keys import Key
from distillset.loop import Watcher
from distillset.methods import DM, Leaf, Leaves, Piece, Task, Term
from distillset.nets import build
from distillset.run import RunFolder
from distillset.store import locked, read_tensors
from tests import toys

METHOD = DM(batch_real=6)
STEPS = 6


class Recorder(Watcher):
    """Keeps what it is told, and asks to stop after some steps."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.notes: list[str] = []
        self.steps: list[tuple[int, int, float]] = []
        self.stop_after = stop_after

    def note(self, line: str) -> None:
        self.notes.append(line)

    def step(self, step: int, steps: int, loss: float) -> None:
        self.steps.append((step, steps, loss))

    def stop(self) -> bool:
        return len(self.steps) == self.stop_after

    def told(self, part: str) -> bool:
        return any(part in note for note in self.notes)


@dataclasses.dataclass(frozen=True)
class Counting:
    """Known gradients: two updates a step, of three terms whose pixels have the gradients 1, 2 and 3."""

    name = "counting"
    steps = 1
    init = "noise"
    rate: float = 0.5
    updates: float = 2.0

    def resolve(self, spec: object, ipc: int) -> "Counting":
        return self

    def images_per_step(self, real: RealSet, ipc: int) -> float:
        return 1.0

    def prepare(self, task: Task) -> "Counting":
        return self

    def leaves(self, images: Tensor) -> dict[str, Leaf]:
        return {"images": Leaf(torch.zeros_like(images), self.rate), "rates": Leaf(torch.zeros(2), 1.0, 0.5)}

    def episode(self, leaves: Leaves, step: int, key: Key) -> Iterator[Sequence[Term]]:
        for _ in range(2):
            yield [partial(self._term, leaves["images"], c) for c in range(3)]

    def _term(self, images: Tensor, c: int) -> Piece:
        ones = torch.ones_like(images[:2]) * (c + 1)
        gradients = {"images": (slice(2 * c, 2 * c + 2), ones), "rates": (slice(0, 1), torch.ones(1))}
        return Piece(images.sum() + 1, gradients)


def distil(out: Path | None = None, **changes: Any) -> SyntheticSet:
    """A small run of which single arguments are changed."""
    arguments: dict[str, Any] = {
        "data": toys.toy_data(), "method": METHOD, "ipc": 2, "steps": STEPS, "network": toys.NETWORK, "out": out,
        **toys.EAGER, **changes,
    }  # fmt: skip
    return make(**arguments)


def steps_logged(out: Path) -> list[int]:
    log = out / "metrics.jsonl"
    return [json.loads(line)["step"] for line in log.read_text().splitlines()] if log.exists() else []


def last_checkpoint(out: Path) -> dict[str, Tensor]:
    newest = max((out / "checkpoints").iterdir(), key=lambda path: int(path.stem.removeprefix("step-")))
    return read_tensors(newest)[0]


def assert_same_end(a: Path, b: Path) -> None:
    """Pixels and momentum are equal bit for bit, and so is what was logged of every step."""
    mine, theirs = last_checkpoint(a), last_checkpoint(b)
    assert set(mine) == {"leaf.images", "momentum.images"} == set(theirs)
    for name in mine:
        assert torch.equal(mine[name], theirs[name]), name
    assert torch.equal(SyntheticSet.load(a).images, SyntheticSet.load(b).images)
    losses = [[json.loads(line)["loss"] for line in (at / "metrics.jsonl").read_text().splitlines()] for at in (a, b)]
    assert losses[0] == losses[1]
    cards = [SyntheticSet.load(at).card for at in (a, b)]
    assert cards[0]["metrics"]["loss"] == cards[1]["metrics"]["loss"] == losses[0][-1]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run from its start to its end."""
    out = tmp_path_factory.mktemp("runs") / "uninterrupted"
    distil(out)
    return out


# --- updates ---------------------------------------------------------------------------------------------------------


def test_updates_are_sgd_with_momentum_on_the_method_s_gradient() -> None:
    real = toys.toy()
    method = DM(lr=0.7, momentum=0.5, batch_real=6).resolve(real.spec, 2)
    found = distil(data=real, method=method, steps=3, seed=5).images
    images = torch.cat([real.draw(c, 2, Key(5)("init", c)) for c in range(3)])
    matcher = method.prepare(Task(real, 2, build(toys.NETWORK, real.spec), toys.engine()))
    velocity = torch.zeros_like(images)
    for step in range(3):
        (terms,) = list(matcher.episode({"images": images}, step, Key(5)("step", step)))
        gradient = torch.cat([term().gradients["images"][1] for term in terms])
        velocity = 0.5 * velocity + gradient
        images = images - 0.7 * velocity
    torch.testing.assert_close(found, images, rtol=1e-5, atol=1e-5)


def test_equal_runs_give_equal_bits_and_other_seeds_do_not() -> None:
    first, again, other = distil(), distil(), distil(seed=1)
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.images, other.images)


def test_the_global_random_state_is_neither_read_nor_moved() -> None:
    torch.manual_seed(1)
    first = distil(steps=2)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    again = distil(steps=2)
    assert torch.equal(first.images, again.images)
    assert torch.equal(torch.get_rng_state(), before)


def test_losses_and_gradients_of_terms_add_up_and_each_yield_is_an_update() -> None:
    """Two yields of three terms: the second sees the images that the first has moved."""

    watcher = Recorder()
    synthetic = distil(method=Counting(), steps=1, watcher=watcher, init="noise")
    for c in range(3):  # two updates of -0.5 (c + 1)
        assert torch.equal(synthetic.images[2 * c : 2 * c + 2], torch.full((2, 3, 8, 8), -1.0 * (c + 1)))
    # Three terms of 1, then three of 1 - 0.5 (1 + 2 + 3) * 2 images * 192 pixels; the mean of both updates.
    assert watcher.steps == [(1, 1, (3 * 1 + 3 * (1 - 0.5 * 6 * 2 * 192)) / 2)]


def test_labels_and_card() -> None:
    data = toys.toy_data()
    synthetic = distil(seed=3)
    assert synthetic.labels.tolist() == [0, 0, 1, 1, 2, 2]
    card = synthetic.card
    assert (card["method"], card["steps"]) == ("dm", STEPS)
    assert card["data"] == {"source": "toy", "fingerprint": data.train.fingerprint(), "images": 24}
    settings = card["settings"]
    assert (settings["lr"], settings["ipc"], settings["seed"], settings["init"]) == (1.0, 2, 3, "real")
    assert settings["augment"] == "color_crop_cutout_flip_scale_rotate"
    assert settings["compute"] == {"device": "cpu", "precision": "fp32", "compile": False} | {
        name: settings["compute"][name] for name in ("threads", "micro_batch")
    }


def test_no_step_gives_the_initial_images() -> None:
    real = toys.toy()
    drawn = torch.cat([real.draw(c, 2, Key(0)("init", c)) for c in range(3)])
    synthetic = distil(steps=0)
    assert torch.equal(synthetic.images, drawn)
    assert synthetic.card["metrics"]["loss"] is None


def test_the_published_number_of_steps_is_the_default() -> None:
    watcher = Recorder(stop_after=1)
    with pytest.raises(InterruptedRun, match="20000"):
        distil(steps=None, watcher=watcher)
    assert watcher.steps[0][:2] == (1, 20_000)


@pytest.mark.parametrize("init", ["noise", "kmeans"])
def test_other_starts_run(init: str) -> None:
    assert not torch.equal(distil(init=init, steps=1).images, distil(steps=1).images)


def test_starts_from_an_earlier_artifact(uninterrupted: Path) -> None:
    assert torch.equal(distil(init=str(uninterrupted), steps=0).images, SyntheticSet.load(uninterrupted).images)


def test_more_images_than_a_class_has() -> None:
    synthetic = distil(ipc=6, steps=1)  # the third class has five
    assert synthetic.ipc == 6
    assert len(synthetic) == 18


# --- on disk ---------------------------------------------------------------------------------------------------------


def test_what_a_run_leaves(uninterrupted: Path) -> None:
    assert sorted(path.name for path in uninterrupted.iterdir() if path.name != ".lock") == [
        "README.md", CARD, "checkpoints", "grid.png", "metrics.jsonl", "snapshots", "synthetic.safetensors",
    ]  # fmt: skip
    assert steps_logged(uninterrupted) == [1, 2, 3, 4, 5, 6]
    assert torch.equal(SyntheticSet.load(uninterrupted).images, distil().images)


def test_the_last_two_checkpoints_are_kept(tmp_path: Path) -> None:
    distil(tmp_path / "run", checkpoint_seconds=0)
    names = {path.name for path in (tmp_path / "run" / "checkpoints").iterdir()}
    assert names == {"step-5.safetensors", "step-6.safetensors"}


@pytest.mark.parametrize(
    ("snapshots", "steps", "kept"),
    [(0, 6, None), (1, 6, {0, 6}), (3, 6, {0, 2, 4, 6}), (2, 5, {0, 2, 5}), (10, 4, {0, 1, 2, 3, 4})],
)
def test_snapshots_are_evenly_spaced(tmp_path: Path, snapshots: int, steps: int, kept: set[int] | None) -> None:
    synthetic = distil(tmp_path / "run", snapshots=snapshots, steps=steps)
    folder = tmp_path / "run" / "snapshots"
    if kept is None:
        assert not folder.exists()
        return
    assert {int(path.stem.removeprefix("step-")) for path in folder.iterdir()} == kept
    assert torch.equal(read_tensors(folder / f"step-{steps}.safetensors")[0]["images"], synthetic.images)
    first = read_tensors(folder / "step-0.safetensors")[0]["images"]
    assert torch.equal(first, distil(steps=0).images)


def test_accuracy_is_logged_and_changes_nothing(tmp_path: Path, uninterrupted: Path) -> None:
    seen: list[int] = []

    def accuracy(synthetic: SyntheticSet) -> float:
        seen.append(synthetic.card["steps"])
        torch.manual_seed(99)  # the worst an evaluation could do
        return 0.25

    distil(tmp_path / "run", evaluate=accuracy, evaluate_every=2)
    assert seen == [2, 4, 6]
    records = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [record.get("accuracy") for record in records] == [None, 0.25, None, 0.25, None, 0.25]
    assert_same_end(tmp_path / "run", uninterrupted)


def test_it_tells_an_estimate_and_what_auto_chose() -> None:
    watcher = Recorder()
    distil(watcher=watcher, precision="auto", compile="auto")
    assert watcher.told("estimate: 6 steps of ")
    assert watcher.told("MB")
    assert watcher.told("precision ")
    assert watcher.told("too short to repay compiling") or watcher.told("no C++ compiler")
    assert [step[:2] for step in watcher.steps] == [(step, STEPS) for step in range(1, STEPS + 1)]


# --- going on --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stops", [[1], [4], [1, 1, 2], [5]])
def test_a_stopped_run_goes_on_bit_for_bit(tmp_path: Path, uninterrupted: Path, stops: list[int]) -> None:
    out, done = tmp_path / "run", 0
    for count in stops:
        done += count
        with pytest.raises(InterruptedRun, match=f"after step {done} of {STEPS}"):
            distil(out, watcher=Recorder(stop_after=count))
        assert steps_logged(out) == list(range(1, done + 1))
        with pytest.raises(InputError, match="not finished"):
            SyntheticSet.load(out)
    watcher = Recorder()
    distil(out, watcher=watcher)
    assert watcher.told(f"going on from step {done} of {STEPS}")
    assert steps_logged(out) == list(range(1, STEPS + 1))
    assert_same_end(out, uninterrupted)


def test_a_stop_after_the_last_step_finishes(tmp_path: Path, uninterrupted: Path) -> None:
    distil(tmp_path / "run", watcher=Recorder(stop_after=STEPS))
    assert_same_end(tmp_path / "run", uninterrupted)


def test_steps_done_after_the_last_checkpoint_are_done_again(tmp_path: Path, uninterrupted: Path) -> None:
    """As after a kill: the log is ahead of the checkpoint, and its last line is cut short."""
    out = tmp_path / "run"
    with pytest.raises(InterruptedRun):
        distil(out, watcher=Recorder(stop_after=3))
    with (out / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "loss": 123.0, "seconds": 1}\n{"step": 5, "lo')
    (out / "checkpoints" / ".step-5.safetensors.77.tmp").write_bytes(b"half")
    distil(out)
    assert steps_logged(out) == [1, 2, 3, 4, 5, 6]
    assert_same_end(out, uninterrupted)
    assert not list(out.rglob(".*.tmp"))


def test_more_steps_may_be_asked_for(tmp_path: Path, uninterrupted: Path) -> None:
    out = tmp_path / "run"
    distil(out, steps=2)
    distil(out)
    assert_same_end(out, uninterrupted)
    assert SyntheticSet.load(out).card["steps"] == STEPS


def test_fewer_steps_are_refused(tmp_path: Path) -> None:
    distil(tmp_path / "run", steps=3)
    with pytest.raises(InputError, match="--steps 2: the run in this folder is already at step 3"):
        distil(tmp_path / "run", steps=2)


def test_a_finished_run_given_again_changes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "run"
    first = distil(out)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in out.rglob("*") if path.is_file()}
    watcher = Recorder()
    again = distil(out, watcher=watcher)
    assert watcher.told(f"finished already, {STEPS} steps")
    assert watcher.steps == []
    assert torch.equal(again.images, first.images)
    del before[out / ".lock"]
    assert before == {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before}


@pytest.mark.parametrize("lost", [[CARD], [CARD, "synthetic.safetensors", "grid.png"], ["synthetic.safetensors"]])
def test_a_kill_between_the_last_checkpoint_and_the_artifact(
    tmp_path: Path, uninterrupted: Path, lost: list[str]
) -> None:
    out = tmp_path / "run"
    distil(out)
    for name in lost:
        (out / name).unlink()
    distil(out)
    assert_same_end(out, uninterrupted)


def test_a_kill_before_a_grown_run_replaces_its_artifact(tmp_path: Path, uninterrupted: Path) -> None:
    """The folder holds the checkpoint of the last step and the artifact of an earlier one."""
    out = tmp_path / "run"
    distil(out, steps=2)
    old = {name: (out / name).read_bytes() for name in (CARD, "synthetic.safetensors")}
    distil(out)
    (out / CARD).write_bytes(old[CARD])
    distil(out)
    assert_same_end(out, uninterrupted)
    for name, content in old.items():
        (out / name).write_bytes(content)
    distil(out)
    assert_same_end(out, uninterrupted)


@pytest.mark.parametrize("damage", ["cut", "changed", "empty"])
def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path, uninterrupted: Path, damage: str) -> None:
    out = tmp_path / "run"
    with pytest.raises(InterruptedRun):
        distil(out, watcher=Recorder(stop_after=4), checkpoint_seconds=0)
    newest = out / "checkpoints" / "step-4.safetensors"
    content = bytearray(newest.read_bytes())
    content[-1] ^= 1
    newest.write_bytes(bytes({"cut": content[: len(content) // 2], "changed": content, "empty": b""}[damage]))
    watcher = Recorder()
    distil(out, watcher=watcher)
    assert watcher.told("step-4.safetensors")
    assert watcher.told("passed over")
    assert watcher.told(f"going on from step 3 of {STEPS}")
    assert_same_end(out, uninterrupted)


def test_no_whole_checkpoint_is_an_error(tmp_path: Path) -> None:
    out = tmp_path / "run"
    distil(out, steps=2)
    for path in (out / "checkpoints").iterdir():
        path.write_bytes(b"nonsense")
    with pytest.raises(InputError, match="none of the 2 checkpoints can be read"):
        distil(out)


@pytest.mark.parametrize(
    ("named", "changes"),
    [
        ("--seed", {"seed": 1}),
        ("--ipc", {"ipc": 3}),
        ("--network", {"network": "ConvNetD1W16"}),
        ("--lr", {"method": DM(batch_real=6, lr=2.0)}),
        ("--momentum", {"method": DM(batch_real=6, momentum=0.9)}),
        ("--batch-real", {"method": DM(batch_real=7)}),
        ("--augment", {"method": DM(batch_real=6, augment="none")}),
        ("--init", {"init": "noise"}),
        ("--data", {"data": toys.toy(seed=9)}),
        ("--precision", {"precision": "bf16"}),
    ],
)
def test_what_defines_the_result_may_not_change(uninterrupted: Path, named: str, changes: dict[str, Any]) -> None:
    before = last_checkpoint(uninterrupted)
    with pytest.raises(InputError, match=f"^{named} .*started with.*another --out"):
        distil(uninterrupted, steps=STEPS + 2, **changes)
    assert torch.equal(last_checkpoint(uninterrupted)["leaf.images"], before["leaf.images"])


def test_logging_may_change(tmp_path: Path, uninterrupted: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(InterruptedRun):
        distil(out, watcher=Recorder(stop_after=2), snapshots=0)
    distil(out, snapshots=3, evaluate=lambda synthetic: 0.5, evaluate_every=5, precision="auto", compile="auto")
    assert_same_end(out, uninterrupted)


def test_what_auto_chose_is_used_again(tmp_path: Path) -> None:
    with pytest.raises(InterruptedRun):
        distil(tmp_path / "run", watcher=Recorder(stop_after=2), precision="bf16")
    watcher = Recorder()
    synthetic = distil(tmp_path / "run", precision="auto", compile="auto", watcher=watcher)
    assert synthetic.card["settings"]["compute"]["precision"] == "bf16"
    assert torch.equal(synthetic.images, distil(precision="bf16").images)


# --- what goes wrong -------------------------------------------------------------------------------------------------


def test_a_diverging_run_stops_with_its_last_good_state(tmp_path: Path) -> None:
    # Without a norm the features grow with the pixels; with one the gradient would vanish instead.
    out, method = tmp_path / "run", DM(batch_real=6, lr=1e20)
    diverging = partial(distil, out, network=f"{toys.NETWORK}NN", method=method, checkpoint_seconds=0, steps=50)
    with pytest.raises(DivergedError, match=r"diverged at step .*: loss .*; .*try a smaller --lr") as caught:
        diverging()
    assert caught.value.exit_code == 3
    done = steps_logged(out)
    assert len(done) < 50
    assert f"step {len(done) + 1}:" in str(caught.value)
    assert all(bool(torch.isfinite(tensor).all()) for tensor in last_checkpoint(out).values())
    with pytest.raises(DivergedError) as again:  # the same command meets the same end
        diverging()
    assert str(again.value) == str(caught.value)


def test_a_pixel_that_overflows_is_not_saved(tmp_path: Path) -> None:
    """The loss and the gradients are finite, the rate times the gradient is not."""
    with pytest.raises(DivergedError, match=r"diverged at step 1: .*updated pixel of inf"):
        distil(tmp_path / "run", method=Counting(rate=3e38), init="noise", checkpoint_seconds=0)
    assert torch.equal(last_checkpoint(tmp_path / "run")["leaf.images"], torch.zeros(6, 3, 8, 8))


def test_a_norm_does_not_hide_lost_pixels(tmp_path: Path) -> None:
    """Instance norm makes the loss finite and the gradient zero, however large the pixels are."""
    with pytest.raises(DivergedError, match=r"diverged at step 1: .*updated pixel of .* \(at most 10000\)"):
        distil(tmp_path / "run", method=DM(batch_real=6, lr=1e8), checkpoint_seconds=0)
    assert float(last_checkpoint(tmp_path / "run")["leaf.images"].abs().max()) < 10


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    with locked(tmp_path / "run"), pytest.raises(InputError, match="another run is using this folder"):
        distil(tmp_path / "run")
    distil(tmp_path / "run", steps=1)


def test_the_folder_is_held_while_the_run_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "run"

    def second(synthetic: SyntheticSet) -> float:
        with pytest.raises(InputError, match="another run is using this folder"):
            distil(out)
        return 0.0

    distil(out, steps=1, evaluate=second, evaluate_every=1)


def test_a_foreign_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(InputError, match=r"thesis\.tex.*choose another folder"):
        distil(tmp_path)
    with pytest.raises(InputError, match="is a file"):
        distil(tmp_path / "thesis.tex")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    "changes",
    [
        {"ipc": 0}, {"steps": -1}, {"snapshots": -1}, {"evaluate_every": -1}, {"network": "perceptron"},
        {"network": "ConvNetD9"}, {"init": "nowhere"}, {"device": "tpu"}, {"precision": "fp8"}, {"compile": "maybe"},
    ],
)  # fmt: skip
def test_wrong_input_leaves_no_folder(tmp_path: Path, changes: dict[str, Any]) -> None:
    ((name, value),) = changes.items()
    with pytest.raises(InputError) as caught:
        distil(tmp_path / "run", **changes)
    told = "depth 9" if value == "ConvNetD9" else str(value)
    assert name.replace("_", "-") in str(caught.value) or "ConvNet" in str(caught.value)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_without_a_folder_says_that_nothing_is_kept() -> None:
    with pytest.raises(InterruptedRun, match="nowhere") as caught:
        distil(watcher=Recorder(stop_after=1))
    assert caught.value.exit_code == 130
    assert isinstance(caught.value, DistillsetError)


def test_a_failing_evaluation_keeps_the_run(tmp_path: Path, uninterrupted: Path) -> None:
    def fail(synthetic: SyntheticSet) -> float:
        raise RuntimeError("out of luck")

    failing: Callable[[SyntheticSet], float] = fail
    with pytest.raises(RuntimeError):
        distil(tmp_path / "run", evaluate=failing, evaluate_every=3, checkpoint_seconds=0)
    distil(tmp_path / "run")
    assert_same_end(tmp_path / "run", uninterrupted)


def test_a_folder_that_was_opened_and_not_used_is_gone(tmp_path: Path) -> None:
    with RunFolder.open(tmp_path / "run"):
        assert (tmp_path / "run").is_dir()
    assert not (tmp_path / "run").exists()


def test_batch_norm_is_warned_of_once() -> None:
    watcher = Recorder()
    distil(steps=2, watcher=watcher, network=f"{toys.NETWORK}BN")
    assert len([note for note in watcher.notes if "batch norm" in note and "instance norm" in note]) == 1
    watcher = Recorder()
    distil(steps=1, watcher=watcher)
    assert not watcher.told("batch norm")
