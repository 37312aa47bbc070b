"""Trajectory matching: its published settings, and what is refused before a run."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from distillset.data.spec import Spec
from distillset.errors import InputError
from distillset.methods import MTT
from distillset.presets.trajectories import SETTINGS, published, reach
from tests import toys
from tests.methods.small_mtt import METHOD, REAL, distil


def spec_of(name: str, classes: int, side: int = 32) -> Spec:
    return dataclasses.replace(toys.spec_of(3, side, side, classes), name=name)


@pytest.mark.parametrize(
    ("name", "classes", "ipc", "expected"),
    [
        ("cifar10", 10, 1, (50, 2, 2, 0, 100.0, 1e-7, 0.01, "zca", 3)),
        ("cifar10", 10, 10, (30, 2, 20, 0, 100.0, 1e-5, 0.001, "zca", 21)),
        ("cifar10", 10, 50, (30, 2, 40, 0, 1000.0, 1e-5, 0.001, "none", 41)),
        ("cifar100", 100, 1, (20, 3, 20, 0, 1000.0, 1e-5, 0.01, "zca", 22)),
        ("cifar100", 100, 10, (20, 2, 20, 0, 1000.0, 1e-5, 0.01, "none", 21)),
        ("cifar100", 100, 50, (80, 2, 40, 125, 1000.0, 1e-5, 0.01, "zca", 41)),
        ("tiny_imagenet", 200, 1, (10, 2, 10, 0, 10_000.0, 1e-4, 0.01, "none", 11)),
        ("tiny_imagenet", 200, 10, (20, 2, 40, 200, 10_000.0, 1e-4, 0.01, "none", 41)),
        ("tiny_imagenet", 200, 50, (20, 2, 40, 300, 10_000.0, 1e-4, 0.01, "none", 41)),
    ],
)
def test_published_settings(name: str, classes: int, ipc: int, expected: tuple[Any, ...]) -> None:
    """The table that the authors gave to DC-BENCH."""
    spec = spec_of(name, classes, 64 if name == "tiny_imagenet" else 32)
    method = MTT().resolve(spec, ipc)
    found = (
        method.syn_steps, method.expert_epochs, method.max_start, method.batch_syn, method.lr, method.lr_lr,
        method.lr_start, MTT().whitening(spec, ipc), method.reach,
    )  # fmt: skip
    assert found == expected
    assert published(name, classes, ipc)[1]
    assert reach(name, classes, ipc) == expected[-1]


def test_other_published_numbers() -> None:
    method = MTT().resolve(spec_of("cifar10", 10), 1)
    assert (MTT.steps, MTT.init, method.momentum, method.segments) == (5000, "real", 0.5, 1)
    assert (method.expert_count, method.expert_lr, method.expert_batch) == (100, 0.01, 256)
    assert (method.sam, method.grow, method.average, method.lr_labels, method.correct) == (0, 0, 0, 0, 0)
    assert method.augment == "color_crop_cutout_flip_scale_rotate"
    assert reach("cifar10", 10, None) == 41


@pytest.mark.parametrize(
    ("name", "classes", "ipc", "row"),
    [
        ("mine", 10, 1, ("cifar10", 1)), ("mine", 2, 3, ("cifar10", 1)), ("mine", 12, 4, ("cifar10", 10)),
        ("mine", 90, 22, ("cifar100", 10)), ("mine", 150, 100, ("tiny_imagenet", 50)),
        ("cifar10", 10, 5, ("cifar10", 10)),
    ],
)  # fmt: skip
def test_other_data_take_the_nearest_setting(name: str, classes: int, ipc: int, row: tuple[str, int]) -> None:
    found, exact = published(name, classes, ipc)
    assert found == SETTINGS[row[0]][row[1]]
    assert not exact


def test_whitening_is_for_the_data_it_was_published_for() -> None:
    assert MTT().whitening(spec_of("mine", 10), 1) == "none"
    assert MTT().whitening(spec_of("cifar10", 10, 64), 1) == "none"


def test_the_work_of_experts_counts_for_whether_to_compile(experts: str) -> None:
    real = toys.toy()
    assert METHOD.resolve(real.spec, 2).images_before(real) == 3 * 24 * 2 * 3  # two experts of three epochs
    assert dataclasses.replace(METHOD, sam=0.1).resolve(real.spec, 2).images_before(real) == 6 * 24 * 2 * 3
    assert dataclasses.replace(METHOD, experts=experts).images_before(real) == 0


def test_images_per_step_counts_gradients_and_products() -> None:
    real = toys.toy()
    assert MTT(syn_steps=5, batch_syn=0).images_per_step(real, 2) == 11 * 5 * 6
    assert MTT(syn_steps=5, batch_syn=4, segments=2).images_per_step(real, 2) == 11 * 5 * 4 * 2


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"max_start": 4},
            r"no expert has epoch 5, .*`max_start` and `expert_epochs`.*first expert ends at epoch 4",
        ),
        ({"expert_epochs": 4}, "no expert has epoch 5"),
        ({"expert_count": 4}, "expert_count=4: in .* only 3 experts have epoch 3"),
    ],
)
def test_a_start_beyond_the_experts_is_refused_before_the_run(
    tmp_path: Path, experts: str, changes: dict[str, Any], told: str
) -> None:
    method = dataclasses.replace(METHOD, **{"experts": experts, "expert_count": None, **changes})
    with pytest.raises(InputError, match=told):
        distil(tmp_path / "run", method=method)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("named", "changes"),
    [("data", {"data": toys.toy(seed=5)}), ("whiten", {"whiten": "zca"}), ("network", {"network": "ConvNetD1W4"})],
)
def test_experts_of_another_setting_are_named(
    tmp_path: Path, experts: str, named: str, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISTILLSET_CACHE", str(tmp_path / "cache"))
    with pytest.raises(InputError, match=f": {named} .* is needed, but these experts have {named}"):
        distil(tmp_path / "run", method=dataclasses.replace(METHOD, experts=experts), **changes)
    assert not (tmp_path / "run").exists()


def test_all_experts_that_reach_are_used(experts: str) -> None:
    method = dataclasses.replace(METHOD, experts=experts, expert_count=None)
    assert method.resolve(REAL.spec, 2).expert_count == 3
    assert dataclasses.replace(method, experts="").resolve(REAL.spec, 2).expert_count == 100
    with pytest.raises(InputError, match=r"no experts\.json"):
        dataclasses.replace(method, experts="/").resolve(REAL.spec, 2)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lr", 0.0), ("lr", float("inf")), ("momentum", 1.0), ("momentum", float("nan")), ("lr_start", -1.0),
        ("lr_lr", 0.0), ("syn_steps", 0), ("expert_epochs", 0), ("max_start", 0), ("batch_syn", -1), ("segments", 0),
        ("limit", 0.0), ("expert_count", 0), ("expert_lr", 0.0), ("expert_batch", 0), ("sam", -1.0), ("min_start", -1),
        ("grow", -1), ("average", 1.0), ("lr_labels", -1.0), ("correct", -1),
    ],
)  # fmt: skip
def test_bad_fields_are_named(field: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"{field}={value}: must be "):
        MTT(**{field: value})


def test_starts_must_leave_a_range() -> None:
    with pytest.raises(InputError, match="min_start=2: must be below `max_start=2`"):
        MTT(min_start=2, max_start=2)
    with pytest.raises(InputError, match="augment='bend': unknown operation"):
        MTT(augment="bend")
