"""Curves, checked by hand."""

import re

import pytest

from distillset.report.charts import BUCKETS, Scale, buckets, chart, ticks


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.31, 0.52, [0.35, 0.4, 0.45, 0.5]),
        (-3, 3, [-3, -2, -1, 0, 1, 2, 3]),
        (0, 20_000, [0, 5000, 10_000, 15_000, 20_000]),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high, 5) == expected


def test_scales() -> None:
    assert Scale(0, 10, 100, 200)(5) == 150
    assert Scale(1, 100, 0, 2, log=True)(10) == pytest.approx(1)


def test_few_points_are_kept_and_many_averaged() -> None:
    few = [(1, 4.0), (2, 3.0)]
    assert buckets(few) == [(1, 4.0, 4.0, 4.0), (2, 3.0, 3.0, 3.0)]
    many = buckets([(i + 1, float(i % 4)) for i in range(4 * BUCKETS)])
    assert many == [(4 * (i + 1), 1.5, 0.0, 3.0) for i in range(BUCKETS)]


def test_a_curve_is_where_its_numbers_are() -> None:
    """Steps 0 to 10 over the 564 units between 62 and 626; values 2 and 4 with 6% of air over 226 units from 240 up."""
    drawn = chart("loss", "Loss", [(0, "a", [(0, 4.0), (10, 2.0)])])
    assert drawn is not None
    (line,) = drawn.lines
    top, bottom = 240 - 226 * (4 - 1.88) / 2.24, 240 - 226 * (2 - 1.88) / 2.24
    assert line.path == f"M62 {top:.1f}L626 {bottom:.1f}"
    assert line.band == ""
    assert [tick.text for tick in drawn.x_ticks] == ["0", "2", "4", "6", "8", "10"]
    assert drawn.summary == "a: 4 at step 0, 2 at step 10"


def test_a_wide_range_is_logarithmic_and_accuracies_never() -> None:
    wide = chart("loss", "Loss", [(0, "a", [(1, 1000.0), (2, 1.0)])])
    assert wide is not None
    assert wide.log
    assert [tick.text for tick in wide.y_ticks] == ["1", "10", "100", "1000"]
    fractions = chart("accuracy", "Accuracy", [(0, "a", [(1, 0.01), (2, 0.9)])], [(0, "random", 0.3)], percent=True)
    assert fractions is not None
    assert not fractions.log
    assert fractions.references[0].text == "random 30%"
    assert all(re.fullmatch(r"\d+%", tick.text) for tick in fractions.y_ticks)


def test_nothing_to_draw() -> None:
    assert chart("loss", "Loss", [(0, "a", [])]) is None


@pytest.mark.parametrize("value", [0.0, 5.0, -2.0])
def test_a_level_curve_can_be_drawn(value: float) -> None:
    drawn = chart("loss", "Loss", [(0, "a", [(1, value)])])
    assert drawn is not None
    assert "nan" not in drawn.lines[0].path
