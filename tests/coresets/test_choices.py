"""Each choice against answers worked out by hand, and against its definition."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from distillset.coresets.forgetting import Forgotten, forgetting
from distillset.coresets.herding import herding
from distillset.coresets.k_center import k_center
from distillset.coresets.kmeans import kmeans
from distillset.keys import Key
from tests.oracles import coreset_oracle

KEY = Key(0)("select")
# From three images on: two are equally far from their mean.
sizes = st.tuples(st.integers(3, 30), st.integers(1, 5), st.integers(0, 10_000))


def cloud(n: int, d: int, seed: int) -> torch.Tensor:
    """Embeddings far from the origin, as those after a ReLU are."""
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 50


def test_herding_worked_by_hand() -> None:
    """On a line at 0, 1, 2, 9 the mean is 3. First 2 (off by 1). With 2, the means 1, 1.5, 5.5 are off by 2, 1.5, 2.5:
    so 1. With 2 and 1, the means 1 and 4 are off by 2 and 1: so 9. (The wrong extremum would begin with 9.)
    """
    line = torch.tensor([[0.0], [1.0], [2.0], [9.0]])
    assert herding(line, 4, KEY).tolist() == [2, 1, 3, 0]


def test_herding_takes_the_pair_that_balances() -> None:
    """In the plane with mean (0, 0): after (0.5, 0), which is nearest, its mirror image brings the mean to the class's
    mean exactly, though it is not the next nearest to it.
    """
    plane = torch.tensor([[0.0, 0.9], [0.0, -0.9], [0.5, 0.0], [-0.5, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    plane[3] -= torch.tensor([0.5, 0.0])  # now at (-1, 0) ...
    plane[5] += torch.tensor([0.5, 0.0])  # ... and this at (-0.5, 0)
    assert herding(plane, 2, KEY).tolist() == [2, 5]


def test_k_center_worked_by_hand() -> None:
    """At 0, 1, 4, 5, 10 the mean is 4: first 4. Farthest from it is 10 (6), then 0 (4), then 1 and 5 are both 1 away
    from the nearest chosen one: the first of them.
    """
    line = torch.tensor([[0.0], [1.0], [4.0], [5.0], [10.0]])
    assert k_center(line, 5, KEY).tolist() == [2, 4, 0, 1, 3]


@given(sizes, st.data())
def test_herding_and_k_center_are_their_definitions(size: tuple[int, int, int], data: st.DataObject) -> None:
    features = cloud(*size)
    ipc = data.draw(st.integers(1, len(features)))
    assert k_center(features, ipc, KEY).tolist() == coreset_oracle.k_center(features, ipc)
    assert herding(features, ipc, KEY).tolist() == coreset_oracle.herding(features, ipc)


def test_float32_chooses_as_float64() -> None:
    features = cloud(200, 16, 3)
    assert herding(features.float(), 30, KEY).tolist() == coreset_oracle.herding(features, 30)
    assert k_center(features.float(), 30, KEY).tolist() == coreset_oracle.k_center(features, 30)


@pytest.mark.parametrize("choose", [herding, k_center, kmeans])
def test_equal_images_are_chosen_once_each(choose: object) -> None:
    features = torch.ones(6, 3)
    assert sorted(choose(features, 6, KEY).tolist()) == list(range(6))  # type: ignore[operator]


def test_kmeans_worked_by_hand() -> None:
    """Three heaps whose centres are 1, 21 and 42: the images nearest them, the largest heap first."""
    heaps = torch.tensor([[0.0], [2.0], [1.1], [0.9], [20.0], [22.0], [21.1], [41.0], [43.0]])
    chosen = kmeans(heaps, 3, KEY).tolist()
    assert heaps[chosen[0]].item() == pytest.approx(1, abs=0.11)
    assert chosen[1] == 6
    assert chosen[2] in (7, 8)


def test_forgetting_events_worked_by_hand() -> None:
    """Four passes over five images: never forgotten, forgotten once, twice, never learned, learned late."""
    history = torch.tensor(
        [
            [1, 1, 1, 0, 0],
            [1, 0, 0, 0, 0],
            [1, 0, 1, 0, 0],
            [1, 1, 0, 0, 1],
        ],
        dtype=torch.bool,
    )
    forgotten = Forgotten(5)
    for right in history:
        forgotten.add(right)
    assert forgotten.events.tolist() == [0, 1, 2, 0, 0] == coreset_oracle.forgetting_events(history)
    assert forgetting(forgotten.events, 2, KEY).tolist() == [2, 1]


def test_forgetting_counts_are_their_definition() -> None:
    history = torch.rand(9, 50, generator=torch.Generator().manual_seed(0)) < 0.6
    forgotten = Forgotten(50)
    for right in history:
        forgotten.add(right)
    assert forgotten.events.tolist() == coreset_oracle.forgetting_events(history)


def test_equally_often_forgotten_images_are_drawn() -> None:
    events = torch.tensor([3, 1, 1, 1, 1, 0])
    chosen = [forgetting(events, 3, Key(seed)).tolist() for seed in range(40)]
    assert {first for first, *_ in chosen} == {0}
    assert {i for _, *rest in chosen for i in rest} == {1, 2, 3, 4}
    assert forgetting(events, 3, Key(7)).tolist() == chosen[7]
