"""The one observer: silent, speaking, passing on, or a plain function."""

import inspect
import sys
import types
from typing import Any

import pytest

import distillset as ds
from distillset import watch
from distillset.watch import Callback, Progress, Relay, Watcher, watching
from tests import toys
from tests.watchers import Notes, StopWhen

EVENTS: dict[str, tuple[Any, ...]] = {
    "note": ("hello",),
    "step": (1, 2, 0.5),
    "epoch": (1, 2, 0.5),
    "images": ("decoding pets", 1, 2),
    "network": ("runs/dm", 1, 2, 0.25),
    "accuracy": (1, 0.25),
    "stop": (),
    "patience": (),
    "close": (),
}
"""Every method of a watcher, and arguments for it."""


def test_events_are_all_that_a_watcher_has() -> None:
    public = {name for name, _ in inspect.getmembers(Watcher, inspect.isfunction) if not name.startswith("_")}
    assert public == set(EVENTS)


@pytest.mark.parametrize("event", EVENTS)
def test_a_relay_passes_every_event_on(event: str) -> None:
    heard: list[tuple[Any, ...]] = []

    class Listening(Watcher):
        pass

    def hear(self: Watcher, *arguments: Any) -> str:
        heard.append(arguments)
        return "answer"

    setattr(Listening, event, hear)
    answer = getattr(Relay(Listening()), event)(*EVENTS[event])
    assert heard == [EVENTS[event]]
    assert answer == ("answer" if event in ("stop", "patience") else None)


def test_whoever_hears_notes_hears_of_accuracies() -> None:
    notes: list[str] = []
    Notes(notes).accuracy(3, 0.4567)
    Notes(notes).network("runs/dm", 2, 5, 0.5)
    assert notes == ["step 3: accuracy 45.67%", "runs/dm: network 2 of 5, 50.00%"]


def test_what_may_be_given() -> None:
    silent = Watcher()
    assert watching(silent) is silent
    assert type(watching(None)) is Progress
    assert type(watching(lambda step, steps, loss: None)) is Callback
    with pytest.raises(ds.InputError, match="watcher=3: must be a Watcher, or a function of"):
        watching(3)  # type: ignore[arg-type]


def test_a_call_without_a_watcher_speaks_and_one_with_a_silent_one_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    data = toys.toy_data()
    ds.select(data, "random", 30, machine="cpu", watcher=Watcher())
    assert capsys.readouterr().err == ""
    ds.select(data, "random", 30, machine="cpu")
    shown = capsys.readouterr()
    assert shown.err.startswith("distillset: ")
    assert "fewer than 30 images" in shown.err
    assert shown.out == ""


def test_of_several_ranks_the_first_speaks(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for rank, said in (("1", ""), ("0", "distillset: hello\n")):
        monkeypatch.setenv("RANK", rank)
        Progress().note("hello")
        assert capsys.readouterr().err == said


def test_a_new_kind_of_progress_has_a_bar_of_its_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    progress = Progress()
    progress.images("decoding pets", 40, 200)
    progress.images("decoding pets", 200, 200)
    progress.epoch(3, 4, 0.25)
    progress.epoch(4, 4, 0.125)
    shown = capsys.readouterr().err
    assert "200/200" in shown
    assert "decoding pets" in shown
    assert "4/4" in shown
    assert "loss 0.125" in shown
    assert progress._bar is None  # a bar that is full is closed


def test_an_evaluation_stops_after_a_network() -> None:
    data, calls = toys.toy_data(), iter(range(100))
    watcher = StopWhen(lambda: next(calls) >= 1)
    with pytest.raises(ds.InterruptedRun, match="stopped between two networks"):
        ds.evaluate(
            ds.select(data, "random", 1, machine="cpu"),
            data,
            networks=toys.NETWORK,
            repeats=2,
            protocol=ds.Protocol(epochs=1),
            watcher=watcher,
            machine=toys.EAGER,
        )
    assert watcher.notes == [note for note in watcher.notes if ": network " in note]


def test_in_a_notebook_the_bar_is_the_one_for_notebooks(monkeypatch: pytest.MonkeyPatch) -> None:
    from tqdm.auto import tqdm as widget

    class ZMQInteractiveShell:
        """What runs the cells of a notebook is called."""

    assert watch._bar() is None  # no terminal either
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=ZMQInteractiveShell))
    assert watch._bar() is widget
