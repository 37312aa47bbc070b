"""The benchmark's own runs of the library do what they time."""

import pytest

from benchmarks.cases import match, state_bytes
from distillset.engine import compiler


def test_a_state_takes_its_numbers_and_little_more() -> None:
    numbers = 320_010  # of ConvNet-3 on 32x32x3, 10 classes
    assert 4 * numbers < state_bytes() < 4 * numbers + 600


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's own, in the modules of its compiler
@pytest.mark.skipif(compiler() is None, reason="no C++ compiler")
def test_trajectory_matching_is_timed_after_every_step() -> None:
    calls: list[None] = []
    match(steps=1, ipc=1, runs=2, call=lambda: calls.append(None))
    assert len(calls) == 2
