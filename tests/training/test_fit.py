"""Training against the published loop written plainly, and against what can be known beforehand."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distillset.augment import Augmentation
from distillset.engine import Engine, compiler
from distillset.errors import InputError
from distillset.keys import Key, fold, permutation
from distillset.nets import build, fresh
from distillset.training import Examples, Recipe, Trainer, TrainingSet
from tests import toys

KEY = Key(11)("evaluate", 0)
REAL = toys.toy()
IMAGES, LABELS = REAL.rows(torch.arange(len(REAL))), REAL.labels


def held(images: Tensor) -> Examples:
    return lambda rows: images[rows]


def a_set(labels: Tensor = LABELS, key: Key = KEY) -> TrainingSet:
    return TrainingSet.held(IMAGES, labels, key)


def trainer_of(recipe: Recipe, engine: Engine | None = None, name: str = toys.NETWORK) -> Trainer:
    return Trainer(engine or toys.engine(), build(name, REAL.spec), recipe)


def published(recipe: Recipe, name: str, images: Tensor, labels: Tensor) -> nn.Module:
    """``evaluate_synset`` of the DC authors: only the order and the augmentation come from our streams."""
    network = build(name, REAL.spec)
    network.load_state_dict(fresh(network, KEY("network")))
    network.train()
    lr = recipe.rate
    optimizer = torch.optim.SGD(network.parameters(), lr=lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay)
    lr_schedule = [recipe.epochs // 2 + 1]
    for epoch in range(recipe.epochs + 1):
        order = permutation(fold(KEY("order").words(), epoch), len(labels), len(labels))
        starts = range(0, len(labels), recipe.batch)
        for update, start in enumerate(starts):
            rows = order[start : start + recipe.batch]
            stream = fold(KEY("augment").words(), epoch * len(starts) + update)
            draw = Augmentation.parse(recipe.augmentation).draw(stream, REAL.spec.shape, len(rows))
            loss = F.cross_entropy(network(draw.apply(images[rows])), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if epoch in lr_schedule:
            lr *= 0.1
            optimizer = torch.optim.SGD(
                network.parameters(), lr=lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay
            )
    return network


@pytest.mark.parametrize("name", [toys.NETWORK, f"{toys.NETWORK}BN"])
@pytest.mark.parametrize(
    ("recipe", "micro_batch"),
    [
        (Recipe(epochs=7, batch=10, rate=0.05), 100),
        (Recipe(epochs=6, batch=10, rate=0.05, augmentation="color_crop_flip"), 4),
        (Recipe(epochs=1, batch=256, rate=0.1, momentum=0.0, weight_decay=0.1), 5),
        (Recipe(epochs=0, batch=24, rate=0.1), 100),
    ],
)
def test_equals_the_published_loop(recipe: Recipe, micro_batch: int, name: str) -> None:
    state = trainer_of(recipe, toys.engine(micro_batch), name).fit(a_set())
    network = published(recipe, name, IMAGES, LABELS)
    for key, value in network.state_dict().items():
        if value.dtype == torch.int64:
            assert torch.equal(state[key], value), key
        else:
            torch.testing.assert_close(state[key], value, rtol=1e-4, atol=2e-6)


def test_soft_labels() -> None:
    soft = torch.rand(len(LABELS), 3, generator=torch.Generator().manual_seed(0)).softmax(1)
    recipe = Recipe(epochs=3, batch=10, rate=0.05)
    state = trainer_of(recipe).fit(a_set(soft))
    network = published(recipe, toys.NETWORK, IMAGES, soft)
    for key, value in network.state_dict().items():
        torch.testing.assert_close(state[key], value, rtol=1e-4, atol=2e-6)
    one_hot = F.one_hot(LABELS, 3).float()
    hard = trainer_of(recipe).fit(a_set())
    for key, value in trainer_of(recipe).fit(a_set(one_hot)).items():
        torch.testing.assert_close(value, hard[key], rtol=1e-5, atol=1e-6)


def test_the_same_key_gives_the_same_bits() -> None:
    trainer = trainer_of(Recipe(epochs=2, batch=10, augmentation="crop_scale"))
    first, again = (trainer.fit(a_set()) for _ in range(2))
    other = trainer.fit(a_set(key=KEY(1)))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])


def test_a_separable_set_is_learned_and_carries_over() -> None:
    trainer = trainer_of(Recipe(epochs=40, batch=24, rate=0.05))
    state = trainer.fit(a_set())
    test = toys.toy((20, 20, 20), seed=5)
    assert trainer.accuracy(state, held(IMAGES), LABELS) == 1.0
    unseen = REAL.spec.normalise(test.images)
    assert trainer.accuracy(state, held(unseen), test.labels) == 1.0
    assert trainer.accuracy(state, held(unseen), (test.labels + 1) % 3) == 0.0
    untrained = fresh(build(toys.NETWORK, REAL.spec), KEY)
    assert trainer.accuracy(untrained, held(unseen), test.labels) < 1.0


def test_accuracy_counts_rows() -> None:
    trainer = trainer_of(Recipe(), toys.engine(3))
    state = fresh(build(toys.NETWORK, REAL.spec), KEY)
    state["classifier.weight"].zero_()
    state["classifier.bias"].copy_(torch.tensor([0.0, 1.0, 0.0]))  # always says class 1, of which there are 7 of 24
    assert trainer.accuracy(state, held(IMAGES), LABELS) == 7 / 24


def test_accuracy_is_in_evaluation_mode() -> None:
    """An image's class does not depend on the others of its batch, and nothing is learned of the test set."""
    trainer = trainer_of(Recipe(epochs=3, batch=24), toys.engine(5), f"{toys.NETWORK}BN")
    state = trainer.fit(a_set())
    before = {name: value.clone() for name, value in state.items()}
    together = trainer.accuracy(state, held(IMAGES), LABELS)
    alone = [trainer.accuracy(state, held(IMAGES[i : i + 1]), LABELS[i : i + 1]) for i in range(len(LABELS))]
    assert together == pytest.approx(sum(alone) / len(alone))
    assert all(torch.equal(state[name], before[name]) for name in before)
    again = trainer.fit(a_set())
    assert all(torch.equal(again[name], before[name]) for name in before), "training mode comes back"


def test_examples_are_asked_for_by_row() -> None:
    asked: list[Tensor] = []

    def examples(rows: Tensor) -> Tensor:
        asked.append(rows)
        return IMAGES[rows]

    trainer_of(Recipe(epochs=2, batch=10)).fit(TrainingSet(examples, LABELS, KEY))
    assert len(asked[0]) == 1  # to see how large an image is
    asked = asked[1:]
    assert [len(rows) for rows in asked] == [10, 10, 4] * 3
    for epoch in range(3):
        seen = torch.cat(asked[3 * epoch : 3 * epoch + 3])
        assert torch.equal(seen.sort().values, torch.arange(24))
    assert not torch.equal(torch.cat(asked[:3]), torch.cat(asked[3:6]))


@pytest.mark.parametrize(
    ("field", "value"), [("epochs", -1), ("batch", 0), ("rate", 0.0), ("rate", float("nan")), ("rate", -1.0)]
)
def test_bad_recipes_are_named(field: str, value: float) -> None:
    with pytest.raises(InputError, match=f"{field}={value}"):
        Recipe(**{field: value})  # type: ignore[arg-type]


def test_the_published_recipe_is_the_default() -> None:
    recipe = Recipe()
    assert (recipe.epochs, recipe.rate, recipe.decay, recipe.batch) == (1000, 0.01, 0.1, 256)
    assert (recipe.momentum, recipe.weight_decay) == (0.9, 0.0005)


@pytest.mark.parametrize("defers", [True, False])
@pytest.mark.parametrize("micro_batch", [100, 4])
@pytest.mark.parametrize("augmentation", ["color_crop_flip", "none"])
def test_side_by_side_as_alone(micro_batch: int, augmentation: str, defers: bool) -> None:
    """The way of a GPU too, where nothing is read back."""
    recipe = Recipe(epochs=6, batch=10, rate=0.05, augmentation=augmentation)
    trainer = trainer_of(recipe, toys.engine(micro_batch, defers=defers))
    keys = [KEY, Key(3)("evaluate", 1)]
    together = trainer.fit_together([a_set(key=key) for key in keys])
    for state, key in zip(together, keys, strict=True):
        alone = trainer_of(recipe, toys.engine(micro_batch)).fit(a_set(key=key))
        for name, value in state.items():
            torch.testing.assert_close(value, alone[name], rtol=1e-4, atol=2e-6)
    for name, value in published(recipe, toys.NETWORK, IMAGES, LABELS).state_dict().items():
        torch.testing.assert_close(together[0][name], value, rtol=1e-4, atol=2e-6)


def noisy() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(192, 3))


def test_who_is_trained_alone() -> None:
    shape, engine = (3, 8, 8), toys.engine(640, defers=True)
    assert trainer_of(Recipe(), engine).together(shape, 24) == 3
    assert trainer_of(Recipe(), engine, f"{toys.NETWORK}BN").together(shape, 24) == 3
    assert Trainer(engine, noisy(), Recipe()).together(shape, 24) == 1


def test_dropout_is_drawn_from_the_key() -> None:
    trainer = Trainer(toys.engine(), noisy(), Recipe(epochs=2, batch=10))
    torch.manual_seed(1)
    first = trainer.fit(a_set())
    torch.manual_seed(2)
    before = torch.get_rng_state()
    again = trainer.fit(a_set())
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], again[name]) for name in first)
    other = trainer.fit(a_set(key=KEY(1)))
    assert not torch.equal(first["2.weight"], other["2.weight"])


def test_a_cpu_trains_one_at_a_time() -> None:
    assert trainer_of(Recipe()).together((3, 8, 8), 24) == 1


@pytest.mark.skipif(compiler() is None, reason="needs a C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's own, in the modules of its compiler
@pytest.mark.parametrize("name", [toys.NETWORK, f"{toys.NETWORK}BN"])
def test_no_training_pays_for_compiling(name: str) -> None:
    """What `compile_for` compiled serves training and test alike, the shorter last batch of either too."""
    from torch._dynamo.utils import counters

    trainer = trainer_of(Recipe(epochs=2, batch=len(LABELS) - 3), toys.engine(6, compiled=True), name)
    tests = held(IMAGES[: len(LABELS) - 1])
    trainer.compile_for([a_set()], tests, len(LABELS) - 1)
    compiled = counters["stats"]["unique_graphs"]
    state = trainer.fit(a_set())
    trainer.accuracy(state, tests, LABELS[:-1])
    assert counters["stats"]["unique_graphs"] == compiled > 0
    eager = trainer_of(trainer.recipe, toys.engine(6), name).fit(a_set())
    for found, expected in zip(state.values(), eager.values(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
