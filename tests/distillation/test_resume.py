"""Going on where a run stopped, and what goes wrong: every end is that of an untouched run, or a named error."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from distillset.data.synthetic import CARD, SyntheticSet
from distillset.distillation.run_folder import RunFolder
from distillset.errors import DivergedError, InputError, InterruptedRun
from distillset.methods import DM, DSA, Method
from distillset.nets import Source
from distillset.store import locked
from tests import toys
from tests.nets import own
from tests.runs import METHOD, STEPS, Counting, Recorder, assert_same_end, distil, last_checkpoint, steps_logged

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
    assert watcher.told(f"resuming at step {done} of {STEPS}")
    assert steps_logged(out) == list(range(1, STEPS + 1))
    assert_same_end(out, uninterrupted)


class StopAt(Recorder):
    """Asks to stop the n-th time it is asked."""

    def __init__(self, call: int) -> None:
        super().__init__()
        self.call, self.calls = call, 0

    def stop(self) -> bool:
        self.calls += 1
        return self.calls == self.call


@pytest.mark.parametrize("call", [4, 5, 6])
def test_a_run_stopped_within_an_episode_does_that_episode_again(tmp_path: Path, call: int) -> None:
    """Three updates per episode: asked between them, and after the last. Calls 4 to 6 are in the second episode."""
    method = DSA(batch_real=6, outer=3, inner=1)
    distil(tmp_path / "whole", method=method)
    out, whole_episodes = tmp_path / "run", 2 if call == 6 else 1
    with pytest.raises(InterruptedRun, match=f"after step {whole_episodes} of {STEPS}"):
        distil(out, method=method, watcher=StopAt(call))
    assert steps_logged(out) == list(range(1, whole_episodes + 1))
    distil(out, method=method)
    assert_same_end(out, tmp_path / "whole")


def test_the_most_memory_is_that_of_all_sittings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for memory, stop in ((7_000, 2), (9_000, 2), (8_000, STEPS)):
        monkeypatch.setattr("distillset.distillation.loop.peak", lambda device, now=memory: now)
        with pytest.raises(InterruptedRun) if stop < STEPS else nullcontext():
            distil(tmp_path / "run", watcher=Recorder(stop_after=stop))
    assert SyntheticSet.load(tmp_path / "run").card["metrics"]["memory"] == 9_000


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
    with pytest.raises(InputError, match="steps=2: the run in this folder is already at step 3"):
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
    assert watcher.told(f"resuming at step 3 of {STEPS}")
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
        ("seed=", {"seed": 1}),
        ("ipc=", {"ipc": 3}),
        ("network=", {"network": "ConvNetD1W16"}),
        ("lr=", {"method": DM(batch_real=6, lr=2.0)}),
        ("momentum=", {"method": DM(batch_real=6, momentum=0.9)}),
        ("batch_real=", {"method": DM(batch_real=7)}),
        ("augment=", {"method": DM(batch_real=6, augment="none")}),
        ("init=", {"init": "noise"}),
        ("data ", {"data": toys.toy(seed=9)}),
        ("precision=", {"machine": replace(toys.EAGER, precision="bf16")}),
    ],
)
def test_what_defines_the_result_may_not_change(uninterrupted: Path, named: str, changes: dict[str, Any]) -> None:
    before = last_checkpoint(uninterrupted)
    with pytest.raises(InputError, match=f"^{named}.*started with.*another `out`"):
        distil(uninterrupted, steps=STEPS + 2, **changes)
    assert torch.equal(last_checkpoint(uninterrupted)["leaf.images"], before["leaf.images"])


def test_a_run_of_other_random_streams_does_not_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That an earlier version began. It ends as it did, but no step follows with numbers of another kind."""
    out = tmp_path / "run"
    with monkeypatch.context() as earlier:
        earlier.setattr(import_module("distillset.distillation.distill"), "STREAMS", 1)
        finished = distil(out)
    assert torch.equal(distil(out).images, finished.images)
    with pytest.raises(InputError, match=r"an earlier version began.*another `out`"):
        distil(out, steps=STEPS + 1)
    assert torch.equal(distil(out).images, finished.images)


def test_logging_may_change(tmp_path: Path, uninterrupted: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(InterruptedRun):
        distil(out, watcher=Recorder(stop_after=2), snapshots=0)
    distil(out, snapshots=3, evaluate=lambda synthetic: 0.5, evaluate_every=5, machine="cpu")
    assert_same_end(out, uninterrupted)


def test_what_auto_chose_is_used_again(tmp_path: Path) -> None:
    with pytest.raises(InterruptedRun):
        distil(tmp_path / "run", watcher=Recorder(stop_after=2), machine=replace(toys.EAGER, precision="bf16"))
    watcher = Recorder()
    synthetic = distil(tmp_path / "run", machine="cpu", watcher=watcher)
    assert synthetic.card["settings"]["compute"]["precision"] == "bf16"
    assert torch.equal(synthetic.images, distil(machine=replace(toys.EAGER, precision="bf16")).images)


# --- what goes wrong -------------------------------------------------------------------------------------------------


def test_a_diverging_run_stops_with_its_last_good_state(tmp_path: Path) -> None:
    # Without a norm the features grow with the pixels; with one the gradient would vanish instead.
    out, method = tmp_path / "run", DM(batch_real=6, lr=1e20)
    diverging = partial(distil, out, network=f"{toys.NETWORK}NN", method=method, checkpoint_seconds=0, steps=50)
    with pytest.raises(DivergedError, match=r"diverged at step .*: loss .*; .*try a smaller `lr`") as caught:
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
        {"network": "ConvNetD9"}, {"init": "nowhere"}, {"whiten": "pca"},
    ],
)  # fmt: skip
def test_wrong_input_leaves_no_folder(tmp_path: Path, changes: dict[str, Any]) -> None:
    ((name, value),) = changes.items()
    with pytest.raises(InputError) as caught:
        distil(tmp_path / "run", **changes)
    told = "depth 9" if value == "ConvNetD9" else str(value)
    assert name in str(caught.value) or "ConvNet" in str(caught.value)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_without_a_folder_says_that_nothing_is_kept() -> None:
    with pytest.raises(InterruptedRun, match="nowhere") as caught:
        distil(watcher=Recorder(stop_after=1))
    assert caught.value.exit_code == 130
    assert not isinstance(caught.value, Exception)


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


@pytest.mark.parametrize("other", ["convnetd1w8", "ConvNet_W8_D1", "CONVNETIND1W8"])
def test_another_spelling_is_the_same_network(tmp_path: Path, uninterrupted: Path, other: str) -> None:
    with pytest.raises(InterruptedRun):
        distil(tmp_path / "run", watcher=Recorder(stop_after=2))
    distil(tmp_path / "run", network=other)
    assert_same_end(tmp_path / "run", uninterrupted)


def test_a_run_with_a_network_of_your_own_goes_on_with_that_alone(tmp_path: Path) -> None:
    whole, out = tmp_path / "whole", tmp_path / "run"
    distil(whole, network=own.Plain)
    with pytest.raises(InterruptedRun):
        distil(out, network=own.Plain, watcher=Recorder(stop_after=2))
    with pytest.raises(InputError, match=r"network='small#\w{8}': the run in this folder was started with Plain#\w{8}"):
        distil(out, network=own.small)
    distil(out, network=own.Plain)
    assert_same_end(out, whole)
    assert SyntheticSet.load(out).card["settings"]["network"].startswith("Plain#")


@pytest.mark.parametrize("method", [METHOD, DSA(batch_real=6, outer=2, inner=2)])
@pytest.mark.parametrize(
    "network", [own.Plain(3, 8, 8, 3), own.Normed, own.Drawn, nn.Sequential(nn.Flatten(), nn.Linear(192, 3))]
)
def test_any_network_of_your_own_distils(method: Method, network: Source) -> None:
    first, again = (distil(network=network, method=method, steps=2) for _ in range(2))
    assert torch.equal(first.images, again.images), "dropout and drawing follow the seed"
    assert first.card["metrics"]["loss"] > 0


def test_without_features_dm_refuses_and_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"network Convolutional: has no embed"):
        distil(tmp_path / "run", network=own.Convolutional)
    assert list(tmp_path.iterdir()) == []
    assert distil(network=own.Convolutional, method=DSA(batch_real=6, outer=1, inner=1), steps=1).card["steps"] == 1


def test_batch_norm_is_warned_of_once() -> None:
    watcher = Recorder()
    distil(steps=2, watcher=watcher, network=f"{toys.NETWORK}BN")
    assert len([note for note in watcher.notes if "batch norm" in note and "instance norm" in note]) == 1
    watcher = Recorder()
    distil(steps=1, watcher=watcher)
    assert not watcher.told("batch norm")


@pytest.mark.parametrize("stride", [1, 2])
def test_strides_are_warned_of(stride: int) -> None:
    watcher = Recorder()
    side = 6 // stride
    layers = nn.Conv2d(3, 4, 3, stride), nn.Flatten(), nn.Linear(4 * side * side, 3)
    distil(steps=1, watcher=watcher, network=nn.Sequential(*layers))
    assert watcher.told("_AP") == (stride == 2)
