"""``--log``: the same numbers as in ``metrics.jsonl``, also after a run went on; nothing unless asked for."""

import json
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import pytest

from distillset.commands import main
from tests.commands.test_distill import command


def losses(out: Path) -> list[tuple[int, float]]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line["loss"]) for line in lines]


def test_nothing_is_logged_unless_asked_for(toy_npz: Path, tmp_path: Path) -> None:
    assert main(command(toy_npz, tmp_path / "run", "--quiet")) == 0
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names.isdisjoint({"tensorboard", "wandb", "wandb.json"})


def test_tensorboard(toy_npz: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorBoard's own, at its import
        pytest.importorskip("tensorboard")
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out = tmp_path / "run"
    for steps in ("3", "5"):
        assert main(command(toy_npz, out, "--quiet", "--log", "tensorboard", "--steps", steps)) == 0
    events = EventAccumulator(str(out / "tensorboard")).Reload()
    found = [(event.step, event.value) for event in events.Scalars("loss")]
    assert [step for step, _ in found] == [1, 2, 3, 4, 5]
    assert [value for _, value in found] == pytest.approx([loss for _, loss in losses(out)], rel=1e-6)


class FakeRun:
    def __init__(self, number: str) -> None:
        self.id = number
        self.logged: list[tuple[int, dict[str, float]]] = []
        self.finished = False

    def log(self, values: dict[str, float], step: int) -> None:
        self.logged.append((step, values))

    def finish(self) -> None:
        self.finished = True


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A stand-in for the package: which runs were opened, and how."""
    state: dict[str, Any] = {"runs": {}, "opened": []}

    def init(**arguments: Any) -> FakeRun:
        state["opened"].append(arguments)
        number = arguments["id"] or "fresh-id"
        return state["runs"].setdefault(number, FakeRun(number))  # type: ignore[no-any-return]

    module = types.ModuleType("wandb")
    module.init = init  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", module)
    return state


def test_wandb_goes_on_in_the_same_run(toy_npz: Path, tmp_path: Path, wandb: dict[str, Any]) -> None:
    out = tmp_path / "run"
    for steps in ("2", "4"):
        assert main(command(toy_npz, out, "--quiet", "--log", "wandb", "--steps", steps, "--lr", "0.5")) == 0
    (run,) = wandb["runs"].values()
    assert run.logged == [(step, {"loss": loss}) for step, loss in losses(out)]
    assert run.finished
    assert [opened["id"] for opened in wandb["opened"]] == [None, "fresh-id"]
    assert wandb["opened"][0]["config"].items() >= {"method": "dm", "lr": 0.5, "ipc": 2}.items()


@pytest.mark.parametrize("package", ["tensorboard", "wandb"])
def test_a_missing_package_is_said_before_the_run(
    package: str, toy_npz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert main(command(toy_npz, tmp_path / "run", "--log", package)) == 2
    assert f"--log {package}: not installed; pip install 'distillset[{package}]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_stops_early_still_closes_its_logs(toy_npz: Path, tmp_path: Path, wandb: dict[str, Any]) -> None:
    more = ["--network", "ConvNetD1W8NN", "--lr", "1e20", "--steps", "50", "--quiet", "--log", "wandb"]
    assert main(command(toy_npz, tmp_path / "run", *more)) == 3
    assert all(run.finished for run in wandb["runs"].values())
