"""What every row of PRESETS must keep."""

from pathlib import Path

import pytest

from distillset.coresets import SELECTORS
from distillset.data.spec import Spec
from distillset.evaluation import PROTOCOLS
from distillset.methods import METHODS
from distillset.presets import PRESETS, Preset, improvements, variants
from distillset.reproduction import Results
from distillset.reproduction.cost import passes
from distillset.reproduction.plan import plan
from distillset.reproduction.record import ours
from distillset.sources.known import KNOWN

RESULTS = Path(__file__).resolve().parents[2] / "results"
DISTILLED = {name: preset for name, preset in PRESETS.items() if preset.method in METHODS}


def spec_of(preset: Preset) -> Spec:
    known = KNOWN[preset.data]
    side = {"mnist": 28, "fashion_mnist": 28, "tiny_imagenet": 64}.get(preset.data, 32)
    names = tuple(f"class {c}" for c in range(preset.classes))
    assert known.mean is not None
    assert known.std is not None
    return Spec(preset.data, len(known.mean), side, side, names, known.mean, known.std, known.flip)


@pytest.mark.parametrize("name", DISTILLED)
def test_its_settings_are_what_the_method_resolves_to_by_itself(name: str) -> None:
    preset = PRESETS[name]
    method = METHODS[preset.method]
    given = method(**preset.settings).resolve(spec_of(preset), preset.ipc)
    assert given == method().resolve(spec_of(preset), preset.ipc)
    assert preset.steps == method.steps


@pytest.mark.parametrize("name", PRESETS)
def test_it_is_a_row_of_known_things(name: str) -> None:
    preset = PRESETS[name]
    assert preset.name == name
    assert preset.data in KNOWN
    assert preset.ipc in (1, 10, 50)
    assert preset.paper
    if preset.method in SELECTORS:
        assert (preset.steps, preset.protocol, dict(preset.settings)) == (0, "dc", {})
    if preset.method in METHODS:
        assert preset.protocol in PROTOCOLS
    if preset.published:
        assert 0 < preset.published.std < 10 < 10 * preset.published.mean < 1000
        assert preset.published.source


@pytest.mark.parametrize(
    ("name", "mean", "std"),
    [
        ("dc-mnist-1", 91.7, 0.5),  # DC, table 1
        ("dc-svhn-10", 76.1, 0.6),
        ("dc-cifar10-50", 53.9, 0.5),
        ("k-center-cifar10-10", 14.7, 0.9),
        ("forgetting-mnist-50", 88.2, 1.2),
        ("forgetting-cifar10-50", 23.3, 1.0),
        ("random-svhn-10", 35.1, 4.1),
        ("dsa-cifar10-10", 52.1, 0.5),  # NCFM, table 1
        ("dm-cifar10-50", 63.0, 0.4),
        ("dm-tiny_imagenet-10", 12.9, 0.4),
        ("mtt-cifar100-50", 47.7, 0.2),
        ("herding-tiny_imagenet-1", 2.8, 0.2),
    ],
)
def test_published_numbers(name: str, mean: float, std: float) -> None:
    published = PRESETS[name].published
    assert published is not None
    assert (published.mean, published.std) == (mean, std)


@pytest.mark.parametrize("name", ["dm-mnist-10", "dm-fashion_mnist-1", "dm-svhn-50", "dc-cifar100-50"])
def test_numbers_that_could_not_be_confirmed_are_not_there(name: str) -> None:
    assert PRESETS[name].published is None


def test_what_is_recommended_was_measured_to_reach_the_paper() -> None:
    recommended = {name: preset.ours for name, preset in PRESETS.items() if preset.ours}
    assert recommended
    for name, ours_is in recommended.items():
        result, paper = Results(RESULTS).read(ours_is.result), PRESETS[name].published
        assert result is not None, name
        assert paper is not None
        assert f"{result['method']}-{result['data']['name']}-{result['ipc']}" == name
        assert result["steps"] == ours_is.steps
        assert ours(result)["protocol"] == PRESETS[name].protocol
        assert 100 * ours(result)["mean"] >= paper.mean


def test_costs_by_hand() -> None:
    dm, dc = PRESETS["dm-cifar10-10"], PRESETS["dc-cifar10-10"]
    tested = 3 * 100 * 1001 * 5
    assert passes(dm, 2, 5) == 2 * (2560 + 300) + tested
    # ten updates with 3 passes of 2560 real and 9 of 100 synthetic images; nine times 50 epochs of 100 images
    assert passes(dc, 1, 1) == 10 * (7680 + 900) + 9 * 50 * 300 + 3 * 100 * 301
    # 100 experts of 3 epochs (starts at 0 or 1, two epochs on), 5000 steps of 50 on 10 images
    assert passes(PRESETS["mtt-cifar10-1"], 5000, 0) == 3 * 100 * 50_000 * 3 + 11 * 5000 * 50 * 10
    assert passes(PRESETS["random-cifar10-1"], 0, 2) == 3 * 10 * 301 * 2
    assert passes(PRESETS["random-mnist-1"], 0, 2) == 3 * 10 * 1001 * 2  # the DC paper's exception


@pytest.mark.parametrize("name", [name for name, preset in DISTILLED.items() if preset.method == "mtt"])
def test_improvements_are_off_as_published_and_fields_of_the_method(name: str) -> None:
    preset = PRESETS[name]
    fields = improvements(preset, preset.steps)
    plain = METHODS["mtt"](**preset.settings)
    better = METHODS["mtt"](**{**preset.settings, **fields})
    assert set(fields) == {"average", "grow", "lr_labels", "correct", "sam"}
    assert all(not getattr(plain, field) and getattr(better, field) == value for field, value in fields.items())


def test_an_improved_plan_is_a_run_of_its_own() -> None:
    """Its fields depend on the steps, so runs of other lengths do not share a folder; every field is told."""
    one, other = (plan(PRESETS["mtt-cifar10-1"], 3, steps, improved=True) for steps in (5000, 40))
    assert (one.folder, other.folder) == ("mtt-cifar10-1-improved-5000-steps", "mtt-cifar10-1-improved-40-steps")
    assert other.name == "mtt-cifar10-1-improved-40-steps"
    assert other.departures == ["average 0.875", "grow 8", "correct 3", "sam 0.01"]
    assert plan(PRESETS["dm-cifar10-1"], 3, improved=True) == plan(PRESETS["dm-cifar10-1"], 3)


def test_improvements_by_hand() -> None:
    """Over the last fifth of a run a decay of 1 - 5/K keeps exp(-1) of what was there; 0.999 in 5,000 steps."""
    fields = {"average": 0.999, "grow": 1000, "lr_labels": 5.0, "correct": 3, "sam": 0.01}
    assert improvements(PRESETS["mtt-cifar10-1"], 5000) == fields
    assert improvements(PRESETS["mtt-cifar10-1"], 40) == {"average": 0.875, "grow": 8, "correct": 3, "sam": 0.01}
    assert improvements(PRESETS["mtt-cifar100-50"], 5000) == {**fields, "lr_labels": 2.0}
    assert improvements(PRESETS["mtt-cifar10-1"], 3)["average"] == 0
    assert improvements(PRESETS["dm-cifar10-1"], 5000) == {}
    assert variants(PRESETS["mtt-cifar10-1"], 5000) == {
        "published": {},
        "average": {"average": 0.999},
        "grow": {"grow": 1000},
        "lr_labels": {"lr_labels": 5.0},
        "correct": {"correct": 3},
        "sam": {"sam": 0.01},
        "all": fields,
    }
    short = variants(PRESETS["mtt-cifar10-1"], 40)
    assert short["all"] == {**short["improved"], "lr_labels": 5.0}
