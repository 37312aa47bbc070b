"""Train one network on a labelled set of images that fits the description ``rows -> images``."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distillset.augment import DC_AUGMENTATIONS, Augmentation
from distillset.engine import SGD, Engine, logits
from distillset.engine.engine import Loss
from distillset.errors import DivergedError, InputError
from distillset.keys import Key
from distillset.nets import State, fresh, mixes_images, seeded

Examples = Callable[[Tensor], Tensor]
"""Row numbers ``int64 [n]`` (on any device) to normalised images ``float32 [n, C, H, W]`` on the engine's device."""

Lesson = tuple[Examples, Tensor, Key]
"""What a network is trained on: images by row, their labels, and the key of its random streams."""

After = Callable[[int, State], None]
"""Called with the number of a pass and the state after it."""


CHUNK = 4096
"""Most test images normalised at a time."""


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. The defaults are the field's evaluation (``evaluate_synset`` of the DC authors).

    SGD with momentum and weight decay on the cross entropy; ``epochs + 1`` passes, as published; at epoch
    ``epochs // 2 + 1`` the rate falls by ``decay`` and the optimiser starts anew, so that the momentum is lost, as
    published.

    Args:
        epochs: passes over the set, less the one more that the published code makes.
        rate: learning rate of SGD.
        momentum: of SGD, in [0, 1).
        weight_decay: of SGD, on all parameters.
        batch: most images of one update.
        decay: factor on the rate in the second half.
        augmentation: strategy of the differentiable augmentation with parameters drawn per image, ``"none"``, or one of
            the DC paper's evaluation: ``dc/crop_scale_rotate`` on MNIST, ``dc/crop_noise`` of ConvNetBN.
    """

    epochs: int = 1000
    rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 0.0005
    batch: int = 256
    decay: float = 0.1
    augmentation: str = "none"

    def __post_init__(self) -> None:
        if self.epochs < 0 or self.batch < 1:
            raise InputError(
                f"epochs {self.epochs} and batch {self.batch}: epochs must be at least 0, batch at least 1"
            )
        if not self.rate > 0:
            raise InputError(f"rate {self.rate}: must be above 0")


def cross_entropy(module: nn.Module) -> Loss:
    """``loss(state, images, labels, weights)``: the weighted sum of cross entropies.

    Labels are ``int64 [n]`` classes or ``float [n, classes]`` probabilities.
    """
    forward = logits(module)

    def loss(state: State, images: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        found = forward(state, images)
        exact = found if found.dtype == torch.float64 else found.float()
        total: Tensor = (F.cross_entropy(exact, labels, reduction="none") * weights).sum()
        return total

    return loss


class Trainer:
    """Trains networks of one structure by one recipe; compiled functions are kept from one network to the next."""

    def __init__(self, engine: Engine, module: nn.Module, recipe: Recipe) -> None:
        self.engine, self.module, self.recipe = engine, module, recipe
        self.trainable = [name for name, parameter in module.named_parameters() if parameter.requires_grad]
        self.augmentation = DC_AUGMENTATIONS.get(recipe.augmentation) or Augmentation.parse(recipe.augmentation)
        self.mixes = mixes_images(module)
        self._gradients = engine.gradients(cross_entropy(module), self.mixes)
        self._predict = engine.rowwise(logits(module))
        self._compiled: set[tuple[Any, ...]] = set()

    def fit(self, examples: Examples, labels: Tensor, key: Key) -> State:
        """A fresh network, trained.

        Args:
            examples: the images by row.
            labels: ``int64 [N]`` classes or ``float [N, classes]`` probabilities, one for each row.
            key: names the initial weights, the order, the augmentation and dropout, if there is any.
        """
        state = fresh(self.module, key("network"), self.engine.device)
        self.train(state, examples, labels, key)
        return state

    def fit_together(self, sets: Sequence[Lesson]) -> list[State]:
        """`fit` for several sets of the same size side by side: the same networks, but for rounding.

        Only for networks of which `together` says that they can be.
        """
        states = [fresh(self.module, key("network"), self.engine.device) for _, _, key in sets]
        self._train(states, sets)
        return states

    def compile_for(self, sets: Sequence[Lesson], tests: Examples, count: int) -> None:
        """Where functions are compiled, do so for `fit_together` on such sets and for `accuracy` on ``count`` rows.

        Without it the first training would pay for all in its seconds.
        """
        labels, device = sets[0][1], self.engine.device
        full = min(self.recipe.batch, len(labels))
        wanted = len(sets), len(labels), labels.dtype, count
        if not self.engine.compute.compile or wanted in self._compiled:
            return
        self._compiled.add(wanted)
        states = [fresh(self.module, key("network"), device) for _, _, key in sets]
        sets = [(examples, labels.to(device), key) for examples, labels, key in sets]
        # Where images mix, the last batch is not filled up.
        sizes = {full, len(labels) % full or full} if self.mixes else {full}
        self.module.train()
        with seeded(sets[0][2]("dropout")):
            for size in sizes:
                rows = [torch.arange(size, device=device)] * len(sets)
                self._slopes(states, sets, rows, (0, 0), full, {})
        self.module.eval()
        self._predict(states[0], tests(torch.arange(1)), min(self._chunk(tests), count))

    def together(self, shape: tuple[int, int, int], count: int) -> int:
        """How many trainings on ``count`` images of ``shape`` are worth running side by side.

        One on a CPU, whose cores a single one fills; and one for batch norm, which writes statistics as it trains, and
        for dropout, whose numbers come from a stream that all would share.
        """
        most = self.engine.together(min(self.recipe.batch, count))
        return 1 if most == 1 or self.mixes or _draws(self.module, shape) else most

    def train(self, state: State, examples: Examples, labels: Tensor, key: Key, after: After | None = None) -> None:
        """Train ``state`` where it stands; arguments as in `fit`.

        ``after`` is shown the number and the state of every pass when it is over; the next pass changes that state.
        """
        with seeded(key("dropout")):
            self._train([state], [(examples, labels, key)], after)

    def _train(self, states: Sequence[State], sets: Sequence[Lesson], after: After | None = None) -> None:
        recipe, device = self.recipe, self.engine.device
        self.module.train()
        parameters = [state[name] for state in states for name in self.trainable]
        sets = [(examples, labels.to(device), key) for examples, labels, key in sets]
        count = len(sets[0][1])
        full, weights = min(recipe.batch, count), dict[int, Tensor]()
        rate, optimiser = recipe.rate, self._sgd(parameters, recipe.rate)
        for epoch in range(recipe.epochs + 1):
            orders = torch.stack(
                [torch.randperm(count, generator=key("order", epoch).generator()) for _, _, key in sets]
            )
            # Once a pass: where batches are small, every way to a GPU counts.
            orders = orders.to(device)
            for start in range(0, count, recipe.batch):
                own = [order[start : start + recipe.batch] for order in orders]
                gradients = self._slopes(states, sets, own, (epoch, start), full, weights)
                optimiser.step([own[name] for own in gradients for name in self.trainable])
            if epoch == recipe.epochs // 2 + 1:
                rate *= recipe.decay
                optimiser = self._sgd(parameters, rate)
            if after:
                for state in states:
                    after(epoch, state)
                self.module.train()

    def _slopes(
        self,
        states: Sequence[State],
        sets: Sequence[Lesson],
        orders: Sequence[Tensor],
        at: tuple[int, int],
        full: int,
        weights: dict[int, Tensor],
    ) -> list[State]:
        """The gradients of an update: of each state on rows of its set; ``at`` is the pass and where in it."""
        rows = [
            self._rows(own, order, own[2]("augment", *at), weights) for own, order in zip(sets, orders, strict=True)
        ]
        return self._gradients(states, self.trainable, rows, full)

    def _rows(self, own: Lesson, rows: Tensor, key: Key, weights: dict[int, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Augmented images, labels and weights of ``rows``; weights are kept by their number."""
        examples, labels, _ = own
        images, count = examples(rows), len(rows)
        channels, height, width = images.shape[1:]
        draw = self.augmentation.draw(key.words(), (channels, height, width), count, on_host=True)
        if count not in weights:
            weights[count] = torch.full((count,), 1 / count, device=labels.device)
        return draw.apply(images), labels[rows], weights[count]

    def accuracy(self, state: State, examples: Examples, labels: Tensor) -> float:
        """The fraction of rows that ``state`` classifies as labelled, in evaluation mode.

        Raises:
            DivergedError: see `predict`.
        """
        return int((self.predict(state, examples, len(labels)).argmax(1) == labels).sum()) / len(labels)

    def predict(self, state: State, examples: Examples, count: int) -> Tensor:
        """The logits of the first ``count`` rows in evaluation mode, ``float32 [count, classes]`` on the CPU.

        Raises:
            DivergedError: a logit or a parameter is NaN or infinite.
        """
        self.module.eval()
        chunk = self._chunk(examples)
        parts = [self._predict(state, examples(rows), min(chunk, count)) for rows in torch.arange(count).split(chunk)]
        found = torch.cat([part.cpu() for part in parts])
        for what, values in {"logits": found, **state}.items():
            if not bool(values.isfinite().all()):
                raise DivergedError(
                    f"the network diverged: {what} are not finite after training at rate {self.recipe.rate:g}"
                )
        return found

    def _chunk(self, examples: Examples) -> int:
        """Rows of a test that are normalised at a time."""
        return min(CHUNK, self.engine.portion(examples(torch.arange(1)).shape[1:]))

    def _sgd(self, parameters: list[Tensor], rate: float) -> SGD:
        return SGD(parameters, rate, self.recipe.momentum, self.recipe.weight_decay)


def _draws(module: nn.Module, shape: tuple[int, int, int]) -> bool:
    """Whether ``module`` draws random numbers when it is trained."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        before = torch.get_rng_state()
        module.train()(torch.zeros(2, *shape))
        return not torch.equal(before, torch.get_rng_state())
