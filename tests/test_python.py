"""The Python functions with what programs hand over: understood, or refused in a line that says what is needed."""

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import distillset as ds
from distillset.export import export, read_pt
from distillset.report import report
from distillset.studies import compare, continual, nas
from distillset.studies.nas import Sample
from tests import toys
from tests.handed import CHOSEN, DATA, FEW, IMAGES, LABELS, QUIET, SHORT
from tests.watchers import Notes


def test_numbers_of_numpy_and_of_tensors_are_whole_numbers(tmp_path: Path) -> None:
    method = ds.DM(batch_real=np.int16(4), lr=np.float32(0.5), formation=torch.tensor(1))  # type: ignore[arg-type]
    assert (type(method.batch_real), type(method.lr), type(method.formation)) == (int, float, int)
    given: dict[str, Any] = {
        "steps": np.int32(1),
        "seed": np.int64(3),
        "record": ds.Record(snapshots=torch.tensor(1)),  # type: ignore[arg-type]
        "machine": toys.EAGER,
    }
    made = ds.distill(DATA, method, np.int64(1), out=tmp_path / "run", **given)  # type: ignore[arg-type]
    plain = ds.distill(DATA, ds.DM(batch_real=4, lr=0.5), 1, steps=1, seed=3, machine=toys.EAGER)
    assert torch.equal(made.images, plain.images)
    chosen = ds.select(DATA, "random", np.uint8(2), seed=np.int64(5))  # type: ignore[arg-type]
    assert torch.equal(chosen.images, ds.select(DATA, "random", 2, seed=5).images)
    short = ds.Protocol(epochs=torch.tensor(1))  # type: ignore[arg-type]
    counts: dict[str, Any] = {**SHORT, "repeats": np.int64(1), "protocol": short, "seed": np.int8(0)}
    (row,) = ds.evaluate(chosen, DATA, **counts)
    assert row.to_json()["n"] == 1
    options: dict[str, Any] = {"resize": (np.int64(4), np.int64(6)), "classes": [np.int64(1), np.int64(0)]}
    both = ds.load((IMAGES, LABELS), **options, **QUIET)
    assert both.train.spec.shape == (3, 4, 6)
    assert both.origin()["class_indices"] == [1, 0]


WRONG: list[tuple[Callable[[], object], str]] = [
    *(
        (
            lambda seed=seed: ds.distill(DATA, FEW, 1, steps=1, seed=seed, machine=toys.EAGER),
            f"seed={told}: must be a whole",
        )
        for seed, told in ((1.5, "1.5"), ("x", "'x'"), (None, "None"), (True, "True"), (np.bool_(True), ".*True.*"))
    ),
    (lambda: ds.select(DATA, "random", 1, seed="x"), "seed='x': must be a whole number"),  # type: ignore[arg-type]
    (lambda: ds.evaluate(CHOSEN, DATA, **{**SHORT, "seed": 0.5}), "seed=0.5: must be a whole"),
    (lambda: ds.evaluate(CHOSEN, DATA, **{**SHORT, "repeats": 1.5}), "repeats=1.5: must be"),
    (
        lambda: ds.evaluate(CHOSEN, DATA, **{**SHORT, "repeats": 0}),
        "repeats=0: must be at least",
    ),
    (lambda: ds.evaluate(CHOSEN, DATA, **{**SHORT, "networks": 3}), "networks=3: each must be a name"),
    (
        lambda: ds.evaluate(CHOSEN, DATA.train, **SHORT),
        "data=RealSet.*: needed are a train",
    ),
    (lambda: ds.evaluate(CHOSEN, None, **SHORT), "data: NoneType found"),
    (lambda: ds.evaluate(None, DATA, **SHORT), "synthetic=None: must be a SyntheticSet, or the folder"),  # type: ignore[arg-type]
    (lambda: ds.evaluate("nowhere", DATA, **SHORT), "nowhere: no such folder"),
    (lambda: ds.select(DATA, None, 1), "selector=None: choose one of random"),  # type: ignore[arg-type]
    (lambda: ds.select(DATA, ["random"], 1), r"selector=\['random'\]: choose one of random"),  # type: ignore[arg-type]
    (lambda: ds.select(DATA, "random", 1.5), "ipc=1.5: must be a whole number"),  # type: ignore[arg-type]
    (lambda: ds.select(DATA, "random", "2"), "ipc='2': must be a whole number"),  # type: ignore[arg-type]
    (lambda: ds.select(pd.DataFrame({"a": [1]}), "random", 1), "data: DataFrame of pandas found"),
    (lambda: ds.distill(pd.DataFrame({"a": [1]}), FEW, 1), "data: DataFrame of pandas found"),
    (lambda: ds.distill((IMAGES,), FEW, 1), "data: a tuple of 1 found"),
    (lambda: ds.distill(3, FEW, 1), "data: int found"),
    (lambda: ds.distill(DATA, 3, 1), "method=3: choose one of dc, dsa, dm, mtt"),  # type: ignore[arg-type]
    (lambda: ds.distill(DATA, None, 1), "method=None: choose one of"),  # type: ignore[arg-type]
    (lambda: ds.distill(DATA, "mt", 1), "method='mt': choose one of .*did you mean mtt"),
    (lambda: ds.distill(DATA, FEW, 0), "ipc=0: must be at least 1"),
    (lambda: ds.distill(DATA, FEW, [1]), r"ipc=\[1\]: must be a whole number"),  # type: ignore[arg-type]
    (lambda: ds.distill(DATA, FEW, 1, steps="3"), "steps='3': must be a whole number"),  # type: ignore[arg-type]
    (lambda: ds.distill(DATA, FEW, 1, steps=-1), "steps=-1: must be at least 0"),
    (lambda: ds.distill(DATA, FEW, 1, init=3), "init=3: choose real, noise, kmeans"),  # type: ignore[arg-type]
    (lambda: ds.distill(DATA, FEW, 1, network=3), "network 3: must be a name, an nn.Module"),  # type: ignore[arg-type]
    (lambda: ds.distill(DATA, FEW, 1, watcher=3), "watcher=3: must be a Watcher, or a function"),  # type: ignore[arg-type]
    (lambda: ds.distill(DATA, FEW, 1, out=3), "out=3: must be a path"),  # type: ignore[arg-type]
    (lambda: ds.distill(DATA, FEW, 1, out=b"a"), "out=b'a': must be a path"),  # type: ignore[arg-type]
    (lambda: ds.DM(lr="1"), "lr='1': must be a number"),  # type: ignore[arg-type]
    (lambda: ds.DM(batch_real=4.0), "batch_real=4.0: must be a whole number"),  # type: ignore[arg-type]
    (lambda: ds.DM(augment=3), "augment=3: must be text"),  # type: ignore[arg-type]
    (lambda: ds.DC(batch_real=None), "batch_real=None: must be a whole number"),  # type: ignore[arg-type]
    (lambda: ds.MTT(syn_steps="x"), "syn_steps='x': must be a whole number"),  # type: ignore[arg-type]
    (lambda: ds.SyntheticSet.load(3), "folder=3: must be a path"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_arguments_of_a_wrong_kind_are_named(number: int) -> None:
    call, told = WRONG[number]
    with pytest.raises(ds.InputError, match=told) as error:
        call()
    assert "\n" not in str(error.value)


def test_names_paths_and_tuples_in_place_of_objects(tmp_path: Path) -> None:
    made = ds.distill((IMAGES, LABELS), "dm", 1, steps=1, machine=toys.EAGER)
    assert torch.equal(made.images, ds.distill(DATA, ds.DM(), 1, steps=1, machine=toys.EAGER).images)
    assert torch.equal(made.images, ds.distill(DATA, ds.DM, 1, steps=1, machine=toys.EAGER).images)  # type: ignore[arg-type]
    assert len(ds.distill("digits", "DM", 1, steps=0, machine=toys.EAGER)) == 10
    assert len(ds.select("digits", "random", 2)) == 20
    made.save(tmp_path / "run")
    (by_path,) = ds.evaluate(tmp_path / "run", (IMAGES, LABELS), **SHORT)
    (by_text,) = ds.evaluate(str(tmp_path / "run"), DATA, **SHORT)
    (by_value,) = ds.evaluate(made, DATA, **SHORT)
    assert by_path.accuracies == by_text.accuracies == by_value.accuracies
    assert (by_path.artifact, by_value.artifact) == (str(tmp_path / "run"), "synthetic")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path)
    yield tmp_path / "home"
    assert not (tmp_path / "~").exists()


def test_a_tilde_is_the_home_everywhere(home: Path) -> None:
    np.savez(home / "a.npz", images=IMAGES, labels=LABELS)
    data = ds.load("~/a.npz", **QUIET)
    made = ds.distill(data, FEW, 1, steps=1, out="~/run", machine=toys.EAGER)
    again = ds.distill(data, FEW, 1, steps=0, init="~/run", machine=toys.EAGER)
    torch.testing.assert_close(again.images, made.images)
    assert len(ds.SyntheticSet.load("~/run")) == 2
    made.save("~/copy")
    assert ds.evaluate("~/run", data, ledger=ds.Ledger("~/accuracies", "~/nets"), **SHORT)[0].artifact == "~/run"
    ds.select(data, "forgetting", 1, epochs=1, cache="~/cache", network=toys.NETWORK, machine=toys.EAGER)
    assert sorted(path.name for path in home.iterdir()) == ["a.npz", "accuracies", "cache", "copy", "nets", "run"]


def test_more_images_a_class_than_there_are_is_told() -> None:
    notes: list[str] = []
    ds.select(DATA, "random", 30, watcher=Notes(notes))
    told = "2 of 2 classes have fewer than 30 images (class '0' has 16): their real images are taken more than once"
    assert notes == [told]

    class Told(ds.Watcher):
        def note(self, line: str) -> None:
            notes.append(line)

    ds.distill(DATA, FEW, 30, steps=0, watcher=Told(), machine=toys.EAGER)
    assert notes.count(told) == 2
    ds.evaluate(ds.select(DATA, "random", 17), DATA, watcher=Notes(notes), **{**SHORT, "beside": ("random",)})
    assert any(note.startswith("random images: 2 of 2 classes have fewer than 17 images") for note in notes)


def test_a_folder_of_another_method_is_named(tmp_path: Path) -> None:
    ds.distill(DATA, FEW, 1, steps=1, out=tmp_path, machine=toys.EAGER)
    with pytest.raises(ds.InputError, match="the folder of the run: holds a run of dm; choose another `out` for mtt"):
        ds.distill(DATA, ds.MTT(), 1, steps=1, out=tmp_path, machine=toys.EAGER)


ODD: tuple[Any, ...] = (
    None, 3, -1, 1.5, float("nan"), "x", b"x", "a\0b", "\ud800", [], {}, [[]], object(), np.array([1, 2]), True,
    torch.empty(2, device="meta"), pd.DataFrame({"a": [1, 2], "b": [1, 2]}), 10**400, "x" * 300, ds.Key,
)  # fmt: skip
SPEC = DATA.train.spec
FUNCTIONS: dict[str, Callable[[Any], object]] = {
    "load": lambda odd: ds.load(odd, **QUIET),
    "load labels": lambda odd: ds.load((IMAGES, odd), **QUIET),
    "load images": lambda odd: ds.load((odd, LABELS), **QUIET),
    "load test": lambda odd: ds.load((IMAGES, LABELS), test=(IMAGES, odd), **QUIET),
    "load classes": lambda odd: ds.load((IMAGES, LABELS), classes=odd, **QUIET),
    "load resize": lambda odd: ds.load((IMAGES, LABELS), resize=odd, **QUIET),
    "load data_dir": lambda odd: ds.load("nowhere", data_dir=odd, **QUIET),
    "select": lambda odd: ds.select(odd, "random", 1),
    "select selector": lambda odd: ds.select(DATA, odd, 1),
    "select seed": lambda odd: ds.select(DATA, "random", 1, seed=odd),
    "select machine": lambda odd: ds.select(DATA, "random", 1, machine=odd),
    "select cache": lambda odd: ds.select(DATA, "random", 0, cache=odd),
    "distill": lambda odd: ds.distill(odd, FEW, 1, steps=0, machine=toys.EAGER),
    "distill method": lambda odd: ds.distill(DATA, odd, 0),
    **{
        f"distill {name}": lambda odd, name=name: ds.distill(  # type: ignore[misc]
            DATA, FEW, 1, **{"steps": 0, "machine": toys.EAGER, name: odd}
        )
        for name in ("seed", "network", "init", "whiten", "machine", "record", "watcher")
    },
    "distill ipc": lambda odd: ds.distill(DATA, FEW, odd, steps=-1),
    "distill out": lambda odd: ds.distill(DATA, FEW, 1, steps=0, out=None if isinstance(odd, str) and odd.isascii()
                                          and "\0" not in odd and len(odd) < 99 else odd, machine=toys.EAGER),
    "evaluate": lambda odd: ds.evaluate(odd, DATA, **SHORT),
    "evaluate data": lambda odd: ds.evaluate(CHOSEN, odd, **SHORT),
    **{
        f"evaluate {name}": lambda odd, name=name: ds.evaluate(CHOSEN, DATA, **{**SHORT, name: odd})  # type: ignore[misc]
        for name in ("artifact", "networks", "protocol", "beside", "seed", "machine", "snapshots", "watcher")
    },
    **{
        f"{kind.__name__} {field.name}": lambda odd, kind=kind, field=field: kind(**{field.name: odd})  # type: ignore[misc]
        for kind in (ds.Machine, ds.Protocol, ds.Record)
        for field in fields(kind)
    },
    "Snapshots": ds.Snapshots,
    "Snapshots select": lambda odd: ds.Snapshots({0: CHOSEN}, odd),
    "Ledger": ds.Ledger.of,
    "Ledger save_networks": lambda odd: ds.Ledger(None, odd),
    "SyntheticSet.load": ds.SyntheticSet.load,
    "SyntheticSet images": lambda odd: ds.SyntheticSet(odd, CHOSEN.labels, SPEC),
    "SyntheticSet labels": lambda odd: ds.SyntheticSet(CHOSEN.images, odd, SPEC),
    "SyntheticSet spec": lambda odd: ds.SyntheticSet(CHOSEN.images, CHOSEN.labels, odd),
    "RealSet": lambda odd: ds.RealSet(odd, DATA.train.labels, SPEC),
    "RealSet names": lambda odd: ds.RealSet.from_arrays(IMAGES, LABELS, class_names=odd),
    "RealSet mean": lambda odd: ds.RealSet.from_arrays(IMAGES, LABELS, mean=odd),
    "RealSet name": lambda odd: ds.RealSet.from_arrays(IMAGES, LABELS, name=odd),
    "Data": lambda odd: ds.Data(odd, odd, "x"),
    "Spec name": lambda odd: replace(SPEC, name=odd),
    "Spec height": lambda odd: replace(SPEC, height=odd),
    "Spec classes": lambda odd: replace(SPEC, class_names=odd),
    "Spec std": lambda odd: replace(SPEC, std=odd),
    **{
        f"{method.__name__} {field.name}": lambda odd, method=method, field=field: method(**{field.name: odd})  # type: ignore[misc]
        for method in (ds.DM, ds.DC, ds.MTT)
        for field in fields(method)
    },
    "export": lambda odd: export(odd, "pt", "nowhere"),
    "export to": lambda odd: export(CHOSEN, odd, "nowhere"),
    "read_pt": lambda odd: read_pt(odd, None, SPEC),
    "read_pt labels": lambda odd: read_pt("nowhere.pt", odd, SPEC),
    "report": lambda odd: report(odd, "page.html"),
    "report rows": lambda odd: report(["nowhere"], "page.html", rows=[odd]),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_odd_arguments_are_taken_or_named_in_a_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty kinds of value in the place of every argument: nothing but an `InputError` of one line comes of them."""
    monkeypatch.chdir(tmp_path)
    for odd in ODD:
        try:
            FUNCTIONS[name](odd)
        except ds.InputError as error:
            assert "\n" not in str(error)  # noqa: PT017 (what is taken is right as well)
            assert len(str(error)) < 600 + (len(odd) if isinstance(odd, str) else 0)  # noqa: PT017
    assert not list(tmp_path.iterdir())


def test_studies_take_and_name_what_the_others_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    none = ds.Protocol(epochs=np.int64(0))  # type: ignore[arg-type]
    two: dict[str, Any] = {**SHORT, "repeats": np.int64(2), "protocol": none}
    assert len(compare({"a": CHOSEN}, (IMAGES, LABELS), **two).rows) == 1
    calls: list[tuple[Callable[[], object], str]] = [
        (lambda: compare([CHOSEN], DATA), "artifacts=.*: must be a mapping of names to sets"),  # type: ignore[arg-type]
        (lambda: compare({"a": CHOSEN}, DATA.train), "data=RealSet.*: needed are a training and a test set"),
        (lambda: compare({"a": CHOSEN}, DATA, repeats=2.5), "repeats=2.5: must be a whole number"),  # type: ignore[arg-type]
        (lambda: continual(None, ["random"], "out"), "data: NoneType found"),
        (lambda: continual(DATA, ["random"], "out", seeds=0), "seeds=0: must be a list"),  # type: ignore[arg-type]
        (lambda: continual(DATA, ["random"], "out", steps=1.5), "steps=1.5: must be a whole number"),  # type: ignore[arg-type]
        (lambda: nas(DATA, "random", "out"), "proxies='random': must be a list"),
        (lambda: nas(DATA, ["random"], "out", sample=Sample("3")), "networks='3': must be a whole number"),  # type: ignore[arg-type]
        (lambda: nas(3, ["random"], "out"), "data: int found"),
    ]
    for call, told in calls:
        with pytest.raises(ds.InputError, match=told):
            call()
    assert not list(tmp_path.iterdir())
