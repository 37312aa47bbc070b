"""The benchmark's own runs of the library do what they time."""

import pytest
import torch

from benchmarks.agreement import agreement, gradients
from benchmarks.cases import match, state_bytes
from benchmarks.nearest import nearest
from distillset.engine import compiler
from tests.toys import toy


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


def test_agreement_of_three_vectors_and_its_jackknife_by_hand() -> None:
    """Cosines 1, 0, 0; without one of the three they are 0, 0 and 1."""
    mean, error = agreement(torch.tensor([[2.0, 0.0], [1.0, 0.0], [0.0, 3.0]]))
    assert mean == pytest.approx(1 / 3)
    assert error == pytest.approx(2 / 3)


def test_agreement_is_measured_on_first_steps_of_dm() -> None:
    real = toy()
    found = gradients("MLP", real, ipc=2, count=3)
    assert found.shape == (3, real.spec.classes * 2 * real.images[0].numel())
    assert not torch.equal(found[0], found[1])


def test_the_nearest_to_the_mean_by_hand() -> None:
    """Of 0, 1, 2, 3 and 9 the mean is 3; herding would take 3 and then 2 as well, and 9 sooner than 0."""
    assert nearest(torch.tensor([[0.0], [1.0], [2.0], [3.0], [9.0]]), 4).tolist() == [3, 2, 1, 0]
