"""Rows within a budget: they go on where they stopped, and only what is whole is told as whole."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from distillset.data.synthetic import SyntheticSet
from distillset.errors import DivergedError, InputError, InterruptedRun
from distillset.evaluation import Ledger
from distillset.presets import Preset
from distillset.reproduction import Budget, Outcome, Plan, Results, choose, reproduce
from distillset.reproduction.budget import OutOfTime
from distillset.watch import Watcher
from tests import toys
from tests.runs import Recorder


class Clock:
    """Seconds that pass only when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Ticking(Watcher):
    """Lets a clock go on at every step of a distillation."""

    def __init__(self, clock: Clock, step: float = 100.0) -> None:
        self.clock, self.seconds = clock, step
        self.notes: list[str] = []

    def step(self, step: int, steps: int, loss: float) -> None:
        self.clock.now += self.seconds

    def note(self, line: str) -> None:
        self.notes.append(line)


@pytest.fixture
def call(tmp_path: Path, shards: Path) -> Callable[..., list[Outcome]]:
    """`reproduce` in a place of its own."""

    def reproduced(*plans: Plan, budget: Budget | None = None, **more: Any) -> list[Outcome]:
        place: dict[str, Any] = {"results": Results(tmp_path / "results"), "out": tmp_path / "out"}
        place |= {"data_dir": shards, "machine": toys.EAGER}
        return reproduce(plans, budget or Budget(600.0), **place, **more)

    return reproduced


def result(tmp_path: Path, name: str) -> dict[str, Any]:
    found = json.loads((tmp_path / "results" / f"{name}.json").read_text())
    assert isinstance(found, dict)
    return found


def plans(*rows: str, networks: int = 2, **more: Any) -> list[Plan]:
    return choose(rows, networks, **more)


def test_one_network_has_no_deviation(call: Any) -> None:
    (outcome,) = call(*plans("dm-mnist-2", networks=1))
    assert " +- - %; " in outcome.text


def test_a_row_leaves_all_that_a_result_has(call: Any, tmp_path: Path) -> None:
    (outcome,) = call(*plans("dm-mnist-2"), commit="a" * 40)
    assert outcome.state == "done"
    found = result(tmp_path, "dm-mnist-2")
    assert (found["steps"], found["steps_published"], found["complete"], found["departures"]) == (6, 6, True, [])
    assert found["published"] == {"mean": 99.9, "std": 0.01, "source": "a table"}
    assert found["artifact"] == SyntheticSet.load(tmp_path / "out" / "dm-mnist-2").fingerprint()
    assert found["distil_memory"] > 1e6
    assert found["distil_seconds"] > 0
    assert {"torch", "distillset"} <= found["versions"].keys()
    assert found["commit"] == "a" * 40
    own, random = found["rows"]
    assert outcome.text.startswith(f"{100 * own['mean']:.1f} +- {100 * own['std']:.1f} %; ")
    assert (own["artifact"], own["n"], own["sets"], own["networks"]) == ("dm", 2, 1, 2)
    assert own["mean"] == pytest.approx(sum(own["accuracies"]) / 2)
    assert (own["protocol"], own["recipe"]["epochs"]) == ("dm", 4)
    assert (random["artifact"], random["n"], random["sets"], random["networks"]) == ("random", 2, 2, 1)


def test_a_row_that_is_done_costs_nothing(call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call(*plans("dm-mnist-2"))
    before = (tmp_path / "results" / "dm-mnist-2.json").read_bytes()
    monkeypatch.setattr("distillset.reproduction.run.load", None)
    assert call(*plans("dm-mnist-2"))[0].text.startswith("exists already")
    assert (tmp_path / "results" / "dm-mnist-2.json").read_bytes() == before


def test_slices_give_what_one_call_gives(call: Any, tmp_path: Path, shards: Path) -> None:
    """At 100 seconds per step a budget of 400 stops after 3: of the 100 left the next would want 150 and a margin."""
    clock, outcomes = Clock(), []
    for _ in range(10):
        watcher = Ticking(clock)
        outcomes += call(*plans("dm-mnist-2"), budget=Budget(400.0, clock), watcher=watcher)
        assert (tmp_path / "results" / "dm-mnist-2.json").exists() == (outcomes[-1].state == "done")
        if outcomes[-1].state == "done":
            break
    assert [outcome.state for outcome in outcomes] == ["partial", "done"]
    assert "after step 3 of 6" in outcomes[0].text
    sliced = result(tmp_path, "dm-mnist-2")
    place: dict[str, Any] = {"results": Results(tmp_path / "whole"), "out": tmp_path / "whole-out"}
    reproduce(plans("dm-mnist-2"), Budget(600.0), **place, data_dir=shards, machine=toys.EAGER)
    whole = json.loads((tmp_path / "whole" / "dm-mnist-2.json").read_text())
    assert sliced["artifact"] == whole["artifact"]
    assert sliced["rows"][0]["accuracies"] == whole["rows"][0]["accuracies"]


def test_networks_too_few_for_the_time_are_told_as_partial(
    call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 100 seconds per network a budget of 240 has time for one: of the 140 left a second would want 150."""
    clock, trained = Clock(), []
    add = Ledger.add

    def slow(self: Ledger, entry: dict[str, Any], found: dict[str, float]) -> None:
        clock.now += 100
        trained.append(entry["i"])
        add(self, entry, found)

    monkeypatch.setattr(Ledger, "add", slow)
    four = plans("dm-mnist-2", networks=4)
    (outcome,) = call(*four, budget=Budget(240.0, clock), beside=())
    assert (outcome.state, trained) == ("partial", [0])
    found = result(tmp_path, "dm-mnist-2")
    assert (found["complete"], found["networks_wanted"], found["rows"][0]["n"]) == (False, 4, 1)
    (outcome,) = call(*four, budget=Budget(1000.0, clock), beside=())
    assert (outcome.state, trained) == ("done", [0, 1, 2, 3])
    found = result(tmp_path, "dm-mnist-2")
    assert (found["complete"], found["rows"][0]["n"]) == (True, 4)


def test_what_cannot_be_asked_is_cut_short(call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(*arguments: object, **more: object) -> None:
        while True:
            torch.zeros(1).add_(1)

    call(*plans("dm-mnist-2"))
    (tmp_path / "results" / "dm-mnist-2.json").unlink()
    monkeypatch.setattr("distillset.reproduction.networks.Evaluation", endless)
    budget = Budget(1.0)
    (outcome,) = call(*plans("dm-mnist-2"), budget=budget)
    assert outcome.state == "partial"
    assert -1.0 < budget.left <= 0
    assert not (tmp_path / "results" / "dm-mnist-2.json").exists()


def test_rows_that_have_no_time_wait(call: Any) -> None:
    clock = Clock()
    watcher = Ticking(clock)
    outcomes = call(*plans("dm-mnist-2", "dm-mnist-1"), budget=Budget(400.0, clock), watcher=watcher)
    assert [outcome.state for outcome in outcomes] == ["partial", "partial"]  # there was time to try
    clock.now += 100
    outcomes = call(*plans("dm-mnist-2", "dm-mnist-1"), budget=_spent(clock), watcher=watcher)
    assert [outcome.state for outcome in outcomes] == ["waiting", "waiting"]


def _spent(clock: Clock) -> Budget:
    budget = Budget(4.0, clock)
    clock.now += 5
    return budget


def test_a_row_that_fails_does_not_keep_the_others(call: Any, tmp_path: Path) -> None:
    outcomes = call(*plans("dm-nowhere-1", "dm-mnist-1"))
    assert [outcome.state for outcome in outcomes] == ["failed", "done"]
    assert "nowhere" in outcomes[0].text
    assert {row["artifact"] for row in result(tmp_path, "dm-mnist-1")["rows"]} == {"dm", "random"}
    with pytest.raises(InputError, match="nowhere"):
        call(*plans("dm-nowhere-1"))


def test_a_diverged_row_leaves_no_result(call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distillset.distillation.learned.LARGEST", 0.0)
    with pytest.raises(DivergedError):
        call(*plans("dm-mnist-1"))
    assert not (tmp_path / "results").exists()


def test_a_person_may_stop_it(call: Any, tmp_path: Path) -> None:
    with pytest.raises(InterruptedRun, match="after step 2 of 6"):
        call(*plans("dm-mnist-2"), watcher=Recorder(stop_after=2))
    assert call(*plans("dm-mnist-2"))[0].state == "done"
    assert result(tmp_path, "dm-mnist-2")["steps"] == 6


def test_random_images_are_drawn_anew_for_each_network(call: Any, tmp_path: Path) -> None:
    (outcome,) = call(*plans("random-mnist-1", networks=3))
    assert outcome.state == "done"
    (row,) = result(tmp_path, "random-mnist-1")["rows"]
    assert (row["n"], row["sets"], row["networks"], len(row["accuracies"])) == (3, 3, 1, 3)
    trained = [json.loads(path.read_text()) for path in (tmp_path / "out" / "accuracies").iterdir()]
    assert sorted(entry["i"] for entry in trained) == [0, 1, 2]
    call(*plans("dm-mnist-1", networks=3))
    beside = next(row for row in result(tmp_path, "dm-mnist-1")["rows"] if row["artifact"] == "random")
    assert beside["accuracies"] == row["accuracies"], "what is beside other rows has been trained already"
    assert len(list((tmp_path / "out" / "accuracies").iterdir())) == 6


def test_fewer_steps_have_a_result_of_their_own_and_can_grow(call: Any, tmp_path: Path) -> None:
    call(*plans("dm-mnist-2", steps=3), beside=())
    assert result(tmp_path, "dm-mnist-2-3-steps")["steps"] == 3
    watcher = Recorder()
    call(*plans("dm-mnist-2"), watcher=watcher, beside=())
    assert watcher.told("resuming at step 3 of 6")
    assert result(tmp_path, "dm-mnist-2")["steps"] == 6
    assert result(tmp_path, "dm-mnist-2-3-steps")["steps"] == 3


def test_a_setting_that_is_given_is_told_wherever_the_row_is(call: Any, tmp_path: Path) -> None:
    (plan,) = plans("dm-mnist-2", changes=["batch_real=3", "lr=1.0"])  # the second is the row's own
    assert (plan.name, plan.departures) == ("dm-mnist-2-batch_real-3", ["batch_real 3"])
    assert plan.passes < plans("dm-mnist-2")[0].passes
    (outcome,) = call(plan, beside=())
    assert outcome.state == "done"
    found = result(tmp_path, plan.name)
    assert (found["departures"], found["settings"]["batch_real"], found["steps"]) == (["batch_real 3"], 3, 6)
    assert call(plan, beside=())[0].text.startswith("exists already")


def test_settings_in_place_of_recommended_ones() -> None:
    (plan,) = plans("dm-mnist-2", ours=True, changes=["lr=1.0"])
    assert (plan.name, plan.departures) == ("dm-mnist-2-ours-lr-1.0-2-steps", [])


def test_what_is_recommended_is_told_as_such(call: Any, tmp_path: Path) -> None:
    (plan,) = plans("dm-mnist-2", ours=True)
    assert (plan.name, plan.steps, plan.departures) == ("dm-mnist-2-ours-2-steps", 2, ["lr 2.0"])
    call(plan)
    found = result(tmp_path, plan.name)
    assert found["departures"] == ["lr 2.0"]
    assert found["settings"]["lr"] == 2.0


def test_a_longer_result_is_never_replaced(tmp_path: Path) -> None:
    results = Results(tmp_path)
    few, more = ({**_result(n), "steps": steps} for n, steps in ((5, 10), (3, 20)))
    results.write("a-row", few)
    results.write("a-row", more)
    assert results.read("a-row") == more
    results.write("a-row", few)
    assert results.read("a-row") == more


def _result(n: int) -> dict[str, Any]:
    row = {"artifact": "dm", "network": "convnet", "protocol": "dm", "mean": 0.5, "std": 0.1, "n": n, "sets": 1}
    row["networks"] = n
    nothing = {"data": {"name": "toy"}, "ipc": 1, "settings": {}, "published": None}
    return {**nothing, "method": "dm", "steps": 0, "rows": [row]}


def test_a_result_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "a-row.json").write_text("[]")
    with pytest.raises(InputError, match=r"a-row\.json: field data is missing"):
        Results(tmp_path).all()


def test_order_of_value() -> None:
    """With a published number first, and the cheapest first: by hand 3 x 5 x 3 for random, 6 x (18 + 9) more for DM."""
    assert [plan.name for plan in choose([], 1)] == ["random-mnist-1", "dm-nowhere-1", "dm-mnist-2", "dm-mnist-1"]
    assert [plan.name for plan in choose(["dm-mnist-1", "dm-mnist-2"], 1)] == ["dm-mnist-1", "dm-mnist-2"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["dm-mnist-3"], 5), r"row dm-mnist-3: not in the table of presets \(did you mean dm-mnist-"),
        ((["dm-mnist-1"], 0), "networks=0: must be at least 1"),
        ((["dm-mnist-1"], 1, 0), "steps=0: must be at least 1"),
    ],
)
def test_bad_choices(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        choose(*arguments)


def test_an_alarm_is_gone_after_its_block() -> None:
    def too_long() -> None:
        with Budget(0.05).enforced():
            time.sleep(5)

    with pytest.raises(OutOfTime):
        too_long()
    with Budget(0.05).enforced():
        pass
    time.sleep(0.1)


def test_trajectories_are_matched_in_slices_too(call: Any, tmp_path: Path, table: dict[str, Preset]) -> None:
    """Experts and a learned rate go through the same door."""
    small = {"syn_steps": 2, "expert_epochs": 1, "max_start": 1, "batch_syn": 0, "expert_count": 1, "augment": "none"}
    table["mtt-mnist-1"] = Preset("mtt", "mnist", 1, 3, 4, "dm", "", small, None, None, toys.NETWORK)
    clock, states = Clock(), []
    for _ in range(4):
        (outcome,) = call(*plans("mtt-mnist-1"), budget=Budget(400.0, clock), watcher=Ticking(clock), beside=())
        states.append(outcome.state)
    assert states == ["partial", "done", "done", "done"]
    assert result(tmp_path, "mtt-mnist-1")["method"] == "mtt"


def test_a_distillation_ends_early_where_that_is_asked_for(call: Any, tmp_path: Path, shards: Path) -> None:
    """At 100 seconds per step 250 of them end it after 2, as after 2 more: of the 50 left a third would want 150."""
    clock = Clock()
    (outcome,) = call(*plans("dm-mnist-2"), budget=Budget(6000.0, clock), watcher=Ticking(clock), distill_for=250.0)
    assert outcome.state == "partial"
    assert outcome.text.startswith("2 of 6 steps, ")
    early = result(tmp_path, "dm-mnist-2-2-steps")
    assert (early["steps"], early["steps_published"], early["rows"][0]["n"]) == (2, 6, 2)
    assert early["artifact"] == SyntheticSet.load(tmp_path / "out" / "dm-mnist-2").fingerprint()
    assert not (tmp_path / "results" / "dm-mnist-2.json").exists()
    # It goes on from there, and in the end is what it would have been without.
    (outcome,) = call(*plans("dm-mnist-2"), budget=Budget(6000.0, Clock()))
    assert outcome.state == "done"
    place: dict[str, Any] = {"results": Results(tmp_path / "whole"), "out": tmp_path / "whole-out"}
    reproduce(plans("dm-mnist-2"), Budget(600.0), **place, data_dir=shards, machine=toys.EAGER)
    whole = json.loads((tmp_path / "whole" / "dm-mnist-2.json").read_text())
    assert result(tmp_path, "dm-mnist-2")["artifact"] == whole["artifact"]
