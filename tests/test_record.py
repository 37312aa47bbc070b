"""What is kept while a run goes on: which steps, and what is refused."""

from typing import Any

import pytest

from distillset.data.synthetic import SyntheticSet
from distillset.distillation.record import Record
from distillset.errors import InputError
from tests.runs import distil


@pytest.mark.parametrize(
    ("snapshots", "steps", "kept"),
    [
        (0, 10, set()),
        (1, 10, {0, 10}),
        (4, 10, {0, 2, 5, 8, 10}),  # 2.5 and 7.5 to the even number
        (10, 3, {0, 1, 2, 3}),
        (5, 0, {0}),
        (0, 0, set()),
    ],
)
def test_snapshots_are_evenly_spaced_and_hold_the_first_and_the_last_state(
    snapshots: int, steps: int, kept: set[int]
) -> None:
    assert Record(snapshots).steps_kept(steps) == kept


def test_accuracies_need_a_function_and_a_number_of_steps() -> None:
    def half(synthetic: SyntheticSet) -> float:
        return 0.5

    assert Record(evaluate_every=3).every == 0
    assert Record(evaluate=half).every == 0
    assert Record(evaluate=half, evaluate_every=3).every == 3


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"snapshots": -1}, "snapshots=-1: must be at least 0"),
        ({"snapshots": 1.0}, "snapshots=1.0: must be a whole number"),
        ({"evaluate": 3}, "evaluate=3: must be a function"),
        ({"evaluate_every": -1}, "evaluate_every=-1: must be at least 0"),
        ({"checkpoint_seconds": -0.5}, "checkpoint_seconds=-0.5: must be at least 0"),
        ({"checkpoint_seconds": float("nan")}, "checkpoint_seconds=nan: must be at least 0"),
        ({"checkpoint_seconds": "soon"}, "checkpoint_seconds='soon': must be a number"),
    ],
)
def test_a_bad_field_is_named_when_the_value_is_made(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=f"^{told}"):
        Record(**fields)


def test_it_is_a_record_that_is_taken() -> None:
    with pytest.raises(InputError, match=r"^record=5: must be a Record, or None"):
        distil(record=5, steps=0)
