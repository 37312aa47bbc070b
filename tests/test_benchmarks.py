"""The benchmark's own runs of the library do what they time."""

import pytest
import torch

from benchmarks import gpu, overhead
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


def test_the_overhead_of_a_step_is_measured() -> None:
    row = overhead.measure(3, 10)
    assert row["classes"] == 3
    assert 0 < row["least_ms"] <= row["median_ms"]


def test_steps_read_together_are_one_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps 1 and 2 at once, 3 to 5 a second later, 6 to 9 two seconds after those: half a second a step from 5 on."""
    now = iter([0.0, 0.0001, 1.0, 1.0001, 1.0002, 3.0, 3.0001, 3.0002, 3.0003])
    monkeypatch.setattr("benchmarks.gpu.time.perf_counter", lambda: next(now))
    ends = gpu.Ends()
    for step in range(1, 10):
        ends.step(step, 9, 0.0)
    assert [step for step, _ in ends.ends] == [2, 5, 9]
    assert ends.seconds(3) == pytest.approx(2.0001 / 4, rel=1e-6)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's own, in the modules of its compiler
@pytest.mark.skipif(compiler() is None, reason="no C++ compiler")
@pytest.mark.parametrize("case", ["dm-10", "mtt-1-50", "evaluation-100", "expert"])
def test_what_is_for_a_gpu_runs_on_a_cpu(case: str) -> None:
    assert gpu.measured(case, images=300, steps=2, device="cpu")["ms"] > 0
